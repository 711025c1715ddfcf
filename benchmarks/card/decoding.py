"""Decoding: photographs a second, and whether a photograph's pixels depend on those that are decoded beside it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from card import timing
from card.setting import Setting
from card.ways import SAYS
from ccd_fast.bench.decode import Load, measure_decode
from ccd_fast.machine import on_stream_for
from ccd_fast.views import installed_backends, open_backend

SIDE = 224
SHARES = (0.65, 0.0, 1.0)
"""Of a batch that DALI gives to the card's own decoder of JPEGs; the first is what it does if it is not told."""
FILES = {"dali": 256, "pillow": 64}
"""Photographs that the backends are timed on, in batches of :data:`BATCH`."""
BATCH = 64
Pictures = Sequence[np.ndarray]
Decode = Callable[[Sequence[np.ndarray]], list[Any]]


def measure(setting: Setting) -> None:
    """Compare DALI's ways of decoding, and time each backend."""
    files, what = setting.photographs
    files = [file.resolve() for file in files]
    if "dali" in installed_backends():
        with on_stream_for("bench", torch.device(setting.device)):  # DALI is not to work on the default stream
            of_dali(setting, files)
    else:
        setting.ledger.left_out("DALI's ways of decoding", "nvidia.dali is not installed")
    for name in installed_backends():
        of_views(setting, name, files[: setting.sizes.decoded])
        count = setting.sizes.decoded if setting.tiny else FILES[name]
        load = Load(tuple(files[:count]), min(BATCH, count), SIDE, torch.get_num_threads(), setting.device)
        for row in measure_decode(load, [name], repeats=2)["results"]:
            if row["backend"]:
                note = f"{SAYS[name]}; {what}, {load.threads} threads"
                setting.ledger.figure(f"{row['backend']}: {row['task']}", row["per_s"], "a second", note, **row)


def of_views(setting: Setting, name: str, files: Sequence[Path]) -> None:
    """Compare whole views of files that are decoded alone and together, by a backend as it is."""
    with on_stream_for("bench", torch.device(setting.device)):
        backend = open_backend(name, torch.get_num_threads(), setting.device)
        places = np.arange(len(files))
        alone = [backend.decode([file], places[:1]) for file in files]
        ours = [backend.whole(each, SIDE, "bicubic")[0].cpu().numpy() for each in alone]
        together = backend.whole(backend.decode(files, places), SIDE, "bicubic").cpu().numpy()
    setting.ledger.figure(f"{backend.name}: views of files together, against alone", **differences(ours, together))


def of_dali(setting: Setting, files: Sequence[Path]) -> None:
    """Decode the same files alone, together, and together in another order, by each share of the card's decoder."""
    contents = [np.fromfile(file, dtype=np.uint8) for file in files[: setting.sizes.decoded]]
    order = np.random.default_rng(0).permutation(len(contents))
    for share in SHARES if setting.on_card else (None,):
        decode = dali_decoder(setting.device, share)
        name = "DALI" if share is None else f"DALI, {share:.0%} of a batch by the card's own decoder"
        alone = [on_host(decode([content]))[0] for content in contents]
        together = on_host(decode(contents))
        shuffled = on_host(decode([contents[place] for place in order]))
        back = [shuffled[place] for place in np.argsort(order)]
        for how, others in (("together", together), ("together, in another order", back)):
            setting.ledger.figure(f"{name}: {how}, against alone", **differences(alone, others))
        each = timing.steady(lambda decode=decode: decode(contents), setting.device, setting.sizes.work)
        setting.ledger.figure(f"{name}: decode", len(contents) / max(each), "a second", "the slower repeat")


def dali_decoder(device: str, share: float | None) -> Decode:
    """Give what decodes a batch of bytes by DALI as the views do, to tensors of DALI."""
    import nvidia.dali.experimental.dynamic as dali
    from nvidia.dali import types

    backend = open_backend("dali", torch.get_num_threads(), device)
    on = {"device": "gpu" if device.startswith("cuda") else "cpu"}
    how = on if share is None else {**on, "hw_decoder_load": share}

    def decode(contents: Sequence[np.ndarray]) -> list[Any]:
        with backend.on_torch_stream():  # type: ignore[attr-defined]
            made = dali.decoders.image(
                dali.as_batch(list(contents)), output_type=types.RGB, jpeg_fancy_upsampling=True, **how
            )
            return [tensor.evaluate() for tensor in made.evaluate().tensors]

    return decode


def on_host(pictures: Sequence[Any]) -> Pictures:
    """Copy DALI's tensors to the host."""
    return [np.array(picture.cpu().evaluate()) for picture in pictures]


def differences(ours: Pictures, theirs: Pictures) -> dict[str, object]:
    """Count the pictures that differ in a pixel; give them as a figure, with how far they are apart in levels."""
    apart = [np.abs(a.astype(int) - b.astype(int)) for a, b in zip(ours, theirs, strict=True)]
    return {
        "value": sum(bool(each.any()) for each in apart),
        "unit": f"of {len(apart)} differ",
        "note": "wanted: 0, so that pixels do not depend on neighbours",
        "most": int(max(each.max() for each in apart)),
        "mean": float(np.mean([each.mean() for each in apart])),
    }
