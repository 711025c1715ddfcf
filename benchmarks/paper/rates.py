"""Rates that times are derived from, where they come from, and the tables of a page between two marks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ccd_fast.errors import UserError


@dataclass(frozen=True)
class Rate:
    """A figure that times are derived from, and where it comes from."""

    value: float
    unit: str
    origin: str


def with_values(rates: Mapping[str, Rate], arguments: list[str]) -> dict[str, Rate]:
    """Put given values in the place of others: NAME=VALUE, or NAME=VALUE:ORIGIN.

    Raises:
        UserError: a name that is no rate, or a value that is not above 0.
    """
    changed = dict(rates)
    for argument in arguments:
        name, _, rest = argument.partition("=")
        value, _, origin = rest.partition(":")
        if name not in rates:
            raise UserError(f"{argument}: no rate {name!r}; the rates are {', '.join(rates)}")
        try:
            rate = float(value)
        except ValueError:
            rate = math.nan
        if not 0 < rate < math.inf:
            raise UserError(f"{argument}: {value!r} is no number above 0")
        changed[name] = replace(rates[name], value=rate, origin=origin or "given")
    return changed


def write_between(page: Path, begin: str, end: str, text: str) -> None:
    """Put a text between two marks of a page, in the place of what stands there."""
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
