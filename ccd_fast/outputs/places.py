"""Where outputs go, and what belongs beside a file of labels; known without loading anything."""

from pathlib import Path

STUDENTS = {"onnx": ".onnx", "plan": ".plan", "safetensors": ".safetensors", "triton": ""}
"""Endings of an exported student, by format; one without is a folder."""


def interface(out: Path) -> Path:
    """Name the labelling interface that Label Studio's tasks belong to."""
    return out.with_suffix(".xml")


def unreadable(kind: str, out: Path) -> Path:
    """Name the list of photographs that could not be read.

    The metadata of an image folder lie among its photographs, where a list of others would be in the way: it lies
    beside that folder.
    """
    if kind == "imagefolder":
        folder = out.absolute().parent
        return folder.with_name(f"{folder.name}.unreadable.csv")
    return out.with_suffix(".unreadable.csv")


def files(kind: str, out: Path) -> list[Path]:
    """Name all that may be written beside a file of a format."""
    return [unreadable(kind, out), *([interface(out)] if kind == "label-studio" else [])]


def student(kind: str, run: Path) -> Path:
    """Name an exported student of a run where nobody names it."""
    return run / f"student{STUDENTS[kind]}" if STUDENTS[kind] else run / kind / "student"


def card(kind: str, out: Path) -> Path:
    """Name the card of an exported student: beside a file, inside a folder."""
    return out.with_suffix(".md") if STUDENTS[kind] else out / "card.md"
