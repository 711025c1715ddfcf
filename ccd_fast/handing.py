"""Names that a room hands on when they are asked for: whoever needs one of them does not wait for all of its files."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def handed_on(room: str, where: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Give the ``__getattr__`` of a room.

    Args:
        room: the package's ``__name__``.
        where: by file of the room, the names that it has.

    Returns:
        What finds a name in its file, or raises AttributeError.
    """
    file_of = {name: file for file, names in where.items() for name in names}

    def find(name: str) -> Any:
        if name not in file_of:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        return getattr(import_module(f"{room}.{file_of[name]}"), name)

    return find
