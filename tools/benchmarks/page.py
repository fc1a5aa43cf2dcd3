"""The results page of many videos: writing it, opening it in headless Chromium, and the memory that
the browser takes while videos are opened and the list is scrolled."""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from maskprop_d2.evaluation.page import write_page
from maskprop_d2.threads import available_cores
from maskprop_d2.ytvis import load_json

from .browser import browser_megabytes, start_browser
from .evaluation import draw


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the size of the set."""
    parser.add_argument("--videos", type=int, default=2000)
    parser.add_argument("--predictions", type=int, default=10, help="per video")
    parser.add_argument("--frames", type=int, default=20, help="frames per video")
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--opened", type=int, default=100, help="videos to open")
    parser.add_argument("--diagnose", action="store_true", help="show what costs AP, too")
    parser.add_argument("--keep", type=Path, help="keep the data and the page in this folder")


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        if not (folder / "gt.json").is_file():
            draw(folder, args.videos, args.videos * args.predictions, args)
            write_frames(folder)
        start = time.perf_counter()
        write_page(
            folder / "gt.json",
            {"results.json": folder / "results.json"},
            folder / "frames",
            folder / "page",
            0.0,
            processes=available_cores(),
            diagnosis=args.diagnose,
        )
        seconds = time.perf_counter() - start
        size = sum(x.stat().st_size for x in (folder / "page").rglob("*") if x.is_file())
        row = {"videos": args.videos, "write_s": seconds, "files_mb": size / 1e6}
        row |= measure(folder / "page", args.opened, Path(temporary) / "profile")
    print("  ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)
    return [row]


def write_frames(folder: Path) -> None:
    """All frames are links to the same picture of soft clouds."""
    truth = load_json(folder / "gt.json")
    size = truth["videos"][0]["width"], truth["videos"][0]["height"]
    noise = np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8)
    (folder / "frames").mkdir()
    cv2.imwrite(str(folder / "frame.jpg"), cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC))
    for video in truth["videos"]:
        for name in video["file_names"]:
            path = folder / "frames" / name
            path.parent.mkdir(exist_ok=True)
            path.symlink_to(folder.resolve() / "frame.jpg")


def measure(page: Path, opened: int, profile: Path) -> dict[str, float]:
    """Open the page until the first frame is drawn; then open more videos, and scroll the list to
    its end."""
    profile.mkdir()
    driver = start_browser(profile)

    def wait_for_frame(change: str) -> None:
        WebDriverWait(driver, 60, 0.01).until(
            lambda x: x.execute_script(
                f"return document.getElementById('video-name')?.textContent !== '{change}'"
                " && document.getElementById('frame').textContent !== ''"
            )
        )

    try:
        driver.get("about:blank")
        empty = browser_megabytes(driver)["browser_mb"]
        start = time.perf_counter()
        driver.get((page / "index.html").resolve().as_uri())
        wait_for_frame("")
        open_seconds = time.perf_counter() - start
        opened_mb = browser_megabytes(driver)
        body = driver.find_element(By.TAG_NAME, "body")
        start = time.perf_counter()
        for _ in range(opened):
            name = driver.find_element(By.ID, "video-name").text
            body.send_keys(Keys.ARROW_DOWN)
            wait_for_frame(name)
        video_seconds = (time.perf_counter() - start) / max(1, opened)
        driver.execute_script("const x = document.getElementById('list'); x.scrollTo(0, 1e9)")
        time.sleep(1)
        used_mb = browser_megabytes(driver)
    finally:
        driver.quit()
    return {
        "open_s": open_seconds,
        "next_video_s": video_seconds,
        "empty_browser_mb": empty,
        **{f"opened_{k}": v for k, v in opened_mb.items()},
        **{f"used_{k}": v for k, v in used_mb.items()},
    }
