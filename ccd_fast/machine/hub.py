"""The Hugging Face hub: what of it is on this machine, and what is said where something is not."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name

WEIGHTS = (".safetensors", ".bin", ".pt")
"""Endings of files of weights."""


def has(repository: str) -> bool:
    """Tell whether weights of a repository are in the hub's cache on this machine."""
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model") / "snapshots"
    return any(file.suffix in WEIGHTS for file in folder.glob("*/*"))


def announce(what: str, repository: str, say: Callable[[str], None] | None) -> bool:
    """Say that weights will be fetched, where that is so; a download may take minutes.

    Args:
        what: needs them.
        repository: that they come from; ``""`` where none is known.
        say: shows a line.

    Returns:
        Whether they will be fetched.
    """
    if not repository or has(repository) or constants.HF_HUB_OFFLINE:
        return False
    if say is not None:
        say(f"{what}: fetching {repository} from the Hugging Face hub, once; it is kept in {constants.HF_HUB_CACHE}")
    return True


def absent(what: str, repository: str, then: str) -> str:
    """Say that weights cannot be had, why, and the mend.

    Args:
        what: needs them.
        repository: that they come from.
        then: what to do with a folder of them.
    """
    why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the Hugging Face hub cannot be reached"
    return (
        f"{what} are not on this machine, and {why}: where it can be reached, `hf download {repository} "
        f"--local-dir FOLDER`; then {then}"
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the hub's lines about its retries from the user; what comes of them is raised."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
