"""The results page in headless Chromium, opened from disk."""

import json
import time
from urllib.parse import unquote

import cv2
import numpy as np
import pytest
from benchmarks.browser import start_browser
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait
from small_results import HEIGHT, NAMES, WIDTH, write_small_results

from maskprop_d2.commands.compare import main as compare
from maskprop_d2.commands.visualize import main


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def folder(tmp_path):
    write_small_results(tmp_path)
    return tmp_path


@pytest.fixture
def open_page(browser, folder):
    """Write the page and open it, optionally at a video. The console must stay empty."""

    def opened(at="", *options):
        names = {"json": "valid.json", "results": "results.json", "images": "JPEGImages"}
        paths = {**names, "output": "page"}
        main([*(f"--{name}={folder / path}" for name, path in paths.items()), *options])
        browser.get("about:blank")
        browser.get(f"{(folder / 'page/index.html').as_uri()}{at}")
        wait(browser, lambda: text(browser, "frame") != "")
        return browser

    yield opened
    assert browser.get_log("browser") == []


def wait(browser, condition):
    WebDriverWait(browser, 60, 0.05).until(lambda _: condition())


def text(browser, name):
    return browser.find_element(By.ID, name).text


def requested(browser):
    """The URLs of all requests since the last call."""
    messages = [json.loads(x["message"])["message"] for x in browser.get_log("performance")]
    sent = [x["params"] for x in messages if x["method"] == "Network.requestWillBeSent"]
    return [unquote(x["request"]["url"]) for x in sent if x["request"]["url"] != "about:blank"]


def listed(browser):
    rows = browser.find_elements(By.CSS_SELECTOR, "#list button")
    return [x.find_element(By.TAG_NAME, "b").text for x in rows if x.is_displayed()]


def color_in_frame(browser, canvas, x, y):
    """The RGB colour of a canvas at a pixel of the frame, from a screenshot: pages opened from disk
    may not read the pixels of a canvas."""
    png = browser.find_element(By.ID, canvas).screenshot_as_png
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    scale = image.shape[1] / WIDTH
    return image[round(y * scale), round(x * scale), ::-1].astype(int)


def test_figures_plots_and_the_video_with_the_largest_gain(open_page):
    page = open_page()
    assert page.find_element(By.CSS_SELECTOR, "#figures dt").text == "AP"
    assert len(page.find_elements(By.CSS_SELECTOR, "#category-plot .bar")) == 2
    assert len(page.find_elements(By.CSS_SELECTOR, "#threshold-plot circle")) == 10
    curves = page.find_elements(By.CSS_SELECTOR, "#hota-plot polyline title")
    assert [x.get_attribute("textContent") for x in curves] == ["LocA", "AssA", "DetA", "HOTA"]
    # Names are not parsed as markup.
    assert "<b>disk</b>" in text(page, "category-plot")
    order = listed(page)
    assert len(order) == 3 and order[-1] == NAMES[9]
    assert text(page, "video-name") == order[0]


def test_only_the_open_video_is_loaded_and_nothing_from_the_network(open_page, browser):
    browser.get_log("performance")
    page = open_page("#video-9")
    page.find_element(By.ID, "play").click()
    wait(page, lambda: text(page, "frame") == "frame 3 / 7")
    loaded = requested(page)
    assert {x.rsplit("/", 1)[1] for x in loaded if "/data/" in x} == {"summary.js", "video_9.js"}
    frames = [x for x in loaded if x.endswith(".png")]
    assert frames and all(f"/{NAMES[9]}/" in x for x in frames)
    assert all(x.startswith(("file:", "data:")) for x in loaded)


def test_the_timeline_shows_swapped_identities_and_a_miss(open_page):
    page = open_page("#video-3")
    rows = page.find_elements(By.CSS_SELECTOR, ".row.object")
    states = [
        [x.get_attribute("class") for x in row.find_elements(By.CSS_SELECTOR, ".strip i")]
        for row in rows
    ]
    assert states == [
        ["span found", "span found", "switch"],
        ["span found", "span found", "switch"],
        ["span missed", "span found"],
    ]
    assert [x.find_element(By.CLASS_NAME, "note").text for x in rows] == [
        "found 8/8, 1 switch",
        "found 8/8, 1 switch",
        "found 2/4",
    ]
    # The strips of the two squares swap their colours.
    colors = [
        [
            x.value_of_css_property("background-color")
            for x in row.find_elements(By.CLASS_NAME, "span")
        ]
        for row in rows[:2]
    ]
    assert colors[0] == colors[1][::-1] and colors[0][0] != colors[0][1]
    swatches = [x.find_element(By.CLASS_NAME, "swatch") for x in rows[:2]]
    assert [x.value_of_css_property("background-color") for x in swatches] == [
        colors[0][0],
        colors[1][0],
    ]


def test_an_identity_has_the_same_colour_on_both_sides(open_page):
    page = open_page("#video-3")
    page.find_element(By.ID, "show-labels").click()
    before = {
        (canvas, lane): color_in_frame(page, canvas, 8, 20 * lane + 10)
        for canvas in ("truth", "predictions-0")
        for lane in (0, 1)
    }
    assert np.ptp(before["truth", 0]) > 30
    for lane in (0, 1):
        assert abs(before["truth", lane] - before["predictions-0", lane]).max() <= 3
    assert abs(before["truth", 0] - before["truth", 1]).max() > 30
    # Outside the masks, the frame is shown unchanged.
    assert abs(color_in_frame(page, "truth", 60, 10) - 20).max() <= 3

    # From frame 5 on, each of the two predictions lies on the object of the other.
    strip = page.find_element(By.CSS_SELECTOR, ".row.object .strip")
    webdriver.ActionChains(page).move_to_element_with_offset(
        strip, round(strip.size["width"] * (6.5 / 8 - 0.5)), 0
    ).click().perform()
    wait(page, lambda: text(page, "frame") == "frame 6 / 7")
    at = 8 * 6 + 8
    for lane in (0, 1):
        shown = color_in_frame(page, "predictions-0", at, 20 * lane + 10)
        assert abs(shown - before["truth", 1 - lane]).max() <= 3
        assert (
            abs(color_in_frame(page, "truth", at, 20 * lane + 10) - before["truth", lane]).max()
            <= 3
        )


def test_playing(open_page):
    page = open_page("#video-9")
    assert text(page, "frame") == "frame 0 / 7"
    page.find_element(By.ID, "play").click()
    seen = set()

    def all_seen():
        seen.add(text(page, "frame"))
        return len(seen) == 8

    wait(page, all_seen)
    page.find_element(By.ID, "play").click()
    assert text(page, "play") == "Play"
    stopped = text(page, "frame")
    time.sleep(0.3)
    assert text(page, "frame") == stopped
    # The space bar starts it again.
    page.find_element(By.TAG_NAME, "body").send_keys(" ")
    wait(page, lambda: text(page, "play") == "Pause" and text(page, "frame") != stopped)


def test_a_link_names_a_frame_and_the_url_follows(open_page):
    page = open_page("#video-3-frame-5")
    assert text(page, "frame") == "frame 5 / 7"
    body = page.find_element(By.TAG_NAME, "body")
    body.send_keys(webdriver.Keys.ARROW_RIGHT)
    wait(page, lambda: text(page, "frame") == "frame 6 / 7")
    assert page.current_url.endswith("#video-3-frame-6")


def focused(page):
    """The name in the chosen row of the timeline, and the parts of the URL after the frame."""
    rows = page.find_elements(By.CSS_SELECTOR, ".row.chosen .name")
    return [x.text for x in rows], page.current_url.partition("-frame-")[2]


def test_a_link_names_a_track(open_page):
    page = open_page("#video-3-frame-1-object-2")
    assert focused(page) == (["2 square"], "1-object-2")
    page.find_element(By.ID, "show-labels").click()
    # The object and the prediction that finds it are filled, the other square is not.
    for canvas in ("truth", "predictions-0"):
        assert np.ptp(color_in_frame(page, canvas, 16, 30)) > 30
        assert abs(color_in_frame(page, canvas, 16, 10) - 20).max() <= 3
    # A click on another name chooses that track, a second one none.
    page.find_element(By.CSS_SELECTOR, ".row.prediction .name").click()
    assert focused(page) == (["1 square"], "1-prediction-1")
    page.find_element(By.CSS_SELECTOR, ".row.prediction .name").click()
    assert focused(page) == ([], "1")
    # A link without a frame opens the first one of the track.
    page = open_page("#video-3-prediction-2")
    assert text(page, "frame") == "frame 4 / 7"


@pytest.mark.parametrize("at", ["-object-9", "-frame-99", "-model-4-prediction-1"])
def test_a_link_to_something_that_is_not_there_opens_the_video(open_page, at):
    page = open_page(f"#video-3{at}")
    assert text(page, "video-name") == NAMES[3]


def test_up_and_down_choose_videos(open_page):
    page = open_page()
    order = listed(page)
    body = page.find_element(By.TAG_NAME, "body")
    for key, name in ((webdriver.Keys.ARROW_DOWN, order[1]), (webdriver.Keys.ARROW_UP, order[0])):
        body.send_keys(key)
        wait(page, lambda name=name: text(page, "video-name") == name)


def test_what_costs_ap(open_page):
    page = open_page("", "--diagnose")
    kinds = [x.text for x in page.find_elements(By.CSS_SELECTOR, "#lost-plot text")][::2]
    assert kinds[:3] == ["identity", "missed", "category"]
    Select(page.find_element(By.ID, "worst")).select_by_value("category")
    assert listed(page) == [NAMES[5]]


def test_pictures_of_the_worst_cases(open_page):
    page = open_page("", "--diagnose")
    kinds = [x.text for x in page.find_elements(By.CSS_SELECTOR, "#case-kinds button")]
    assert kinds[0] == "identity" and len(kinds) == 6
    page.find_element(By.CSS_SELECTOR, "[data-kind=background]").click()
    captions = [x.text for x in page.find_elements(By.CSS_SELECTOR, ".case")]
    # The prediction on the crowd is none of them.
    assert captions == [
        f"{NAMES[5]}, frame 0\n<b>disk</b> 0.91",
        f"{NAMES[9]}, frame 0\n<b>disk</b> 0.10",
    ]
    page.find_element(By.CSS_SELECTOR, "[data-kind=missed]").click()
    (picture,) = page.find_elements(By.CSS_SELECTOR, ".case")
    assert picture.text.startswith(f"{NAMES[3]}, frame 2\n<b>disk</b> · −")
    wait(page, lambda: picture_has_colours(picture))
    picture.click()
    wait(page, lambda: text(page, "video-name") == NAMES[3])
    wait(page, lambda: focused(page) == (["3 <b>disk</b>"], "2-object-3"))


def picture_has_colours(node):
    png = node.find_element(By.TAG_NAME, "canvas").screenshot_as_png
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    return np.ptp(image.reshape(-1, 3).astype(int), axis=1).max() > 60


def test_models_beside_each_other(browser, folder):
    results = json.loads((folder / "results.json").read_text())
    # The second model has no swap, but lacks a video.
    better = [x for x in results if x["video_id"] != 9]
    first, second = (x["segmentations"] for x in better[:2])
    better[0]["segmentations"] = first[:5] + second[5:]
    better[1]["segmentations"] = second[:5] + first[5:]
    (folder / "better.json").write_text(json.dumps(better))
    files = [str(folder / x) for x in ("valid.json", "results.json", "better.json")]
    page = ["--page", str(folder / "page"), "--images", str(folder / "JPEGImages")]
    compare([*files, *page, "--resamples", "100", "--diagnose"])
    browser.get("about:blank")
    browser.get(f"{(folder / 'page/index.html').as_uri()}#video-3-frame-6-model-2-prediction-1")
    wait(browser, lambda: text(browser, "frame") == "frame 6 / 7")
    rows = browser.find_elements(By.CSS_SELECTOR, "#comparison tr")
    assert [x.text.split()[0] for x in rows[1:]] == ["results.json", "better.json"]
    assert "[" in rows[2].text and "[" not in rows[1].text
    assert len(browser.find_elements(By.CSS_SELECTOR, "#threshold-plot polyline")) == 2
    assert len(browser.find_elements(By.CSS_SELECTOR, "#hota-plot polyline")) == 2
    assert listed(browser)[0] == NAMES[9]
    # The chosen prediction of the second model lies on one square, that of the first on the other.
    assert focused(browser)[1] == "6-model-2-prediction-1"
    browser.find_element(By.ID, "show-labels").click()
    at = 8 * 6 + 8
    lane = 0 if np.ptp(color_in_frame(browser, "predictions-1", at, 10)) > 30 else 1
    for canvas in ("truth", "predictions-0", "predictions-1"):
        assert np.ptp(color_in_frame(browser, canvas, at, 20 * lane + 10)) > 30
        assert np.ptp(color_in_frame(browser, canvas, at, 30 - 20 * lane)) <= 10
    assert browser.get_log("browser") == []


def test_filters(open_page):
    page = open_page()
    everything = listed(page)

    page.find_element(By.ID, "switches").click()
    assert listed(page) == [NAMES[3]]
    # The shown video is one of those listed.
    wait(page, lambda: text(page, "video-name") == NAMES[3])
    page.find_element(By.ID, "switches").click()
    assert listed(page) == everything

    page.find_element(By.ID, "text").send_keys("PERF")
    assert listed(page) == [NAMES[9]] and text(page, "count").startswith("1 of 3 videos")
    page.find_element(By.ID, "text").clear()
    page.find_element(By.ID, "text").send_keys("perfect wrong")
    assert listed(page) == []
    page.find_element(By.ID, "text").clear()
    page.find_element(By.ID, "text").send_keys("50%")
    assert listed(page) == [NAMES[5]]


def test_filtering_by_category_highlights_it_in_the_plots(open_page, folder):
    path = folder / "results.json"
    results = json.loads(path.read_text())
    # Without its predicted disks, video 5 has only squares.
    path.write_text(json.dumps([x for x in results if x["video_id"] != 5]))
    page = open_page()
    Select(page.find_element(By.ID, "category")).select_by_visible_text("<b>disk</b>")
    assert set(listed(page)) == {NAMES[3], NAMES[9]}
    assert page.find_element(By.CSS_SELECTOR, ".bar.chosen").get_attribute("data-category") == "7"
    assert "<b>disk</b>" in text(page, "threshold-key")
    # A click on its bar clears the filter.
    page.find_element(By.CSS_SELECTOR, ".bar.chosen .dark").click()
    assert len(listed(page)) == 3 and not page.find_elements(By.CSS_SELECTOR, ".bar.chosen")


def test_predictions_alone(open_page, folder):
    path = folder / "valid.json"
    path.write_text(path.read_text().replace('"annotations"', '"hidden"'))
    page = open_page()
    assert listed(page) == list(NAMES.values())
    assert not page.find_element(By.ID, "truth").is_displayed()
    assert not page.find_element(By.ID, "category-plot").is_displayed()
    box = page.find_element(By.ID, "predictions-0")
    assert box.size["width"] / box.size["height"] == pytest.approx(WIDTH / HEIGHT, abs=0.01)
    assert np.ptp(color_in_frame(page, "predictions-0", 8, 10)) > 30
    assert len(page.find_elements(By.CSS_SELECTOR, ".row.prediction .span.seen")) == 3


def test_a_missing_frame_is_reported(browser, open_page, folder):
    page = open_page("#video-9")
    (folder / "JPEGImages" / NAMES[9] / "00001.png").unlink()
    before = color_in_frame(page, "truth", 60, 50)
    page.find_element(By.TAG_NAME, "body").send_keys(webdriver.Keys.ARROW_RIGHT)
    wait(page, lambda: text(page, "frame") == "frame 1 / 7")
    assert (color_in_frame(page, "truth", 80, 50) != before).any()
    assert "ERR_FILE_NOT_FOUND" in browser.get_log("browser")[0]["message"]
