"""Skips tests whose dependencies are not installed, and says so in the summary."""

import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

# Reproducible examples, and no time limit per example, since the machine may be busy.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

HAS_DETECTRON2 = importlib.util.find_spec("detectron2") is not None
HAS_BROWSER = bool(
    shutil.which("chromium")
    and shutil.which("chromedriver")
    and importlib.util.find_spec("selenium")
)

SKIPPED: dict[str, list[str]] = {}
if not HAS_DETECTRON2:
    SKIPPED["Detectron2"] = ["data", "engine", "modeling"]
if not HAS_BROWSER:
    SKIPPED["Chromium with chromedriver and selenium"] = ["commands/test_page_in_browser.py"]

collect_ignore = [name for names in SKIPPED.values() for name in names]


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Fail tests that connect to another machine, even if the code handles connection errors."""
    connect = socket.socket.connect

    def connect_locally(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("localhost", "127.0.0.1", "::1"):
            pytest.fail(f"tests must not use the network, but this one connects to {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_locally)
        yield


class RefuseDetectron2:
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] == "detectron2":
            raise ModuleNotFoundError("detectron2 was imported", name="detectron2")


@pytest.fixture
def without_detectron2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing Detectron2 fails, as where it is not installed, also for modules of ours that have
    imported it already."""
    needed_by = ("engine", "modeling", "data", "commands.train")
    loaded = ("detectron2.", *(f"maskprop_d2.{x}." for x in needed_by))
    for name in [x for x in sys.modules if f"{x}.".startswith(loaded)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [RefuseDetectron2(), *sys.meta_path])


def pytest_configure(config: pytest.Config) -> None:
    if not HAS_DETECTRON2 and os.environ.get("MASKPROP_REQUIRE_DETECTRON2"):
        pytest.exit("MASKPROP_REQUIRE_DETECTRON2 is set, but Detectron2 is not installed", 1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if SKIPPED:
        terminalreporter.section("SKIPPED TESTS", red=True, bold=True)
    for dependency, names in SKIPPED.items():
        skipped = ", ".join(f"tests/{name}" for name in names)
        terminalreporter.line(f"{dependency} is not installed: {skipped} did not run.")
