"""Put the figures of a run into one JSON file: ``python benchmarks/record_run.py RUN OUT.json``.

Folders of the machine that the run was made on are left out: they say nothing about the figures.
"""

import json
import sys
from pathlib import Path

import tomli

KEPT = ("dataset", "class_names", "images", "engine", "views", "machine")


def record(run: Path) -> dict[str, object]:
    """Gather what a run says of itself: what it was, on what machine, and every line of its metrics."""
    description = json.loads((run / "run.json").read_text(encoding="utf-8"))
    recipe = tomli.loads((run / "recipe.toml").read_text(encoding="utf-8"))
    for section, knob in (("teacher", "model"), ("student", "weights")):
        recipe[section][knob] = Path(recipe[section][knob]).name
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    kept = {key: description[key] for key in KEPT}
    return {**kept, "recipe": recipe, "n_runs": 1, "metrics": [json.loads(line) for line in lines]}


if __name__ == "__main__":
    run, out = map(Path, sys.argv[1:])
    out.write_text(json.dumps(record(run), indent=1) + "\n", encoding="utf-8")
