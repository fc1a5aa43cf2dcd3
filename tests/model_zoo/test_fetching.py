"""Fetching weights, from a server on this machine."""

import hashlib
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from maskprop_d2.errors import FetchError
from maskprop_d2.model_zoo import PRESETS, fetch_weights, fetching, local_path
from maskprop_d2.model_zoo.loading import get_weights

CONTENT = b"weights" * 1000


class Handler(BaseHTTPRequestHandler):
    """Serves ``CONTENT``; what the first part of the path says goes wrong."""

    def do_HEAD(self):
        problem = self.path.split("/")[1]
        if problem == "hang":
            self.server.closing.wait(20)
            return
        self.send_response(404 if problem == "gone" else 200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        self.server.requests.append(self.path)
        problem = self.path.split("/")[1]
        self.wfile.write({"cut": CONTENT[:99], "other": CONTENT[::-1]}.get(problem, CONTENT))

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests, server.closing = [], threading.Event()
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.closing.set()
        server.shutdown()


@pytest.fixture(params=["torchvision", "detectron2"])
def preset(request, server, tmp_path, monkeypatch):
    """A preset whose weights are ``CONTENT``, with an empty cache."""
    if request.param == "detectron2":
        pytest.importorskip("detectron2", reason="needs Detectron2")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "fvcore"))
    server.requests.clear()
    names = {"torchvision": "maskrcnn_resnet50_fpn", "detectron2": "mask_rcnn_R_50_FPN_3x"}
    preset = PRESETS[names[request.param]]
    algorithm, published = preset.checksum.split(":")
    digits = hashlib.new(algorithm, CONTENT).hexdigest()[: len(published)]
    # Each test has an address of its own: Detectron2 remembers what it has fetched.
    return replace(preset, url=address(server, tmp_path.name), checksum=f"{algorithm}:{digits}")


def address(server, problem):
    return f"http://127.0.0.1:{server.server_port}/{problem}/zoo/w.pth"


def files(tmp_path):
    """What is in the caches, apart from Detectron2's locks."""
    return [x for x in tmp_path.rglob("*") if x.is_file() and x.suffix != ".lock"]


def test_weights_are_fetched_once(preset, server, tmp_path):
    for _ in range(2):
        path = fetch_weights(preset)
        assert path.read_bytes() == CONTENT and path == local_path(preset)
        assert files(tmp_path) == [path] and len(server.requests) == 1
    folders = {
        "torchvision": "torch/hub/checkpoints",
        "detectron2": f"fvcore/{tmp_path.name}/zoo",
    }
    assert path == tmp_path / folders[preset.kind] / "w.pth"


@pytest.mark.parametrize(
    ("problem", "reason"),
    [("gone", "404"), ("cut", ""), ("other", "damaged or another file"), ("hang", "timed out")],
)
def test_what_cannot_be_fetched_is_named(problem, reason, preset, server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "TIMEOUT", 0.2)
    preset = replace(preset, url=address(server, problem))
    with pytest.raises(FetchError, match=reason) as error:
        fetch_weights(preset)
    assert preset.url in str(error.value) and "\n" not in str(error.value)
    assert not files(tmp_path)


def test_without_network_the_error_says_what_to_do(preset, server, caplog):
    url = "http://127.0.0.1:1/w.pth"
    with pytest.raises(FetchError, match=r"w.pth \(178 MB\) cannot be fetched .*--weights FILE"):
        fetch_weights(replace(preset, url=url))
    assert not caplog.records


def test_a_damaged_file_is_not_used(preset):
    path = local_path(preset)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(FetchError, match=r"damaged or another file: its (md5|sha256) is") as error:
        fetch_weights(preset)
    assert str(path) in str(error.value) and path.exists()


def test_a_file_address_needs_no_copy(preset, tmp_path):
    path = tmp_path / "mirror.pth"
    preset = replace(preset, url=f"file://{path}")
    with pytest.raises(FetchError, match=f"there is no file {path}: name a copy with --weights"):
        fetch_weights(preset)
    path.write_bytes(CONTENT)
    assert fetch_weights(preset) == path and files(tmp_path) == [path]
    path.write_bytes(b"damaged")
    with pytest.raises(FetchError, match="damaged"):
        fetch_weights(preset)


def test_a_copy_is_checked_if_it_has_the_published_name(preset, server, tmp_path):
    own, copy = tmp_path / "own.pth", tmp_path / "w.pth"
    for path in (own, copy):
        path.write_bytes(CONTENT)
        assert get_weights(preset, path) == path
        path.write_bytes(b"others")
    assert get_weights(preset, own) == own
    with pytest.raises(FetchError, match="damaged"):
        get_weights(preset, copy)
    assert not server.requests
