"""Workers on a cluster, as actors of Ray Data."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import InputError
from .inputs import Video
from .jobs import Job, Outcome, default_workers

MAX_BLOCKS = 10_000
"""Tasks that videos are divided into: one for each video, unless there are more."""
DIED = "its worker died, or its node was lost, too often"


def process_on_ray(
    videos: Sequence[Video],
    job: Job,
    *,
    workers: int | None = None,
    address: str | None = None,
    cpus: int | None = None,
    gpus: float | None = None,
) -> Iterator[Outcome]:
    """Process videos on a cluster. Each worker is an actor that loads the model once. When an actor
    or a node is lost, Ray tries its video again on another one.

    Args:
        videos: in the order to start them in.
        job: what the workers do; all nodes must reach the output folder and the videos. Its
            ``threads`` are not used.
        workers: number of actors (default: one for each GPU, or for each 4 cores).
        address: of the cluster, such as "auto" or "ray://head:10001" (default: this machine).
        cpus, gpus: of each worker (default: what the cluster has now, shared out; a cluster that
            grows when it is needed does not have all of it at the start).

    Yields:
        the outcome of each video, in the order in which they end.

    Raises:
        InputError: if Ray is not installed, or there is no such cluster.
    """
    ray = _import_ray()
    started_here = not ray.is_initialized()
    if started_here:
        _connect(ray, address)
    try:
        yield from _process(ray, videos, job, _Resources(workers, cpus, gpus))
    finally:
        if started_here:
            ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        options["include_dashboard"] = False
    try:
        # Not the cluster that an environment variable names: the command line says which one.
        ray.init(address=address or "local", **options)
    # Ray has no exception of its own for this.
    except Exception as error:
        raise InputError(f"Ray at {address or 'this machine'} cannot be used: {error}") from error


@dataclass
class _Resources:
    """Number of workers, and cores and GPUs of each; None to find out."""

    workers: int | None = None
    cpus: int | None = None
    gpus: float | None = None

    def of(self, cluster: dict[str, float], videos: int) -> tuple[int, int, float]:
        """The same for a number of videos, from what a cluster has."""
        all_cpus, all_gpus = int(cluster.get("CPU", 1)), int(cluster.get("GPU", 0))
        workers = min(self.workers or default_workers(all_cpus, all_gpus), videos)
        cpus = self.cpus or max(1, all_cpus // workers)
        # Three workers on two GPUs: half of one for each, since a worker does not span two.
        gpus = 1 / math.ceil(workers / all_gpus) if all_gpus else 0
        return workers, cpus, self.gpus or gpus


def _process(
    ray: Any, videos: Sequence[Video], job: Job, resources: _Resources
) -> Iterator[Outcome]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # A video that kills its worker again and again must not end the run.
    context.max_errored_blocks = -1
    missing = {video.address: video for video in videos}
    # Ray gives up the tasks of a lost node while it still waits for the node.
    for _ in range(1 + job.retries):
        for outcome in _process_once(ray, list(missing.values()), job, resources):
            del missing[outcome.video.address]
            yield outcome
        if not missing:
            return
    for video in missing.values():
        yield Outcome(video, reason=DIED)


def _process_once(
    ray: Any, videos: Sequence[Video], job: Job, resources: _Resources
) -> Iterator[Outcome]:
    """The outcomes of all videos but those whose worker or node is lost."""
    count, cpus, gpus = resources.of(ray.cluster_resources(), len(videos))
    job = replace(job, threads=cpus)
    rows = [{"index": i, **asdict(video)} for i, video in enumerate(videos)]
    outcomes = ray.data.from_items(
        rows, override_num_blocks=min(len(videos), MAX_BLOCKS)
    ).map_batches(
        _Actor,
        fn_constructor_args=(job,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=count, initial_size=count),
        num_cpus=cpus,
        num_gpus=gpus,
        max_restarts=-1,
        max_task_retries=job.retries,
    )
    for row in outcomes.iter_rows():
        reason, details = row["reason"] or None, row["details"] or None
        video = videos[row["index"]]
        yield Outcome(video, row["frames"], reason, details, row["stops_run"])


class _Actor:
    """A worker, which takes batches of one video."""

    def __init__(self, job: Job):
        from .worker import process_video, start_processor

        self._job, self._process = job, process_video
        self._error = ""
        try:
            # Ray shows each actor only its own GPUs.
            self._processor = start_processor(job, index=0)
        except (InputError, OSError) as error:
            # Ray would start the actor again.
            self._error = str(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        video = Video(str(batch["address"][0]), int(batch["size"][0]), bool(batch["is_folder"][0]))
        if self._error:
            outcome = Outcome(video, reason=self._error, stops_run=True)
        else:
            outcome = self._process(self._processor, video, self._job.retries)
        return {
            "index": [batch["index"][0]],
            "frames": [outcome.frames],
            # Columns of a table have a type, which null alone does not.
            "reason": [outcome.reason or ""],
            "details": [outcome.details or ""],
            "stops_run": [outcome.stops_run],
        }


def _import_ray() -> Any:
    """The module, with its part for data.

    Raises:
        InputError: if it is not installed.
    """
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise InputError(
            f"--engine ray needs {error.name}, which is not installed: "
            "pip install 'maskprop-d2[ray]'"
        ) from error
    return ray
