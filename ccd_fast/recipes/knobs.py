"""The knobs of a recipe by section: typed, with their limits and what they mean."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ccd_fast import prompts

Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
Pixels = Annotated[int, Ge(16), Le(4096)]
Megapixels = Annotated[float, Gt(0), Le(178)]  # Pillow refuses to decode more
Count = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]
FEW_PHOTOGRAPHS = 2000
"""Photographs up to which a head on a frozen backbone learns better than a whole student (docs/RESULTS.md)."""
BACKBONE_RATE = 1e-4
FEW_CLASSES = 8
"""Classes up to which anchors are the default: the few of a person's own leave most photographs out, where a long list
mostly covers them, and there the labels are as good with anchors as without (benchmarks/thresholds.py)."""


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
    names: Literal["given", "widened"] = Field(
        description="widened asks for a class with a broad name (person, animal, vehicle, furniture, food) by its "
        "kinds too, any of which will do; a class that has several names stays as it is"
    )
    image_size: Pixels | Literal["native"] = Field(description="side of the teacher's square input, in pixels")
    temperature: Positive = Field(
        description="scores are the softmax of the similarities over this; 1 is CLIP's own, above it they are softer"
    )
    runtime: Literal["auto", "tensorrt", "onnxruntime", "torch", "torch-compiled"] = Field(
        description="what runs the image tower"
    )
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(description="auto is fp32 on a CPU, fp16 on a GPU")
    batch_size: Count | Literal["auto"] = Field(
        description="views in one call of the engine; auto is 16 on a CPU, 256 on a GPU (64 above 256 pixels)"
    )

    def kinds_beside(self, prompt_names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Give the kinds that are asked for too, by the names of their classes."""
        return {} if self.names == "given" else prompts.kinds_beside(prompt_names)

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
    head: Literal["drawn", "ridge", "auto"] = Field(
        description="first weights of the last layer: drawn, or the ridge regression of the first labels on the "
        "backbone's features; auto is the latter where the backbone stays as it is"
    )
    alpha: Positive = Field(description="piecewise boost of the positive part of the maps (alpha)")
    image_size: Pixels = Field(description="side of the square training and test views, in pixels")
    relabel_image_size: Pixels | Literal["same"] = Field(description="side of the relabel views")
    runtime: Literal["auto", "torch", "onnxruntime"] = Field(
        description="what runs the student outside training; auto is onnxruntime on a CPU where that pays"
    )

    @property
    def relabel_size(self) -> int:
        """Give the side of the views that CAMs are computed on, in pixels."""
        return self.image_size if self.relabel_image_size == "same" else self.relabel_image_size


class LabelKnobs(Section):
    """First pseudo-labels (section 2)."""

    max_entropy: NonNegative | Literal["auto"] = Field(
        description="an image is confident up to this entropy, in nats; auto is 2, with ln C and the temperature"
    )
    floor: Annotated[float, Ge(0), Lt(1)] = Field(description="label smoothing from below (epsilon)")
    grids: list[Annotated[int, Ge(2), Le(16)]] = Field(
        description="the teacher also looks at the cells of grids of so many a side; [] is the whole image alone"
    )
    whole_weight: Share = Field(description="weight of the whole image beside the cells' maximum")
    neighbours: Natural = Field(
        description="labels are drawn towards those of so many photographs that look most alike to the student's "
        "backbone, where its last layer begins as a regression; 0 is none"
    )
    anchors: Literal["none", "everyday", "auto"] = Field(
        description="what a photograph may show in place of the classes: everyday nouns beside their names take their "
        f"share of the softmax, so that it may have no label; auto is everyday up to {FEW_CLASSES} classes"
    )
    table: Literal["memory", "mapped"] = Field(
        description="where (N, C) tables live: in each process's memory, or in mapped files, labels in half precision"
    )

    def anchors_for(self, classes: int) -> Literal["none", "everyday"]:
        """Give what stands beside C classes."""
        if self.anchors != "auto":
            return self.anchors
        return "everyday" if classes <= FEW_CLASSES else "none"

    def entropy_limit(self, classes: int, temperature: float = 1.0) -> float:
        """Give the limit in nats for C classes: at 2,000 of them nothing would be confident at the paper's 2 nats.

        ``auto`` is the share of the evenly spread scores' ln C that 2 nats are of VOC's 20 classes. What an entropy
        lacks of ln C falls with the square of the temperature, and so does what the limit lacks.
        """
        if self.max_entropy != "auto":
            return self.max_entropy
        most = math.log(classes)
        return most - (most - 2.0 * max(1.0, most / math.log(20))) / temperature**2


class BiasKnobs(Section):
    """The teacher's class bias (section 2)."""

    debias: bool = Field(description="divide scores by the bias")
    min_count: Natural = Field(description="a class on top in fewer confident images is drawn to the mean bias")
    again: bool = Field(description="measure the bias anew at each label update, over its crops; without anchors only")


class RelabelKnobs(Section):
    """Label update (section 4)."""

    epochs: Natural | Literal["every"] = Field(description="label updates, one an epoch after the warm-up")
    k: Natural = Field(description="at most k + 2 active classes an image on average set the threshold tau")
    min_tau: Share = Field(description="smallest tau")
    tau: Literal["once", "every"] = Field(description="tau is set at the first update (the paper), or at every one")
    cam_threshold: Annotated[float, Ge(0), Lt(1)] = Field(description="the box encloses the normalised CAM above this")
    margin: Share = Field(description="growth of a box on every side, as a share of the view")
    ema: Share = Field(description="weight of the old label in an update (lambda)")
    average: Literal["moving", "running", "anchored"] = Field(
        description="the old label is the last one (moving), the mean of all so far (running) or the first (anchored)"
    )
    whole: bool = Field(description="the whole image is one of the crops")
    teacher: Literal["crops", "maps", "auto"] = Field(
        description="the teacher looks at crops, or once at each photograph: boxes are then pooled from its map; auto "
        "is maps for a CNN whose projection is linear, of which alone it is measured"
    )
    maps_size: Pixels | Literal["native", "auto"] = Field(
        description="side of the view that maps are of, in pixels; auto is ten sevenths of the teacher's own"
    )
    maps_gib: NonNegative = Field(
        description="most GiB of maps in the cache's folder, kept from run to run; others are computed anew"
    )
    student: Literal["pass", "training", "auto"] = Field(
        description="CAMs are those of a pass of the student before the update, or of the training steps as they came; "
        "auto is the latter where these show what the update asks for and the backbone stays as it is"
    )
    settle: NonNegative = Field(description="updates end once one changes the labels by less than this on average")
    cache_mib: Natural = Field(description="most MiB for the scores of the last update's crops; 0, and maps, keep none")
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
    max_bad_frac: Share = Field(
        description="a run stops where a larger share of training or test images cannot be read"
    )


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
    backbone_learning_rate: NonNegative | Literal["auto"] = Field(
        description="Adam's learning rate for the backbone; 0 freezes it; auto is 1e-4, and 0 up to "
        f"{FEW_PHOTOGRAPHS:,} photographs where it has weights to begin with"
    )
    head_learning_rate: Positive | Literal["auto"] = Field(
        description="Adam's learning rate for the 1x1 convolution; auto is 1.5 over the run's steps, 1e-4 to 1e-2"
    )
    schedule: Literal["constant", "cosine"] = Field(
        description="cosine: rates rise over the first twentieth of the steps and then fall to 0 along a cosine"
    )
    ema: Annotated[float, Ge(0), Lt(1)] = Field(
        description="decay of the moving average of the student's weights, by step; it is what looks, and what is kept"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        description="auto is fp32 on a CPU, bf16 on a GPU that has it"
    )
    compile: bool = Field(description="take the steps through torch.compile, which costs its time at the first ones")
    save_minutes: NonNegative = Field(description="minutes between checkpoints inside a pass; 0 is at its end only")
    choose: Literal["label-free", "last"] = Field(description="which epoch becomes checkpoints/best")

    def head_rate(self, images: int) -> float:
        """Give the learning rate of the 1x1 convolution in a run over so many images.

        Adam moves a weight by about its rate at each step, whatever the gradient's size, so that rate times steps is
        how far the weights get.
        """
        if self.head_learning_rate != "auto":
            return self.head_learning_rate
        steps = self.epochs * math.ceil(images / self.batch_size)
        return min(max(1.5 / max(steps, 1), 1e-4), 1e-2)

    @property
    def backbone_rate(self) -> float:
        """Give the learning rate of the backbone; ``auto`` that :meth:`Recipe.train_over` has not settled trains it."""
        return BACKBONE_RATE if self.backbone_learning_rate == "auto" else self.backbone_learning_rate

    @property
    def freezes_the_backbone(self) -> bool:
        """Tell whether the backbone stays as it is: weights and BatchNorm statistics."""
        return self.backbone_rate == 0


class EvaluateKnobs(Section):
    """Evaluation and prediction (section 6)."""

    threshold: Share | Literal["auto"] = Field(
        description="a class is predicted from this score on (CF1, OF1, predict, label); auto: one for each class, "
        "chosen without labels"
    )


class SystemKnobs(Section):
    """Which system of the paper's table is trained, and what it is told of the labels (docs/METHOD.md)."""

    name: Literal[
        "ccd", "bce", "bce-ls", "sarb", "asl", "sst", "llr", "g2netpl", "an", "an-ls", "wan", "epr", "role", "cdul"
    ] = Field(description="ccd is the method of the paper; the others are what it is compared with")
    labels: Literal[
        "own",
        "none",
        "full",
        "partial",
        "one-positive",
        "file",
        "teacher-top1",
        "teacher-threshold",
        "teacher-soft",
        "teacher-tiles",
    ] = Field(description="what it is told of the labels; own is what the paper's table gives it")
    share: Share = Field(description="of the entries that partial labels keep")
    draw: Natural | Literal["published"] = Field(
        description="seed of partial labels or of the one positive; published is that of the published code"
    )
    threshold: Share = Field(description="teacher-threshold: the teacher's score from which on a class is positive")
    positives: Positive | Literal["teacher"] = Field(
        description="EPR, ROLE, G2NetPL: classes of an image on average; teacher: as many as its scores are spread over"
    )
    rejection: Share = Field(description="LL-R: growth of the rejected share of the losses, an epoch")
