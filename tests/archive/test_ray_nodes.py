"""A cluster of two nodes on this machine, one of which is lost."""

from dataclasses import replace

import pytest
from small_archive import LINKED, read_files, write_archive

from maskprop_d2.archive.inputs import Video
from maskprop_d2.archive.jobs import Job
from maskprop_d2.archive.local_engine import process_locally
from maskprop_d2.archive.ray_engine import process_on_ray

VIDEOS, FRAMES = 16, 120


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_when_a_node_is_lost_the_others_finish_its_videos(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    # Seconds, for a machine that is busy.
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")
    folder = write_archive(tmp_path / "in", videos=VIDEOS, length=FRAMES)
    videos = [Video(str(folder / f"v{i}.mp4")) for i in range(VIDEOS)]
    settings = replace(LINKED, tracker="maskprop")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        node = cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        job = Job(settings, str(tmp_path / "ray"), retries=3)
        outcomes = process_on_ray(videos, job, workers=2)
        found = [next(outcomes)]
        cluster.remove_node(node, allow_graceful=False)
        found += outcomes
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert {x.video for x in found} == set(videos) and len(found) == VIDEOS
    assert [x.reason for x in found] == [None] * VIDEOS
    list(process_locally(videos, Job(settings, str(tmp_path / "local")), workers=1, timeout=600))
    assert read_files(tmp_path / "ray") == read_files(tmp_path / "local") != {}
