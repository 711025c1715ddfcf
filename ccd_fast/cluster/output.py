"""The folder that a run over shards leaves: what was asked, what is done, and what it came to."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from ccd_fast.cluster.storage import Place
from ccd_fast.cluster.table_files import DONE, LABELS, QUARANTINE, SCORES
from ccd_fast.errors import RunError, UserError

PLAN, BIAS, SUMMARY = "plan.json", "bias.json", "summary.json"
READERS = 16
"""Records that are read at a time: an object store answers each after some hundredths of a second."""


def begin(out: Place, plan: Mapping[str, Any], incremental: bool, overwrite: bool) -> None:
    """Begin a run over shards, or go on with one.

    Args:
        out: its folder.
        plan: what is asked; whoever goes on must ask the same.
        incremental: go on with what is there, if anything is.
        overwrite: begin anew; what was there is removed.

    Raises:
        UserError: there is one already, another, or something else.
    """
    if incremental and overwrite:
        raise UserError("--incremental goes on with what is there, --overwrite removes it: give one of them")
    if not out.exists(PLAN):
        if out.names():
            raise UserError(f"--out {out.at}: not empty, and not what a run over shards has left: name another folder")
    elif overwrite:
        for name in (PLAN, SUMMARY, BIAS, DONE, SCORES, LABELS, QUARANTINE):
            out.remove(name)
    elif not incremental:
        raise UserError(f"--out {out.at}: already exists; go on with --incremental, or replace it with --overwrite")
    else:
        _refuse_another(out, plan)
        out.sweep()
        return
    write_json(out, PLAN, plan)


def _refuse_another(out: Place, plan: Mapping[str, Any]) -> None:
    before, now = read_json(out, PLAN), json.loads(json.dumps(plan))
    for name in now:
        if before.get(name) != now[name]:
            shown = "" if name in ("recipe", "parts") else f": {before.get(name)}, not {now[name]}"
            raise UserError(
                f"--incremental: {out.at} was begun with another {name}{shown}; ask for the same, or give --overwrite"
            )


def done(out: Place, which: str) -> set[str]:
    """Name the shards whose table and record are there."""
    tables = {name.removesuffix(".parquet") for name in out.names(which)}
    return tables & {name.removesuffix(".json") for name in out.names(f"{DONE}/{which}")}


def records(out: Place, which: str, names: set[str]) -> Iterator[dict[str, Any]]:
    """Read the records of shards, in no order, few at a time, so that memory does not grow with their number."""
    waiting = iter(sorted(names))
    with ThreadPoolExecutor(READERS) as readers:
        while some := list(islice(waiting, READERS)):
            yield from readers.map(lambda name: read_json(out, f"{DONE}/{which}/{name}.json"), some)


def read_json(out: Place, name: str) -> dict[str, Any]:
    """Read a JSON file.

    Raises:
        RunError: it is gone, or damaged.
    """
    try:
        content: dict[str, Any] = json.loads(out.read(name))
    except (FileNotFoundError, ValueError) as error:
        raise RunError(f"{out.at}/{name}: gone or damaged: remove it and go on with --incremental") from error
    return content


def write_json(out: Place, name: str, content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    out.write(name, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
