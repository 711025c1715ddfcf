"""Towers in two halves: what the whole view's box gives, and any other box, against open_clip and NumPy."""

import dataclasses

import numpy as np
import open_clip
import pytest
import torch
from torch.nn.functional import normalize
from torchvision.ops import roi_align

from ccd_fast import engines
from ccd_fast.engines import EngineSettings, ImageTower, Store
from ccd_fast.engines.box_runtime import open_boxes
from ccd_fast.engines.map_towers import is_projected, map_tower
from ccd_fast.errors import UserError
from ccd_fast.teacher import clip as teacher
from tests.engines.random_towers import MEAN, STD, embed, normalised, pictures, tower_of
from tests.engines.test_runtimes import relative_error

WHOLE = (0.0, 0.0, 1.0, 1.0)
SMALL_VIT = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}


def small(**vision) -> ImageTower:
    """A tower of open_clip at 64 pixels."""
    torch.manual_seed(0)
    model = open_clip.CLIP(32, vision, {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1})
    model.eval().requires_grad_(False)
    if "patch_size" in vision:
        model.visual.conv1.weight.data *= 3  # otherwise the position embeddings drown the picture
    for module in model.visual.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    model.visual.train()(normalised(pictures(8, 64, seed=6), MEAN, STD))  # statistics as training leaves them
    return tower_of(model.eval(), "small")


FAMILIES = {
    "ResNet": lambda: small(image_size=64, layers=[1, 1, 1, 1], width=8, head_width=64),
    "ViT": lambda: small(**SMALL_VIT),
    "ViT, mean": lambda: small(**SMALL_VIT, pool_type="avg"),
    "ViT, norm behind the mean": lambda: small(**SMALL_VIT, pool_type="avg", final_ln_after_pool=True),
    "ConvNeXt": lambda: small(image_size=64, timm_model_name="test_convnext", timm_pool="", timm_proj="linear"),
    "CNN of timm": lambda: small(
        image_size=64, timm_model_name="test_efficientnet", timm_pool="avg", timm_proj="linear", timm_proj_bias=True
    ),
}


@pytest.fixture(scope="module", params=FAMILIES)
def tower(request) -> ImageTower:
    return FAMILIES[request.param]()


def halves(tower, size, runtime, store):
    """Both halves, opened: pixels to maps, and boxes of maps to embeddings."""
    split = map_tower(tower, size)
    settings = EngineSettings(runtime, batch_size=4, threads=1)
    return split, engines.open_engine(split.looks, settings, store), open_boxes(split, settings, store)


def some_boxes(maps: int) -> torch.Tensor:
    """Two boxes of each map, thin ones and ones at the edge among them."""
    rng = np.random.default_rng(3)
    corner = rng.uniform(0, 0.7, (2 * maps, 2))
    boxes = np.concatenate([corner, np.minimum(corner + rng.uniform(0.02, 0.6, corner.shape), 1)], axis=1)
    owner = np.repeat(np.arange(maps), 2)[:, None]
    return torch.from_numpy(np.concatenate([owner, boxes], axis=1)).float()


def whole_views(maps: int) -> torch.Tensor:
    return torch.tensor([[float(row), *WHOLE] for row in range(maps)])


def plain_roi_align(cells, box, bins, samples):
    """RoI-align of one box, (D, n, n), sample by sample: bilinear, the outer cells drawn out to the edge."""
    side = cells.shape[-1]
    x0, y0, x1, y1 = (float(v) * side for v in box)
    out = np.zeros((cells.shape[0], bins, bins))
    for i in range(bins):
        for j in range(bins):
            for k in range(samples):
                for m in range(samples):
                    y = np.clip(y0 + (y1 - y0) * (i + (k + 0.5) / samples) / bins - 0.5, 0, side - 1)
                    x = np.clip(x0 + (x1 - x0) * (j + (m + 0.5) / samples) / bins - 0.5, 0, side - 1)
                    top, left = int(min(y, side - 2)), int(min(x, side - 2))
                    for row, weight in ((top, top + 1 - y), (top + 1, y - top)):
                        out[:, i, j] += weight * (
                            (left + 1 - x) * cells[:, row, left] + (x - left) * cells[:, row, left + 1]
                        )
    return out / samples**2


def test_roi_align_is_what_numpy_gives():
    cells = torch.randn((2, 3, 5, 5), generator=torch.Generator().manual_seed(1))
    boxes = some_boxes(2)
    ours = roi_align(cells, boxes * torch.tensor([1.0, 5, 5, 5, 5]), (4, 4), 1.0, 2, True)
    for box, got in zip(boxes, ours, strict=True):
        expected = plain_roi_align(cells[int(box[0])].numpy(), box[1:], 4, 2)
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_box_of_the_whole_view_has_the_tower_s_own_embedding(tower, tmp_path):
    pixels = pictures(3, tower.image_size)
    reference = embed(tower.module, pixels)
    split, looks, boxes = halves(tower, tower.image_size, "torch", Store(tmp_path))
    maps = looks.embed(pixels)
    assert maps.shape == (3, split.numbers)
    ours = boxes.embed(maps, whole_views(3))
    assert relative_error(ours, reference) <= 1e-3
    assert relative_error(ours.roll(1, 0), reference) > 0.1


def test_other_boxes_have_what_the_head_makes_of_their_features(tower, tmp_path):
    """A map that is, everywhere in the view, what a box has pooled has that box's embedding."""
    pixels = pictures(3, tower.image_size)
    split, looks, boxes = halves(tower, tower.image_size, "torch", Store(tmp_path))
    maps, asked, half = looks.embed(pixels), some_boxes(3), split.boxes
    cells = maps[:, : half.width * half.grid**2].unflatten(1, (half.width, half.grid, half.grid)).numpy()
    ours = boxes.embed(maps, asked)
    for box, got in zip(asked, ours, strict=True):
        pooled = plain_roi_align(cells[int(box[0])], box[1:], half.bins, half.samples)
        if half.bins == 1:
            pooled = np.tile(pooled, (1, half.grid, half.grid))
        own = maps[int(box[0]), half.width * half.grid**2 :]
        row = torch.cat([torch.from_numpy(pooled).float().flatten(), own])
        expected = boxes.embed(row[None], whole_views(1))[0]
        torch.testing.assert_close(got, expected, atol=2e-5, rtol=0)
    apart = (ours[0::2] * ours[1::2]).sum(dim=1)
    assert apart.max() < 0.9999, "two boxes of a photograph are not one"


OFTEN = ("CNN of timm", "ViT")
"""Families whose export is tried in every run of the tests; all in ``make test-deep``."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "tower", [pytest.param(name, marks=() if name in OFTEN else pytest.mark.deep) for name in FAMILIES], indirect=True
)
def test_exported_halves_agree_with_torch(tower, cache):
    pixels, asked = pictures(3, tower.image_size), some_boxes(3)
    _, looks, boxes = halves(tower, tower.image_size, "torch", Store(cache))
    reference = boxes.embed(looks.embed(pixels), asked)
    _, exported, exported_boxes = halves(tower, tower.image_size, "onnxruntime", Store(cache))
    assert (exported.runtime, exported_boxes.runtime) == ("onnxruntime", "onnxruntime")
    ours = exported_boxes.embed(exported.embed(pixels), asked)
    assert relative_error(ours, reference) <= 1e-3
    assert relative_error(ours.roll(1, 0), reference) > 1e-2


def test_a_row_does_not_depend_on_its_neighbours(tmp_path):
    _, looks, boxes = halves(FAMILIES["ViT"](), 64, "torch", Store(tmp_path))
    maps, asked = looks.embed(pictures(3, 64)), some_boxes(3)
    many = boxes.embed(maps, asked.repeat(20, 1))
    assert torch.equal(boxes.embed(maps, asked[1:2])[0], many[1])
    assert torch.equal(boxes.embed(maps, asked), many[-6:])
    assert boxes.embed(maps, asked[:0]).shape == (0, many.shape[1])


def test_a_larger_view_of_a_vit_has_positions_as_open_clip_resamples_them(tmp_path):
    own = FAMILIES["ViT, mean"]()
    torch.manual_seed(0)
    larger = open_clip.transformer.VisionTransformer(96, 16, 64, 2, 2, 4.0, pool_type="avg", output_dim=32).eval()
    state = own.module.state_dict()
    state["positional_embedding"] = open_clip_resampled(own.module, larger)
    larger.load_state_dict(state)
    pixels = pictures(3, 96)
    _, looks, boxes = halves(own, 96, "torch", Store(tmp_path))
    assert relative_error(boxes.embed(looks.embed(pixels), whole_views(3)), embed(larger, pixels)) <= 1e-3


def open_clip_resampled(visual, larger) -> torch.Tensor:
    state = {"visual.positional_embedding": visual.positional_embedding.data}
    around = torch.nn.Module()
    around.visual = larger
    open_clip.model.resize_pos_embed(state, around)
    return state["visual.positional_embedding"]


def test_the_map_of_a_linear_head_is_kept_projected(tmp_path):
    assert map_tower(FAMILIES["CNN of timm"](), 64).boxes.width == 32
    assert map_tower(FAMILIES["ViT, mean"](), 64).boxes.width == 32
    assert map_tower(FAMILIES["ViT, norm behind the mean"](), 64).boxes.width == 64
    assert map_tower(FAMILIES["ConvNeXt"](), 64).boxes.width == 64


def test_a_map_is_projected_where_nothing_but_a_projection_follows_the_mean():
    found = {name: is_projected(make()) for name, make in FAMILIES.items()}
    assert found == {name: name in ("CNN of timm", "ViT, mean") for name in FAMILIES}
    assert not is_projected(small(**SMALL_VIT, attentional_pool=True, attn_pooler_heads=2)), "it has no map"


@pytest.mark.parametrize(
    ("vision", "says"),
    [
        (
            {**SMALL_VIT, "attentional_pool": True, "attn_pooler_heads": 2},
            "small: has no map .*learned queries.*'crops'",
        ),
        ({"image_size": 64, "timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear"}, "no grid"),
        (
            {"image_size": 64, "timm_model_name": "test_resnet", "timm_pool": "max", "timm_proj": "linear"},
            "with a mean",
        ),
    ],
)
def test_a_tower_without_a_map_says_so(vision, says):
    torch.manual_seed(0)
    with_text = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
    visual = open_clip.CLIP(32, vision, with_text).visual.eval()
    with pytest.raises(UserError, match=says):
        map_tower(ImageTower("small", visual, 64, MEAN, STD, "bicubic"), 64)


def test_a_view_that_patches_do_not_cover_says_so():
    with pytest.raises(UserError, match=r"patches of 16 pixels do not cover a view of 100.*relabel.maps_size"):
        map_tower(FAMILIES["ViT"](), 100)


def test_a_map_has_an_engine_of_its_own_and_embeddings_keep_theirs():
    own = FAMILIES["CNN of timm"]()
    assert "gives" not in own.identity()
    assert map_tower(own, 64).looks.identity()["gives"] == "map"
    assert dataclasses.replace(own, gives="map").identity() != own.identity()


@pytest.mark.parametrize("size", [224, 320])
def test_a_trained_tower_s_whole_view_is_its_own_embedding(size, shared, tmp_path):
    clip = teacher.load_clip(str(shared / "models" / "mini-clip"))
    split, looks, boxes = halves(clip.tower, size, "torch", Store(tmp_path))
    assert split.boxes.width == 256, "projected from 1280"
    pixels = pictures(2, size)
    ours = boxes.embed(looks.embed(pixels), whole_views(2))
    assert relative_error(ours, embed(clip.tower.module, pixels, clip.tower.mean, clip.tower.std)) <= 1e-3
    assert torch.allclose(ours, normalize(ours, dim=1))
