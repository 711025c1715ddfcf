"""The exceptions that end a command with one line instead of a traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something outside the code is wrong: the message is one line that says what, where and the mend.

    The command line prints it without a traceback and exits with code 2.
    """


class RunError(Exception):
    """The run itself cannot go on: the message is one line; exit code 1. What was done before it is on disk."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Give ``; did you mean 'x'?`` for the valid name closest to ``name``, or nothing if none is close."""
    close = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
