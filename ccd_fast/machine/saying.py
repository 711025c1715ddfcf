"""A line where errors go."""

import sys


def say_on_stderr(line: str) -> None:
    """Print a line where errors go."""
    print(f"ccd-fast: {line}", file=sys.stderr)
