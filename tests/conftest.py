"""Where Detectron2 is not installed, the tests that need it are left out, loudly."""

import importlib.util
import os

import pytest

NEED_DETECTRON2 = ["modeling", "data", "engine"]
HAS_DETECTRON2 = importlib.util.find_spec("detectron2") is not None

collect_ignore = [] if HAS_DETECTRON2 else NEED_DETECTRON2


def pytest_configure(config: pytest.Config) -> None:
    if not HAS_DETECTRON2 and os.environ.get("MASKPROP_REQUIRE_DETECTRON2"):
        pytest.exit("MASKPROP_REQUIRE_DETECTRON2 is set, but Detectron2 is not installed", 1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not HAS_DETECTRON2:
        left_out = ", ".join(f"tests/{name}" for name in NEED_DETECTRON2)
        terminalreporter.section("TESTS LEFT OUT", red=True, bold=True)
        terminalreporter.line(f"Detectron2 is not installed, so {left_out} did not run.")
