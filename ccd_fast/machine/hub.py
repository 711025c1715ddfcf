"""The Hugging Face hub: what of it is on this machine, and what is said where something is not."""

import contextlib
import logging
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import constants

PATIENCE = 3.0
"""Seconds in which the hub's door must open: the hub's own client tries for a minute."""
WEIGHTS = (".safetensors", ".bin", ".pt")
"""Endings of files of weights."""


def has(repository: str) -> bool:
    """Tell whether weights of a repository are in the hub's cache on this machine."""
    return any(file.suffix in WEIGHTS for file in (folder_of(repository) / "snapshots").glob("*/*"))


def folder_of(repository: str) -> Path:
    """Give the folder of a repository in the hub's cache on this machine."""
    return Path(constants.HF_HUB_CACHE) / "--".join(["models", *repository.split("/")])


@lru_cache
def answers() -> bool:
    """Tell whether the hub, or the proxy on the way to it, can be reached; asked once, by opening a connection."""
    if constants.HF_HUB_OFFLINE:
        return False
    address = urlsplit(constants.ENDPOINT)
    proxy = urllib.request.getproxies().get(address.scheme)
    if proxy and not urllib.request.proxy_bypass(address.hostname or ""):
        address = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    opened = threading.Event()

    def ask() -> None:
        door = address.hostname or "", address.port or (80 if address.scheme == "http" else 443)
        with contextlib.suppress(OSError, ValueError), socket.create_connection(door, PATIENCE):
            opened.set()

    asking = threading.Thread(target=ask, daemon=True)  # a name server may take longer than a connection may
    asking.start()
    asking.join(PATIENCE)
    return opened.is_set()


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
