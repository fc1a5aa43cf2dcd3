"""Where what some tests need is not installed, they are left out, loudly."""

import importlib.util
import os
import shutil
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

# The same examples each time, so that no change is blamed for a fault that it did not bring; and
# no limit of time for one, which on a busy machine takes any.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

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
    LEFT_OUT["Chromium with chromedriver and selenium"] = ["commands/test_page_in_browser.py"]

collect_ignore = [name for names in LEFT_OUT.values() for name in names]


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """A test that connects to another machine fails, whatever the code does with errors."""
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("localhost", "127.0.0.1", "::1"):
            pytest.fail(f"tests must do without the network, but this one connects to {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_here)
        yield


def pytest_configure(config: pytest.Config) -> None:
    if not HAS_DETECTRON2 and os.environ.get("MASKPROP_REQUIRE_DETECTRON2"):
        pytest.exit("MASKPROP_REQUIRE_DETECTRON2 is set, but Detectron2 is not installed", 1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if LEFT_OUT:
        terminalreporter.section("TESTS LEFT OUT", red=True, bold=True)
    for what, names in LEFT_OUT.items():
        left_out = ", ".join(f"tests/{name}" for name in names)
        terminalreporter.line(f"{what} is not installed, so {left_out} did not run.")
