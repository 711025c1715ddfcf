"""The Recipe: every knob of the method, typed and validated.

A recipe is a TOML file. The built-in ones stand in ``ccd_fast/recipes/``; a file may say
``extends = "folder"`` and give only what differs. No knob has a default hidden in the code.
"""

import types
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import tomli
import tomli_w
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ccd_fast import prompts
from ccd_fast.errors import UserError, nearest

Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
Pixels = Annotated[int, Ge(16), Le(4096)]
Megapixels = Annotated[float, Gt(0), Le(178)]  # Pillow refuses to decode more
Count = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]


class Section(BaseModel):
    """A table of the recipe: immutable, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class TeacherKnobs(Section):
    """The frozen CLIP that scores views (section 1)."""

    model: str = Field(description="open_clip's name, e.g. ViT-B-32/laion2b_s34b_b79k, hf-hub:org/name, or a folder")
    templates: list[str] = Field(
        description="prompts, each with one {} for the class name; a string names a file with one a line, or "
        + " or ".join(prompts.ENSEMBLES),
        min_length=1,
    )
    image_size: Pixels | Literal["native"] = Field(description="side of the teacher's square input, in pixels")
    runtime: Literal["auto", "tensorrt", "onnxruntime", "torch", "torch-compiled"] = Field(
        description="what runs the image tower"
    )
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(description="auto is fp32 on a CPU, fp16 on a GPU")
    batch_size: Count = Field(description="views in one call of the engine")

    @field_validator("templates", mode="before")
    @classmethod
    def _found(cls, templates: object) -> object:
        """Put the templates themselves in the place of a name: a run's recipe does not change with a file."""
        return prompts.templates_from(templates, Path()) if isinstance(templates, str) else templates

    @field_validator("templates")
    @classmethod
    def _one_name_each(cls, templates: list[str]) -> list[str]:
        for template in templates:
            prompts.refuse_bad_template(template)
        return templates


class StudentKnobs(Section):
    """The CNN that learns (section 3)."""

    backbone: str = Field(description="any CNN of timm")
    weights: str = Field(description="'imagenet' (timm's), 'none', or a file in timm's names")
    alpha: Positive = Field(description="piecewise boost of the positive part of the maps (alpha)")
    image_size: Pixels = Field(description="side of the square training and test views, in pixels")
    relabel_image_size: Pixels | Literal["same"] = Field(description="side of the relabel views")
    runtime: Literal["auto", "torch", "onnxruntime"] = Field(
        description="what runs the student outside training; auto is onnxruntime on a CPU where that pays"
    )


class LabelKnobs(Section):
    """First pseudo-labels (section 2)."""

    max_entropy: NonNegative = Field(description="an image is confident up to this entropy, in nats")
    floor: Annotated[float, Ge(0), Lt(1)] = Field(description="label smoothing from below (epsilon)")


class BiasKnobs(Section):
    """The teacher's class bias (section 2)."""

    debias: bool = Field(description="divide scores by the bias")
    min_count: Natural = Field(description="a class on top in fewer confident images is drawn to the mean bias")


class RelabelKnobs(Section):
    """Label update (section 4)."""

    epochs: Natural | Literal["every"] = Field(description="label updates, one an epoch after the warm-up")
    k: Natural = Field(description="at most k + 2 active classes an image on average set the threshold tau")
    min_tau: Share = Field(description="smallest tau")
    cam_threshold: Annotated[float, Ge(0), Lt(1)] = Field(description="the box encloses the normalised CAM above this")
    margin: Share = Field(description="growth of a box on every side, as a share of the view")
    ema: Share = Field(description="weight of the old label in an update (lambda)")
    average: Literal["moving", "running", "anchored"] = Field(
        description="the old label is the last one (moving), the mean of all so far (running) or the first (anchored)"
    )
    whole: bool = Field(description="the whole image is one of the crops")
    cache_mib: Natural = Field(description="most MiB for the scores of the last update's crops; 0 keeps none")
    cache_grid: Annotated[int, Ge(0), Le(1024)] = Field(
        description="boxes grow outward to a grid of so many pixels of the view, to move less often; 0 is off"
    )


class ViewKnobs(Section):
    """How pixels become views."""

    backend: Literal["auto", "dali", "pillow"] = Field(description="what decodes, crops and resizes")
    choice: Literal["cam", "whole", "grid", "random", "ground-truth", "near-ground-truth"] = Field(
        description="where the teacher looks again; all but cam are for comparison"
    )
    grid: Annotated[int, Ge(1), Le(16)] = Field(description="cells along a side of the grid")
    per_class: Count = Field(description="crops for each active class, or for each object")
    jitter: Share = Field(description="random shift of a crop's sides, as a share of its width or height")
    max_megapixels: Megapixels = Field(description="a photograph of more pixels (10^6) is refused; 3 MB of RGB each")
    max_bad_frac: Share = Field(description="a run stops where a larger share of the images cannot be read")


class ConsistencyKnobs(Section):
    """Consistency loss (section 5)."""

    mu: NonNegative = Field(description="weight of the loss between the two views; 0 turns section 5 off")
    omega: NonNegative = Field(description="added to an image's confident flag to give its weight")
    color_jitter: Annotated[float, Ge(0), Le(0.5)] = Field(
        description="brightness, contrast and saturation of the second view change by up to this share"
    )
    hue_jitter: Annotated[float, Ge(0), Le(0.5)] = Field(
        description="hue of the second view turns by up to this share of the circle, either way"
    )


class TrainKnobs(Section):
    """Optimisation and the choice of the epoch (sections 3 and 6)."""

    epochs: Count = Field(description="number of epochs")
    warmup_epochs: Count = Field(description="epochs before the first label update")
    batch_size: Count = Field(description="images in a step")
    backbone_learning_rate: NonNegative = Field(description="Adam's learning rate for the backbone; 0 freezes it")
    head_learning_rate: Positive = Field(description="Adam's learning rate for the 1x1 convolution")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        description="auto is fp32 on a CPU, bf16 on a GPU that has it"
    )
    compile: bool = Field(description="take the steps through torch.compile, which costs its time at the first ones")
    save_minutes: NonNegative = Field(description="minutes between checkpoints inside a pass; 0 is at its end only")
    choose: Literal["label-free", "last"] = Field(description="which epoch becomes checkpoints/best")


class EvaluateKnobs(Section):
    """Evaluation and prediction (section 6)."""

    threshold: Share = Field(description="a class is predicted from this score on (CF1, OF1, predict)")


class Recipe(Section):
    """Every knob of a run. Section numbers are those of the method's description in docs/METHOD.md."""

    seed: Natural = Field(description="key of every random draw")
    compat: Literal["none", "official"] = Field(
        description="official: as the published code does it where that differs from the method, to compare; slow"
    )
    teacher: TeacherKnobs
    student: StudentKnobs
    labels: LabelKnobs
    bias: BiasKnobs
    relabel: RelabelKnobs
    views: ViewKnobs
    consistency: ConsistencyKnobs
    train: TrainKnobs
    evaluate: EvaluateKnobs

    def dumps(self) -> str:
        """Give the recipe as TOML; :func:`load` reads it back to an equal recipe."""
        return tomli_w.dumps(self.model_dump())


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

    Raises:
        UserError: in one line: the key, what it allows, and the nearest valid name.
    """
    table = _read(str(name_or_file), base)
    for override in overrides:
        _apply(table, override)
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise UserError(f"recipe {name_or_file}: {_explain(error)}") from error


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
    except tomli.TOMLDecodeError as error:
        raise UserError(f"recipe {name_or_file}: not valid TOML: {error}") from error
    if Path(name_or_file).is_file():
        _find_templates(table, Path(name_or_file).parent)
    below = table.pop("extends", base)
    if below and below not in built_in():
        raise UserError(f"recipe {name_or_file}: extends {below!r}, which is not one of {', '.join(built_in())}")
    return _merge(_read(below, ""), table) if below else table


def _find_templates(table: dict[str, Any], folder: Path) -> None:
    """Read a file of templates that a recipe file names; it is looked for beside the recipe."""
    teacher = table.get("teacher")
    if isinstance(teacher, dict) and isinstance(teacher.get("templates"), str):
        teacher["templates"] = prompts.templates_from(teacher["templates"], folder)


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
        text = words.get(kind, "a list of strings" if get_origin(kind) is list else "a table")
        signs = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
        bounds = [f"{sign} {getattr(m, name):g}" for m in limits for name, sign in signs if hasattr(m, name)]
        parts.append(" ".join([text, " and ".join(bounds)]).strip())
    return " or ".join(parts) or "a table"
