"""What people told a run of its labels, in words; so that nothing that is made of it says that nobody did."""

from collections.abc import Mapping
from typing import Any

SUPERVISION = "supervision"
"""Of ``run.json``: what the method was told."""
OF_THE_TEACHER = "teacher"
"""What the names of sources begin with that no person stands behind."""


def by_people(described: Mapping[str, Any]) -> str:
    """Say what people told a run; nothing where they told it nothing.

    Args:
        described: ``run.json``.
    """
    told = described.get(SUPERVISION)
    return "" if told is None or str(told.get("source", "")).startswith(OF_THE_TEACHER) else in_words(told)


def in_words(told: Mapping[str, Any]) -> str:
    """Say how many labels are known, of how many photographs.

    Args:
        told: what :func:`ccd_fast.labels.known.counts` gives.
    """
    there, absent, images = told["positive"], told["negative"], told["images"]
    said = f"{there:,} {'label that is' if there == 1 else 'labels that are'} there and {absent:,} that "
    return f"{said}{'is' if absent == 1 else 'are'} not, on {images:,} {'photograph' if images == 1 else 'photographs'}"
