"""Recipes: read from TOML, validated, and their mistakes explained in a line.

A recipe is a TOML file. The built-in ones stand in ``ccd_fast/recipes/``; a file may say
``extends = "folder"`` and give only what differs. No knob has a default hidden in the code.
"""

import types
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import tomli
from pydantic import BaseModel, ValidationError

from ccd_fast import prompts
from ccd_fast.errors import UserError, nearest
from ccd_fast.recipes import official
from ccd_fast.recipes.recipe import Recipe

__all__ = ["Recipe", "allows", "built_in", "knobs", "load"]


def built_in() -> list[str]:
    """Name the recipes that come with the package."""
    folder = resources.files("ccd_fast") / "recipes"
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def load(name_or_file: str | Path, overrides: Sequence[str] = (), base: str = "folder") -> Recipe:
    """Read a recipe.

    Args:
        name_or_file: a built-in name, or a TOML file; what the file leaves out comes from its ``extends``,
            or else from ``base``.
        overrides: ``section.knob=value`` each, the value in TOML's notation (a bare word is a string).
        base: built-in recipe below a file that does not say ``extends``.

    Returns:
        The recipe that will be run: in compat mode with what the published code does whatever it is asked.

    Raises:
        UserError: in one line: the key, what it allows, and the nearest valid name.
    """
    table = _read(str(name_or_file), base)
    for override in overrides:
        _apply(table, override)
    try:
        recipe = Recipe.model_validate(table)
    except ValidationError as error:
        raise UserError(f"recipe {name_or_file}: {_explain(error)}") from error
    return official.settled(recipe) if recipe.compat == "official" else recipe


def of_run(run: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read the recipe of a run; a knob that came after the run has the value that changes nothing.

    ``overrides`` are those of :func:`load`.

    Raises:
        UserError: in one line.
    """
    return load(run / "recipe.toml", overrides, base="paper-voc12")


def _read(name_or_file: str, base: str) -> dict[str, Any]:
    if name_or_file in built_in():
        text = (resources.files("ccd_fast") / "recipes" / f"{name_or_file}.toml").read_text(encoding="utf-8")
        base = ""
    else:
        path = Path(name_or_file)
        if not path.is_file():
            raise UserError(
                f"recipe {name_or_file!r}: no such file, and the built-in recipes are {', '.join(built_in())}"
                + nearest(name_or_file, built_in())
            )
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"recipe {name_or_file}: cannot be read: {error}") from error
    try:
        table = tomli.loads(text)
    except (tomli.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"recipe {name_or_file}: not valid TOML: {error}") from error
    if Path(name_or_file).is_file():
        _find_templates(table, Path(name_or_file).parent)
        _as_it_is_named_now(table)
    below = table.pop("extends", base)
    if below and below not in built_in():
        raise UserError(f"recipe {name_or_file}: extends {below!r}, which is not one of {', '.join(built_in())}")
    return _merge(_read(below, ""), table) if below else table


def _find_templates(table: dict[str, Any], folder: Path) -> None:
    """Read a file of templates that a recipe file names; it is looked for beside the recipe."""
    teacher = table.get("teacher")
    if isinstance(teacher, dict) and isinstance(teacher.get("templates"), str):
        teacher["templates"] = prompts.templates_from(teacher["templates"], folder)


def _as_it_is_named_now(table: dict[str, Any]) -> None:
    """Take the one grid that ``labels.grid`` named, 0 for none, for ``labels.grids``: runs have been made with it."""
    labels = table.get("labels")
    if isinstance(labels, dict) and isinstance(labels.get("grid"), int) and "grids" not in labels:
        grid = labels.pop("grid")
        labels["grids"] = [grid] if grid else []


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merge(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return merged


def _apply(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {override}: give it as section.knob=value, for example train.epochs=4")
    try:
        value = tomli.loads(f"value = {text}")["value"]
    except tomli.TOMLDecodeError:
        value = text.strip()
    *sections, knob = key.strip().split(".")
    inner = table
    for depth, section in enumerate(sections):
        child = inner.setdefault(section, {})
        if not isinstance(child, dict):
            raise UserError(f"--set {override}: {'.'.join(sections[: depth + 1])} is a knob, not a section")
        inner = child
    inner[knob] = value


def _explain(error: ValidationError) -> str:
    """Say in one line what the first problem is; problems of unknown keys first, as they cause missing ones."""
    problems = sorted(error.errors(), key=lambda p: p["type"] != "extra_forbidden")
    problem = problems[0]
    where = [str(part) for part in problem["loc"]][:2]  # what follows names a list's item or a union's member
    key = ".".join(where)
    others = {p["loc"][:2] for p in problems} - {problem["loc"][:2]}
    more = f" (and {len(others)} more)" if others else ""
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key!r}{_nearest_key(where)}{more}"
    allowed = allows(where)
    if problem["type"] == "missing":
        return f"{key} is missing: it must be {allowed}{more}"
    value = problem["input"]
    if problem["type"] == "value_error":
        return f"{key}: {problem['ctx']['error']}{more}"
    hint = nearest(value, _choices(where)) if isinstance(value, str) else ""
    return f"{key} = {value!r}: must be {allowed}{hint}{more}"


def _fields(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= _fields(field.annotation, f"{prefix}{name}.")
        else:
            found[prefix + name] = field
    return found


def knobs() -> dict[str, str]:
    """Give every knob's full name with what it means and allows, for documentation and messages."""
    return {key: f"{f.description}: {allows(key.split('.'))}" for key, f in _fields(Recipe).items()}


def _nearest_key(where: list[str]) -> str:
    keys = list(_fields(Recipe))
    sections = list(Recipe.model_fields)
    if len(where) == 1:
        return nearest(where[0], sections) or f"; the sections are {', '.join(sections)}"
    section, knob = where
    close = nearest(knob, [k.split(".")[1] for k in keys if k.startswith(f"{section}.")])
    if close:
        return close.replace("mean '", f"mean '{section}.")
    elsewhere = [k for k in keys if k.endswith(f".{knob}")]
    if elsewhere:
        return f"; did you mean {elsewhere[0]!r}?"
    return f"; {section} has {', '.join(k.split('.')[1] for k in keys if k.startswith(section + '.'))}"


def _types(where: Sequence[str]) -> list[Any]:
    """List the alternatives of a knob's type, each with its limits, without None."""
    field = _fields(Recipe).get(".".join(where[:2]))
    if field is None:
        return []
    union = get_origin(field.annotation) in (Union, types.UnionType)
    options = list(get_args(field.annotation)) if union else [field.annotation]
    options = [o for o in options if o is not type(None)]
    return [Annotated[(o, *field.metadata)] if field.metadata else o for o in options]


def _choices(where: Sequence[str]) -> list[str]:
    return [str(c) for o in _types(where) for c in (get_args(o) if get_origin(o) is Literal else ())]


def allows(where: Sequence[str]) -> str:
    """Say in words what a knob allows, from its type."""
    words = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}
    parts = []
    for option in _types(where):
        kind, *limits = get_args(option) if get_origin(option) is Annotated else (option,)
        if get_origin(kind) is Literal:
            choices = ", ".join(repr(c) for c in get_args(kind))
            parts.append(f"one of {choices}" if len(get_args(kind)) > 1 else choices)
            continue
        text = words.get(kind, "a list of strings" if kind == list[str] else "a list of whole numbers")
        signs = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
        bounds = [f"{sign} {getattr(m, name):g}" for m in limits for name, sign in signs if hasattr(m, name)]
        parts.append(" ".join([text, " and ".join(bounds)]).strip())
    return " or ".join(parts) or "a table"
