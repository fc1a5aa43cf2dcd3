"""Headless Chromium, and how much memory it takes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1200",
]


def start_browser(profile: Path) -> webdriver.Chrome:
    """Chromium with a user profile in an empty folder; needs chromium and chromedriver."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options, Service(shutil.which("chromedriver")))


def browser_megabytes(driver: webdriver.Chrome) -> dict[str, float]:
    """The memory of all processes of the browser, and of the one that shows the page; what
    processes share is divided among them."""
    by_process = {
        pid: _proportional_megabytes(pid) for pid in _descendants(driver.service.process.pid)
    }
    pages = [x for pid, x in by_process.items() if b"--type=renderer" in _read(pid, "cmdline")]
    return {"browser_mb": sum(by_process.values()), "page_mb": max(pages, default=0.0)}


def _descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from _descendants(child)


def _proportional_megabytes(pid: int) -> float:
    lines = _read(pid, "smaps_rollup").decode().splitlines()
    return next((int(x.split()[1]) / 1024 for x in lines if x.startswith("Pss:")), 0.0)


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""  # The process has ended.
