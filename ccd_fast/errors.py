"""The exceptions that end a command with one line instead of a traceback, and what may stand in that line."""

import difflib
import unicodedata
from collections.abc import Callable, Iterable


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


OBEYED = ("Cc", "Cs", "Zl", "Zp")
"""Categories of Unicode that a terminal acts upon, or cannot write: controls, lone surrogates, ends of lines."""
TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that turn the direction of what follows, by which one name can look like another."""


def is_name(text: str) -> bool:
    """Tell whether a text can be the name of a class: nothing in it is obeyed by a terminal, or is no character."""
    return printable(text) == text and not any(ord(c) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(c) <= 0xFDEF for c in text)


def printable(text: str) -> str:
    r"""Give a text with ``\x1b`` and the like in place of what a terminal would obey; tabs become spaces."""
    shown = text.replace("\t", " ")
    if shown.isprintable():
        return shown
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in OBEYED or c in TURNS else c for c in shown)


def refuse_all_at_once(*checks: Callable[[], object]) -> None:
    """Make several checks, and say all that is wrong in one line, so that nobody mends one to learn of the next.

    Raises:
        UserError: one of them, or several, did.
    """
    if problems := [problem for check in checks if (problem := _problem(check))]:
        raise UserError("; and ".join(dict.fromkeys(problems)))


def _problem(check: Callable[[], object]) -> str:
    try:
        check()
    except UserError as error:
        return str(error)
    return ""
