"""A line where errors go."""

import sys
from functools import lru_cache

from ccd_fast.errors import printable


def say_on_stderr(line: str) -> None:
    """Print a line where errors go."""
    print(f"ccd-fast: {line}", file=sys.stderr)


@lru_cache(maxsize=1024)
def say_once_on_stderr(line: str) -> None:
    """Print a line where errors go, but one that was printed so before."""
    say_on_stderr(printable(line))
