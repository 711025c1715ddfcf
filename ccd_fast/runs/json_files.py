"""JSON files of a run, read without PyTorch."""

import json
from pathlib import Path
from typing import Any

from ccd_fast.errors import UserError


def read(run: Path, name: str) -> dict[str, Any]:
    """Read a JSON file of a run.

    Raises:
        UserError: the folder is not a run, or one that has not begun, or the file is damaged.
    """
    try:
        content: dict[str, Any] = json.loads((run / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{run}: not a run of ccd-fast (no {name})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{run / name}: not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{run / name}: not what a run of ccd-fast wrote")
    if not content and name == "run.json":
        raise UserError(f"{run}: the run stopped before it began; start it again")
    return content
