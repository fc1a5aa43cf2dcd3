"""Where what some tests need is not installed, they are left out, loudly."""

import importlib.util
import os
import shutil

import pytest

HAS_DETECTRON2 = importlib.util.find_spec("detectron2") is not None
HAS_BROWSER = bool(
    shutil.which("chromium")
    and shutil.which("chromedriver")
    and importlib.util.find_spec("selenium")
)

LEFT_OUT: dict[str, list[str]] = {}
if not HAS_DETECTRON2:
    LEFT_OUT["Detectron2"] = ["modeling", "data", "engine"]
if not HAS_BROWSER:
    LEFT_OUT["Chromium with chromedriver and selenium"] = ["tools/test_page_in_browser.py"]

collect_ignore = [name for names in LEFT_OUT.values() for name in names]


def pytest_configure(config: pytest.Config) -> None:
    if not HAS_DETECTRON2 and os.environ.get("MASKPROP_REQUIRE_DETECTRON2"):
        pytest.exit("MASKPROP_REQUIRE_DETECTRON2 is set, but Detectron2 is not installed", 1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if LEFT_OUT:
        terminalreporter.section("TESTS LEFT OUT", red=True, bold=True)
    for what, names in LEFT_OUT.items():
        left_out = ", ".join(f"tests/{name}" for name in names)
        terminalreporter.line(f"{what} is not installed, so {left_out} did not run.")
