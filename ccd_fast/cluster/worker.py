"""An actor of the pool: one shard after the other; what goes wrong with one is told, and the next is done."""

import json
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ccd_fast import machine
from ccd_fast.cluster import table_files
from ccd_fast.cluster.shards import Shard, Staged, images_of, staged
from ccd_fast.cluster.steps import Step
from ccd_fast.errors import RunError, UserError
from ccd_fast.runs import Stages

REFUSED, DAMAGED, FAILED = "refused", "damaged", "failed"
"""What a report says in place of a record: nothing can be done here at all; the shard is at fault; the machine is."""


class Worker:
    """Does a step to the shards that it is given."""

    def __init__(self, step: Step) -> None:
        """Nothing is opened before there is a shard."""
        machine.keep_freed_memory()
        torch.set_num_threads(step.job.threads)
        self.step = replace(step)  # type: ignore[type-var]
        self._is_open = False

    def __call__(self, row: dict[str, Any]) -> dict[str, str]:
        """Take and give a row of Ray Data: a shard, and the report of it, as JSON."""
        return {"report": json.dumps(self.report(Shard.from_json(str(row["shard"]))))}

    def report(self, shard: Shard) -> dict[str, Any]:
        """Do a shard.

        Returns:
            ``shard``, its name, and ``record``, what was done; or one of :data:`REFUSED`, :data:`DAMAGED` and
            :data:`FAILED` with the reason.
        """
        start = time.perf_counter()
        parts: dict[str, float] = {}
        step, job = self.step, self.step.job

        def keep(ended: dict[str, Any]) -> None:
            for part, share in ended["share"].items():
                parts[part] = parts.get(part, 0.0) + share * ended["seconds"]

        stages = Stages(Console(quiet=True), keep)
        nothing = Staged(images_of(Path(), (), job.prompt_names), ())
        try:
            with staged(shard, job.source, job.prompt_names) if step.looks else nullcontext(nothing) as here:
                parts["fetch"] = time.perf_counter() - start
                if not self._is_open:
                    device = str(machine.choose_device(job.device)[0])
                    stages.on_gpu = device != "cpu"
                    try:
                        step.open(here.images, stages, device)
                    except (UserError, RunError) as error:
                        return {"shard": shard.name, REFUSED: str(error)}
                    self._is_open = True
                    parts["open"] = time.perf_counter() - start - parts["fetch"]
                record = step.do(shard, here, stages)
            record |= {"seconds": time.perf_counter() - start, "parts": parts}
            table_files.write_record(job.out, step.writes, shard.name, record)
        except UserError as error:
            return {"shard": shard.name, DAMAGED: str(error)}
        except (RunError, OSError) as error:
            return {"shard": shard.name, FAILED: str(error)}
        return {"shard": shard.name, "record": record}
