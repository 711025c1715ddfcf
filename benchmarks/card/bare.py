"""A Python that has only what a machine for cards has: an environment of links into the one that runs this.

It is made outside the repository, in seconds and without a download, to try there what is meant for such a machine.
"""

import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from card.plan import BROUGHT

HAS = (
    *("torch", "torchvision", "numpy", "cupy-cuda13x", "onnxruntime", "onnx", "onnxscript", "pip", "setuptools"),
    *("pytest", "pytest-timeout", "hypothesis", "pillow", "timm", "safetensors", "torchmetrics", "pyarrow", "rich"),
    *("typer", "filelock", "jinja2", "huggingface_hub", "regex", "scikit-learn"),
)
"""Packages of such a machine, as far as ccd_fast or its tests ask for them; what they want comes with them."""
LACKS = {module: distribution for module, distribution in BROUGHT.items() if module != "typing_extensions"}
"""Modules that must not be there, whoever wants them, and their distributions."""


def build(folder: Path, packages: Iterable[str] = HAS) -> tuple[Path, list[str]]:
    """Make the environment, unless it is there; give its Python, and the packages that are not here either.

    Raises:
        RuntimeError: something that such a machine lacks can be imported in it.
    """
    python, made_of = folder / "bin" / "python", folder / "made-of.txt"
    found, absent = closure(packages)
    wanted = "".join(sorted(f"{each.name} {each.version} {each.locate_file('')}\n" for each in found))
    if not made_of.is_file() or made_of.read_text() != wanted:
        venv.EnvBuilder(with_pip=False, symlinks=True, clear=True).create(folder)
        site = folder / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
        for distribution in found:
            link(distribution, site)
        made_of.write_text(wanted)
    ask = (
        "import sys, importlib.util as u\ndef has(m):\n try: return u.find_spec(m)\n except ImportError: return None\n"
    )
    ask += "print(*[m for m in sys.argv[1:] if has(m)])"
    there = subprocess.run([python, "-c", ask, *LACKS], capture_output=True, text=True, check=True, env={}).stdout
    if there.strip():
        raise RuntimeError(f"{folder} is not bare: it has {there.strip()}")
    return python, absent


def closure(packages: Iterable[str]) -> tuple[list[metadata.Distribution], list[str]]:
    """Give the distributions of packages and of all that they want; and the names of those that are not here."""
    from packaging.requirements import Requirement

    waiting = [Requirement(package) for package in packages]
    seen: set[tuple[str, str]] = set()
    found: dict[str, metadata.Distribution] = {}
    absent: list[str] = []
    lacks = [distribution.replace("_", "-") for distribution in LACKS.values()]
    while waiting:
        wanted = waiting.pop()
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        for extra in ("", *wanted.extras):
            if (name, extra) in seen or name in lacks:
                continue
            seen.add((name, extra))
            try:
                found[name] = metadata.distribution(wanted.name)
            except metadata.PackageNotFoundError:
                absent.append(name)
                break
            needs = [Requirement(text) for text in found[name].requires or []]
            waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return list(found.values()), absent


def link(distribution: metadata.Distribution, site: Path) -> None:
    """Link a distribution's files, one by one, as some share a folder with packages that are not wanted."""
    for file in distribution.files or []:
        target = site / file
        if ".." in file.parts or os.path.lexists(target):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(Path(str(distribution.locate_file(file))).resolve())
