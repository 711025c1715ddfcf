"""Names from files, as they may be shown: a terminal obeys control characters, and a file name may hold any."""

import unicodedata

OBEYED = ("Cc", "Cs", "Zl", "Zp")
"""Categories of Unicode that a terminal acts upon, or cannot write: controls, lone surrogates, ends of lines."""
TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that turn the direction of what follows, by which one name can look like another."""


def printable(text: str) -> str:
    r"""Give a text with ``\x1b`` and the like in place of what a terminal would obey; tabs become spaces."""
    shown = text.replace("\t", " ")
    if shown.isprintable():
        return shown
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in OBEYED or c in TURNS else c for c in shown)
