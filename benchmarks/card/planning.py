"""Which steps there are, the most telling first, and whether their commands exist."""

import contextlib
import importlib.util
import io
import sys
from functools import partial
from pathlib import Path
from typing import Any

from card.running import find_tool, is_installed
from card.steps import DEMO_CLIP, HERE, PYTHON, RESULT, ROOT, XML, Step

PHOTOGRAPHS = ("msgspec", "pyarrow", "filelock", "onnx", "onnxscript")
"""What reading a folder of photographs, or drawing scenes, imports beside torch."""
TEACHER = (*PHOTOGRAPHS, "pydantic", "tomli", "tomli_w", "open_clip", "timm", "safetensors")
RUN = (*TEACHER, "torchmetrics")
RUNTIMES = ("--runtime", "tensorrt", "--runtime", "onnxruntime", "--runtime", "torch")
LARGE = "ViT-L-14/random"
"""The teacher of the pass that is measured: its weights are drawn, as speed does not depend on them."""
WITHOUT_CACHING = (("PYTORCH_NO_CUDA_MEMORY_CACHING", "1"),)
"""Each tensor is an allocation of its own, so that an access beyond one is seen."""


def plan(device: str, tiny: bool, data_root: Path | None, mini_clip: Path | None) -> list[Step]:
    """Give the steps.

    Args:
        device: ``"cuda"``, ``"cuda:1"``, or ``"cpu"``.
        tiny: sizes for a CPU, to try the script itself.
        data_root: photographs, or None for demo scenes.
        mini_clip: folder of a small trained CLIP, or None.
    """
    photographs = ("--data-root", str(data_root.resolve())) if data_root else ()
    return tiny_plan(device, photographs) if tiny else card_plan(device, photographs, mini_clip)


def ccd_fast(*words: str, device: str) -> tuple[str, ...]:
    """Give a command of ccd-fast that writes its figures."""
    return (PYTHON, "-m", "ccd_fast", *words, "--device", device, "--out", RESULT)


def script(name: str, *words: str, device: str) -> tuple[str, ...]:
    """Give a script beside this file, or one folder up, that writes its figures."""
    return (
        PYTHON,
        str(HERE / name if (HERE / name).exists() else HERE.parent / name),
        *words,
        "--device",
        device,
        "--out",
        RESULT,
    )


def engine(teacher: str, *words: str, limit: float, device: str, what: str = "") -> Step:
    """Measure a teacher's engines."""
    name = Path(teacher).name if Path(teacher).is_dir() else teacher.split("/")[0]
    command = ccd_fast("bench", "engine", "--teacher", teacher, *words, device=device)
    return Step(f"bench engine {name}{what}", "engine", command, limit, TEACHER)


def tests(name: str, files: list[str], limit: float) -> Step:
    """Run the tests for a GPU of some files."""
    words = ("-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "--continue-on-collection-errors")
    return Step(
        name, "tests", (PYTHON, *words, f"--junitxml={XML}", *files), limit, ("pytest", "safetensors"), on_card=True
    )


def gpu_tests() -> tuple[list[str], list[str]]:
    """Give the files with tests for a GPU: those of the kernels, and the others."""
    marked = [
        file for file in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.gpu" in file.read_text(encoding="utf-8")
    ]
    names = [str(file.relative_to(ROOT)) for file in marked]
    kernels = [name for name in names if "kernels" in name]
    return kernels, [name for name in names if name not in kernels]


def sanitizer(tool: str, limit: float) -> Step:
    """Run the kernels once under compute-sanitizer."""
    words = ("compute-sanitizer", "--tool", tool, "--error-exitcode", "9", "--print-limit", "5")
    command = (*words, PYTHON, str(HERE / "kernels_once.py"))
    return Step(f"compute-sanitizer {tool}", "sanitizer", command, limit, ("cupy",), words[0], True, WITHOUT_CACHING)


def card_plan(device: str, photographs: tuple[str, ...], mini_clip: Path | None) -> list[Step]:
    """Give the steps on a card."""
    views = () if is_installed("nvidia.dali") else ("--views", "pillow")
    pictures = (*photographs, *views)
    kernels, others = gpu_tests()
    run, own, of = partial(ccd_fast, device=device), partial(script, device=device), partial(engine, device=device)
    half, whole = ("--precision", "fp16"), ("--batch-size", "64")
    large = ("--teacher", LARGE, "--batch-size", "64", *pictures)
    small = of(str(mini_clip.resolve()), *whole, limit=150) if mini_clip else None
    passes = ("--batch-size", "64", "--images", "1024", *pictures)
    steps = [
        Step("doctor", "doctor", (PYTHON, "-m", "ccd_fast", "doctor", "--json"), 60),
        Step("rates of the card", "rates", own("rates.py"), 60),
        tests("tests of the kernels", kernels, 150),
        Step("bench kernels", "kernels", run("bench", "kernels"), 90, ("cupy",), on_card=True),
        of("ViT-B-16/random", *half, *whole, "--batch-size", "1", *RUNTIMES, limit=150),
        Step("bench relabel ViT-L-14", "relabel", run("bench", "relabel", "--images", "512", *large), 200, TEACHER),
        Step(
            "relabel against the baseline",
            "baseline",
            own("relabel_against_baseline.py", "--images", "64", *large),
            120,
            TEACHER,
        ),
        Step("profile of a relabel pass", "profile", own("profile_pass.py", "--images", "512", *large), 100, TEACHER),
        tests("tests of everything else", others, 240),
        Step("bench decode", "decode", run("bench", "decode", *photographs, *views), 90, PHOTOGRAPHS),
        Step(
            "bench train",
            "train",
            run("bench", "train", "--images", "256", "--student", "resnet101", "--image-size", "448", *pictures),
            120,
            RUN,
        ),
        Step("demo world, CPU and card", "drift", own("demo_drift.py"), 180, RUN),
        sanitizer("memcheck", 100),
        of("ViT-L-14/random", *half, *whole, *RUNTIMES, limit=180),
        of("RN50x64/random", *half, "--batch-size", "32", *RUNTIMES, limit=240),
        small,
        Step(
            "bench relabel ViT-B-16",
            "relabel",
            run("bench", "relabel", "--teacher", "ViT-B-16/random", *passes),
            120,
            TEACHER,
        ),
        mini_clip
        and Step(
            f"bench relabel {mini_clip.name}",
            "relabel",
            run("bench", "relabel", "--teacher", str(mini_clip.resolve()), *passes),
            120,
            TEACHER,
        ),
        sanitizer("racecheck", 90),
        of("ViT-B-16/random", *half, *whole, "--runtime", "torch-compiled", limit=150, what=", compiled"),
        of(
            "ViT-B-16/random",
            "--precision",
            "fp32",
            "--precision",
            "bf16",
            *whole,
            *RUNTIMES,
            limit=150,
            what=", fp32 and bf16",
        ),
        Step(
            "bench train, compiled", "train", run("bench", "train", "--compile", "--images", "256", *pictures), 200, RUN
        ),
    ]
    return [step for step in steps if step]


def tiny_plan(device: str, photographs: tuple[str, ...]) -> list[Step]:
    """Give the steps in sizes that a CPU does in minutes, with the demo's CLIP: to try the script itself."""
    views = () if is_installed("nvidia.dali") else ("--views", "pillow")
    kernels, _ = gpu_tests()
    run, own = partial(ccd_fast, device=device), partial(script, device=device)
    small = ("--student", "test_resnet", "--image-size", "64", *photographs, *views)
    once = ("--repeats", "1")
    return [
        Step("doctor", "doctor", (PYTHON, "-m", "ccd_fast", "doctor", "--json"), 90),
        Step("rates of the card", "rates", own("rates.py", "--tiny"), 60),
        tests("tests of the kernels", kernels, 60),
        Step(
            "bench kernels",
            "kernels",
            run("bench", "kernels", "--rows", "200", *once),
            60,
            ("cupy",) if device != "cpu" else (),
        ),
        engine(
            DEMO_CLIP,
            "--batch-size",
            "4",
            *once,
            "--runtime",
            "onnxruntime",
            "--runtime",
            "torch",
            limit=90,
            device=device,
        ),
        Step("bench relabel", "relabel", run("bench", "relabel", "--images", "12", *small, *once), 120, TEACHER),
        Step(
            "relabel against the baseline",
            "baseline",
            own("relabel_against_baseline.py", "--images", "4", "--rounds", "1", *small),
            90,
            TEACHER,
        ),
        Step("profile of a relabel pass", "profile", own("profile_pass.py", "--images", "12", *small), 90, TEACHER),
        Step(
            "bench decode",
            "decode",
            run("bench", "decode", "--images", "12", "--image-size", "64", *photographs, *views),
            60,
            PHOTOGRAPHS,
        ),
        Step(
            "bench train", "train", run("bench", "train", "--images", "8", "--batch-size", "4", *small, *once), 90, RUN
        ),
        Step("demo world, CPU and card", "drift", own("demo_drift.py", "--scenes", "50", "--epochs", "3"), 150, RUN),
        sanitizer("memcheck", 60),
    ]


def missing_command(step: Step) -> str:
    """Say what is wrong with a step's command, without running it, or nothing."""
    words = list(step.command)
    if words[0] != PYTHON:
        if not find_tool(words[0]):
            return ""  # it is left out, and says so
        words = words[words.index(PYTHON) :]
    try:
        if words[1:3] == ["-m", "ccd_fast"]:
            return _parses(words[3:])
        if words[1] == "-m":
            lacking = [word for word in words if word.startswith("tests/") and not (ROOT / word).is_file()]
            return f"no such file: {' '.join(lacking)}" if lacking else ""
        return _script_parses(Path(words[1]), words[2:])
    except ModuleNotFoundError as error:
        return "" if error.name in RUN else f"{error.name} not installed"


def _parses(words: list[str]) -> str:
    """See whether ccd-fast has a command and its options."""
    import typer.main

    from ccd_fast.cli import app

    command: Any = typer.main.get_command(app)
    rest = list(words)
    while (commands := getattr(command, "commands", None)) is not None:
        name = rest.pop(0) if rest else ""
        if name not in commands:
            return f"ccd-fast has no command {' '.join(words[: len(words) - len(rest)])}"
        command = commands[name]
    try:
        command.make_context(name, rest)
    except Exception as error:  # noqa: BLE001 - usage errors of click, and whatever an option's type raises
        return f"ccd-fast {name}: {getattr(error, 'message', error)}"
    return ""


def _script_parses(file: Path, words: list[str]) -> str:
    """See whether a script is there, and takes its options."""
    if not file.is_file():
        return f"no such file: {file}"
    if not words:
        return ""
    spec = importlib.util.spec_from_file_location(f"_{file.stem}", file)
    if spec is None or spec.loader is None:
        return f"{file} cannot be read"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            module.options().parse_args(words)
    except SystemExit:
        return said.getvalue().strip().splitlines()[-1]
    return ""
