"""The attention pool: another grid, and one query instead of all."""

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from ccd_fast.engines.attention_pool import FirstQueryPool, resized_positions, with_first_query_only


def resized_by_pillow(positions: torch.Tensor, grid: int) -> torch.Tensor:
    """Channel by channel with Pillow's bicubic filter, which is antialiased and not aligned at the corners."""
    side = round((len(positions) - 1) ** 0.5)
    channels = positions[1:].T.reshape(-1, side, side).numpy()
    new = [np.asarray(Image.fromarray(c).resize((grid, grid), Image.Resampling.BICUBIC)) for c in channels]
    return torch.cat([positions[:1], torch.from_numpy(np.stack(new)).flatten(1).T])


@pytest.mark.parametrize("grid", [4, 7, 9, 14])
def test_positions_are_resampled_as_pillow_does_it(grid):
    positions = torch.randn(1 + 7 * 7, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        resized_positions(positions, grid), resized_by_pillow(positions, grid), rtol=0, atol=1e-5
    )


def small_resnet(image_size: int = 64) -> torch.nn.Module:
    torch.manual_seed(0)
    visual = open_clip.modified_resnet.ModifiedResNet([1, 1, 1, 1], 24, heads=4, image_size=image_size, width=16)
    for module in visual.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
    return visual.eval().requires_grad_(False)


def test_one_query_gives_what_all_queries_gave():
    visual = small_resnet()
    features = torch.randn(3, 512, 2, 2)
    torch.testing.assert_close(FirstQueryPool(visual.attnpool)(features), visual.attnpool(features), rtol=0, atol=1e-5)
    pixels = torch.randn(2, 3, 64, 64)
    lean = with_first_query_only(visual)
    assert isinstance(lean.attnpool, FirstQueryPool)
    torch.testing.assert_close(lean(pixels), visual(pixels), rtol=0, atol=1e-5)


def test_the_lean_tower_shares_the_weights_and_leaves_the_tower_as_it_was():
    visual = small_resnet()
    lean = with_first_query_only(visual)
    assert lean.conv1.weight.data_ptr() == visual.conv1.weight.data_ptr()
    assert not isinstance(visual.attnpool, FirstQueryPool)


@pytest.mark.parametrize("image_size", [32, 96, 127, 130])
def test_a_resnet_reads_another_size(image_size):
    from ccd_fast.engines.attention_pool import resize_attention_pool

    visual = small_resnet()
    before = visual.attnpool.positional_embedding.data.clone()
    resize_attention_pool(visual, image_size)
    assert visual.image_size == image_size
    assert visual(torch.randn(1, 3, image_size, image_size)).shape == (1, 24)
    grid = round((len(visual.attnpool.positional_embedding) - 1) ** 0.5)
    expected = resized_by_pillow(before, grid)
    torch.testing.assert_close(visual.attnpool.positional_embedding.data, expected, rtol=0, atol=1e-5)


def test_a_tower_without_attention_pool_is_left_alone():
    plain = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))
    assert with_first_query_only(plain) is plain
