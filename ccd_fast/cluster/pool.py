"""Ray: a pool of actors, each with its engine, to which Ray Data hands shard after shard.

Nothing is scheduled here. Ray Data gives a free actor the next shard; Ray starts an actor that has ended again, on
another machine where its own is gone. What such an actor had is handed out again once the others are done, a few times:
each writes its table whole, so that it does not matter who came last.
"""

import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ccd_fast.cluster.shards import Shard
from ccd_fast.cluster.steps import Step
from ccd_fast.cluster.worker import Worker
from ccd_fast.errors import RunError, UserError

ROUNDS = 3
"""Times that a shard is handed out: one that ends its actor each time is told, and the others are done."""
LOCAL = "ray"
"""What ``--on`` calls the cluster that this machine is part of, or else a new one on this machine alone."""


@dataclass(frozen=True)
class Pool:
    """The actors.

    Attributes:
        address: :data:`LOCAL`, or ``ray://HOST:PORT``.
        actors: how many; None for as many as there are GPUs, or cores.
        cpus: cores that each has.
        gpus: of each, also in parts; None is one where the cluster has any and the device is not the CPU.
        device: where the networks run.
    """

    address: str = LOCAL
    actors: int | None = None
    cpus: float = 1.0
    gpus: float | None = None
    device: str = "auto"


def connect(pool: Pool) -> Pool:
    """Connect to the cluster, and settle how many actors there are, of what.

    Raises:
        UserError: Ray is not installed, no cluster answers, or it has no place for an actor.
    """
    if pool.address != LOCAL and not pool.address.startswith("ray://"):
        raise UserError(f"--on {pool.address}: it is ray, or ray://HOST:PORT")
    try:
        import ray
    except ImportError as error:
        raise UserError("--on ray: needs Ray: pip install 'ccd_fast[ray]'") from error
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that is started here reports to nobody
        try:
            ray.init(
                address=None if pool.address == LOCAL else pool.address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=True,
            )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(f"--on {pool.address}: no cluster answers: {reason}") from error
    there = ray.cluster_resources()
    gpus = pool.gpus
    if gpus is None:
        gpus = 1.0 if pool.device != "cpu" and there.get("GPU", 0) >= 1 else 0.0
    fitting = int(there.get("CPU", 0) / pool.cpus) if pool.cpus else 10**6
    if gpus:
        fitting = min(fitting, int(there.get("GPU", 0) / gpus))
    if fitting < 1:
        raise UserError(
            f"--on {pool.address}: no place for an actor of {pool.cpus:g} cores and {gpus:g} GPUs: the cluster has "
            f"{there.get('CPU', 0):g} cores and {there.get('GPU', 0):g} GPUs"
        )
    return Pool(pool.address, min(pool.actors or fitting, fitting), pool.cpus, gpus, pool.device)


def over(pool: Pool, shards: Sequence[Shard], step: Step) -> Iterator[dict[str, Any]]:
    """Do a step to shards on the pool's actors; gives a report of each that was heard of, as they come.

    Args:
        pool: as :func:`connect` gives it.
        shards: to do.
        step: what to do.

    Raises:
        RunError: the cluster is gone, or no actor can be started in it.
    """
    left = {shard.name: shard for shard in shards}
    for _ in range(ROUNDS):
        for report in _round(pool, list(left.values()), step):
            left.pop(report["shard"], None)
            yield report
        if not left:
            return


def _round(pool: Pool, shards: Sequence[Shard], step: Step) -> Iterator[dict[str, Any]]:
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # what an actor had when it ended is handed out again in the next round
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    actors = max(1, min(pool.actors or 1, len(shards)))
    rows = [{"shard": shard.as_json()} for shard in shards]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # max_task_retries has no other place yet
        data = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            Worker,
            fn_constructor_args=(step,),
            compute=ActorPoolStrategy(
                min_size=1, max_size=actors, initial_size=actors, max_tasks_in_flight_per_actor=1
            ),
            num_cpus=pool.cpus,
            num_gpus=pool.gpus or None,
            max_task_retries=0,  # a shard does not wait for its actor, which may wait for a place
        )
    try:
        for row in data.iter_rows():
            yield json.loads(row["report"])
    except (ray.exceptions.RayError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise RunError(f"--on {pool.address}: {reason}; what was done is kept: go on with --incremental") from error
