"""Archives and outputs in S3, here a local server that fails now and then."""

import threading
from collections import Counter
from dataclasses import replace
from urllib.request import urlopen

import pytest
from small_archive import LINKED, read_files, write_archive

pytest.importorskip("s3fs")
pytest.importorskip("flask")
moto_server = pytest.importorskip("moto.server")

import s3fs  # noqa: E402
from fsspec import config  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

from maskprop_d2.archive.inputs import find_videos  # noqa: E402
from maskprop_d2.archive.processing import VideoProcessor  # noqa: E402
from maskprop_d2.archive.storage import open_output  # noqa: E402
from maskprop_d2.errors import InputError  # noqa: E402


class Store:
    """A server of S3 whose requests for some paths fail a number of times.

    Attributes:
        failures: numbers of failures to come, by method and the end of the path.
        requests: numbers of requests, by the same.
    """

    def __init__(self):
        self._app = moto_server.DomainDispatcherApplication(moto_server.create_backend_app)
        self.failures = {}
        self.requests = Counter()

    def __call__(self, environ, start_response):
        request = environ["REQUEST_METHOD"], environ["PATH_INFO"].rpartition("/")[2]
        self.requests[request] += 1
        if self.failures.get(request, 0) > 0:
            self.failures[request] -= 1
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b""]
        return self._app(environ, start_response)


@pytest.fixture
def store(monkeypatch, tmp_path):
    """A store with ``s3://bucket/in``, where the archive in ``tmp_path / "in"`` is too."""
    app = Store()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    config.set_conf_env(config.conf)
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem()
    files.mkdir("bucket")
    files.put(f"{write_archive(tmp_path / 'in', videos=2)}/", "bucket/in/", recursive=True)
    yield app
    # Otherwise the next server would begin with these files.
    urlopen(f"http://127.0.0.1:{server.server_port}/moto-api/reset", data=b"").close()
    server.shutdown()
    thread.join()
    config.conf.pop("s3", None)
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_store_that_fails_now_and_then(store, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    settings = replace(LINKED, formats=("json", "parquet"))
    output = open_output("s3://bucket/out")
    videos = find_videos(["s3://bucket/in"])
    assert [x.address for x in videos if x.is_folder] == ["s3://bucket/in/frames"]
    store.failures = {("GET", "v0.mp4"): 1, ("PUT", "results.json"): 2, ("PUT", "video.json"): 1}
    processor = VideoProcessor(settings, output)
    outcomes = [processor.process(video, retries=4) for video in videos]
    assert [x.reason for x in outcomes] == [None] * 3
    assert not any(store.failures.values())
    assert output.finished() == {x.name for x in videos}
    # The same as from a disk, apart from the addresses.
    local = open_output(str(tmp_path / "out"))
    for video in find_videos([str(tmp_path / "in")]):
        assert VideoProcessor(settings, local).process(video).reason is None
    files = s3fs.S3FileSystem()
    found = {files.cat_file(x) for x in files.find("bucket/out/videos") if "results" in x}
    expected = {v for k, v in read_files(tmp_path / "out").items() if "results" in k}
    assert found == expected and len(found) == 2


def test_a_video_without_its_last_file_is_not_finished(store):
    output = open_output("s3://bucket/out")
    (video, *_) = find_videos(["s3://bucket/in/v0.mp4"])
    processor = VideoProcessor(LINKED, output)
    store.failures = {("PUT", "video.json"): 1}
    outcome = processor.process(video)
    assert outcome.details and output.finished() == set()
    assert s3fs.S3FileSystem().find("bucket/out/videos")
    assert processor.process(video).reason is None
    assert output.finished() == {video.name}
    puts = store.requests["PUT", "results.json"]
    assert processor.process(video).reason is None
    assert store.requests["PUT", "results.json"] == puts


def test_a_bucket_that_does_not_exist(store):
    with pytest.raises(InputError, match="s3://gone"):
        find_videos(["s3://gone/videos"])
