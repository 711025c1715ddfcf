"""``bench engine``: operations are counted from the graph, rates from the clock, refusals are told."""

import pytest
import torch
from torch import nn

from ccd_fast import engines
from ccd_fast.bench import engine as bench
from ccd_fast.engines import ImageTower, Store
from ccd_fast.errors import UserError
from ccd_fast.teacher import clip as teacher
from tests.engines.test_attention_pool import small_resnet


def tower_of(module: nn.Module, size: int) -> ImageTower:
    return ImageTower("tiny", module, size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic")


def test_operations_are_those_of_the_graph():
    module = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.Flatten(), nn.Linear(4 * 8 * 8, 10))
    by_hand = 2 * (8 * 8) * 4 * (3 * 4 * 4) + 2 * 256 * 10
    assert bench.operations(tower_of(module, 32)) == by_hand


def test_of_an_attention_pool_only_one_query_counts():
    visual = small_resnet()
    pixels = torch.zeros(1, 3, 64, 64)
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as whole:
        visual(pixels)
    tokens, width = 5, 512
    fewer = 2 * (tokens - 1) * width * (width + 24)  # queries and outputs of the other tokens
    attention = 2 * 2 * (tokens - 1) * tokens * width
    counted = bench.operations(tower_of(visual, 64))
    assert counted == pytest.approx(whole.get_total_flops() - fewer - attention, rel=0.02)
    assert counted < whole.get_total_flops()


def test_every_row_says_its_rate_and_its_share_of_a_matrix_product(tiny_clip, cache, monkeypatch):
    monkeypatch.setattr(bench.measure, "matmul_rate", lambda *arguments: 1e12)
    tower = teacher.load_clip(str(tiny_clip)).tower
    rows, refused, ceilings = bench.bench(
        tower, ["onnxruntime", "torch"], ["fp32", "fp16"], [2], "cpu", Store(cache), 2
    )
    assert [(row.runtime, row.precision) for row in rows] == [
        ("onnxruntime", "fp32"),
        ("torch", "fp32"),
        ("torch", "fp16"),
    ]
    assert list(refused) == ["onnxruntime fp16 2"]
    assert ceilings == {"fp32": 1e12, "fp16": 1e12}
    for row in rows:
        assert row.images_per_second == pytest.approx(2 / row.timing.median)
        assert row.flops == pytest.approx(row.images_per_second * bench.operations(tower))
        assert row.of_matmul == pytest.approx(row.flops / 1e12)
        assert row.record()["timing"]["n"] == 2
    assert rows[0].difference is None
    assert rows[1].difference < 1e-4 < 0.05 > rows[2].difference > 1e-6


def test_nothing_that_can_run_is_an_error_with_the_reasons(tiny_clip, cache, monkeypatch):
    monkeypatch.setattr(bench.measure, "matmul_rate", lambda *arguments: 1e12)
    tower = teacher.load_clip(str(tiny_clip)).tower
    with pytest.raises(UserError, match="tensorrt fp32 2: runtime tensorrt, fp32 on cpu: "):
        bench.bench(tower, ["tensorrt"], ["fp32"], [2], "cpu", Store(cache))
    assert "tensorrt" in engines.RUNTIMES
