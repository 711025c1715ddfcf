"""Prompts: from class names and templates to the texts that the teacher reads (section 1)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ccd_fast.errors import UserError, nearest
from ccd_fast.text import lines_of, read_text

ENSEMBLES = {"openai-imagenet": "OPENAI_IMAGENET_TEMPLATES", "openai-imagenet-simple": "SIMPLE_IMAGENET_TEMPLATES"}
"""Template ensembles that open_clip ships, by the name that a recipe gives them."""

BAR = "|"
"""Stands between the names of one class."""

_KINDS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("person", "people", "persons", "human", "humans"): ("man", "woman", "boy", "girl"),
    ("animal", "animals"): ("dog", "cat", "bird", "horse", "cow", "fish", "insect"),
    ("vehicle", "vehicles"): ("car", "bus", "truck", "bicycle", "motorcycle", "train", "boat", "airplane"),
    ("furniture",): ("chair", "table", "sofa", "bed", "cupboard"),
    ("food",): ("fruit", "vegetables", "bread", "meat", "cake", "soup"),
}
KINDS = {name: kinds for names, kinds in _KINDS.items() for name in names}
"""Of words so broad that captions seldom hold them, what captions say instead (``benchmarks/broad_names.py``)."""


def names_of(prompt_name: str) -> tuple[str, ...]:
    """Split the names of one class: ``person | man | woman`` is three names, and most classes have one."""
    return tuple(name.strip() for name in prompt_name.split(BAR))


def kinds_beside(prompt_names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Find the classes whose kinds are asked for too, where a recipe widens names (not in the paper).

    They are those with a broad name and no other; a kind that is a class of its own, or another name of one, is not
    among them.

    Args:
        prompt_names: of all classes.

    Returns:
        By prompt name, its kinds.
    """
    taken = {name.casefold() for prompt_name in prompt_names for name in names_of(prompt_name)}
    every = {name: KINDS.get(name.casefold(), ()) for name in prompt_names}
    left = {name: tuple(kind for kind in kinds if kind not in taken) for name, kinds in every.items()}
    return {name: kinds for name, kinds in left.items() if kinds}


def texts(prompt_name: str, templates: list[str]) -> list[str]:
    """Give all prompts of one class: every name in every template."""
    return [template.format(name) for name in names_of(prompt_name) for template in templates]


def refuse_bad_template(template: str) -> None:
    """Check a template.

    Raises:
        ValueError: it does not hold ``{}`` once, and no other brace.
    """
    if template.count("{}") != 1 or set("{}") & set(template.replace("{}", "")):
        raise ValueError(f"{template!r} must hold {{}} once, where the class name goes")


def templates_from(said: str, folder: Path) -> list[str]:
    """Find the templates that a single string means.

    Args:
        said: a template, a name of :data:`ENSEMBLES`, or a text file with a template a line.
        folder: what a relative file name is relative to.

    Raises:
        UserError: it is none of them, or the file holds a line that is no template.
    """
    if "{" in said:
        return [said]
    if said in ENSEMBLES:
        return _shipped(ENSEMBLES[said])
    file = folder / said
    if not file.is_file():
        raise UserError(
            f"teacher.templates = {said!r}: no template (it has no {{}}), no such file, "
            f"and no ensemble ({', '.join(ENSEMBLES)})" + nearest(said, ENSEMBLES)
        )
    return _read(file)


def _shipped(name: str) -> list[str]:
    """Turn open_clip's functions of a name into templates."""
    from open_clip import zero_shot_metadata  # here, as it loads torch, and most recipes do without

    return [function("{}") for function in getattr(zero_shot_metadata, name)]


def _read(file: Path) -> list[str]:
    templates = []
    for number, line in enumerate(lines_of(read_text(file, "templates")), start=1):
        if not line.strip() or line.startswith("# "):
            continue
        try:
            refuse_bad_template(line.strip())
        except ValueError as error:
            raise UserError(f"templates {file}: line {number}: {error}") from error
        templates.append(line.strip())
    if not templates:
        raise UserError(f"templates {file}: is empty; give one a line, each with {{}} where the class name goes")
    return templates
