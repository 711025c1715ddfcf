import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from ccd_fast.compat import quirks
from ccd_fast.compat.views import PublishedViews
from ccd_fast.errors import RunError, UserError
from ccd_fast.evaluation.metrics import mean_average_precision
from ccd_fast.labels import Update
from ccd_fast.labels.table import PseudoLabels, update_labels
from ccd_fast.recipes import config
from ccd_fast.recipes.official import settled, start_of_search
from ccd_fast.views.pillow import PillowViews


def test_the_prompts_are_those_of_voc_and_other_classes_are_refused():
    voc = [name.replace(" ", "") for name in quirks.VOC_PROMPT_NAMES]
    assert quirks.prompt_names(voc)[10] == "dining table"
    assert quirks.prompt_names(quirks.VOC_PROMPT_NAMES) == quirks.VOC_PROMPT_NAMES
    for other in (["cat", "dog"], voc[::-1], [*voc[:19], "tv"]):
        with pytest.raises(UserError, match="the 20 classes of PASCAL VOC only"):
            quirks.prompt_names(other)


def test_clip_gets_what_torchvision_makes_for_the_student(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    views = PublishedViews()
    ours = quirks.normalised(views.whole(views.decode([tmp_path / "a.png"], np.array([0])), 64, "bilinear"))
    usual = transforms.Compose(
        [
            transforms.Resize((64, 64)),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    torch.testing.assert_close(ours[0], usual(Image.fromarray(pixels)), atol=1e-6, rtol=0)


def test_exif_orientation_is_not_honoured(tmp_path):
    picture = Image.fromarray(np.zeros((20, 30, 3), dtype=np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6  # a quarter turn
    picture.save(tmp_path / "turned.jpg", exif=exif)
    files, rows = [tmp_path / "turned.jpg", tmp_path / "gone.jpg"], np.array([4, 7])
    as_stored, upright = PublishedViews().decode(files, rows), PillowViews().decode(files, rows)
    assert as_stored.sizes.tolist() == [[20, 30]]
    assert upright.sizes.tolist() == [[30, 20]]
    assert as_stored.rows.tolist() == [4]
    assert as_stored.unreadable == upright.unreadable == {7: "no such file"}


def test_a_crop_is_cut_half_open_from_the_normalised_view_and_keeps_its_aspect():
    view = torch.arange(64 * 64.0).view(1, 1, 64, 64).expand(1, 3, 64, 64)
    assert torch.equal(quirks.cut(view, (0, 10, 64, 42), 64), view[:, :, 10:42])
    assert quirks.cut(view, (3, 5, 19, 37), 64).shape == (1, 3, 64, 32)


def test_a_crop_is_resized_without_antialiasing():
    stripes = torch.tensor([0.0, 1.0]).repeat(32).expand(1, 3, 64, 64).contiguous()
    small = quirks.cut(stripes, (0, 0, 64, 64), 16)
    # 64 to 16: each pixel lies between the second and the third of four, so the mean of two; an antialiased
    # filter reaches further. At 64 to 21 the stripes alias, where an antialiased resize is all grey.
    torch.testing.assert_close(small, torch.full_like(small, 0.5))
    assert quirks.cut(stripes, (0, 0, 64, 64), 21).std() > 0.2


def test_the_long_side_can_fall_one_short():
    sides = [quirks.resized_sides(long, 1, 640)[0] for long in range(80, 641)]
    assert set(sides) == {639, 640}
    assert quirks.resized_sides(320, 160, 640) == (640, 320)
    assert quirks.resized_sides(100, 600, 640) == (106, 640)


@pytest.mark.parametrize(("pixels", "grid"), [(640, 20), (639, 20), (638, 19), (31, 1), (32, 1), (30, 0), (448, 14)])
def test_the_grid_is_that_of_the_tower_s_convolutions(pixels, grid):
    assert quirks.grid_side(pixels) == grid


def test_positions_are_resampled_for_the_grid_and_rounded_to_half_precision():
    embedding = torch.randn(1 + 49, 6, generator=torch.Generator().manual_seed(0))
    assert quirks.positions(embedding, 224, 224) is embedding
    other = quirks.positions(embedding, 320, 639)
    assert other.shape == (1 + 10 * 20, 6)
    assert torch.equal(other, other.half().float())
    expected = torch.nn.functional.interpolate(
        embedding[1:].T.reshape(1, 6, 7, 7), size=(10, 20), mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(other[1:], expected[0].flatten(1).T, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(other[0], embedding[0], atol=1e-3, rtol=1e-3)


def test_scores_are_of_half_precision_where_clip_is():
    similarities = 20 * torch.randn(8, 20, generator=torch.Generator().manual_seed(0))
    single, half = quirks.softmax(similarities, half=False), quirks.softmax(similarities, half=True)
    assert torch.equal(single, torch.softmax(similarities, dim=1))
    assert torch.equal(half, half.half().float())
    assert 0 < (single - half).abs().max() < 0.02


def test_the_entropy_has_a_guard_in_its_logarithm():
    scores = torch.tensor([[1.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    expected = -(scores * (scores + 1e-10).log()).sum(dim=1)
    torch.testing.assert_close(quirks.entropy(scores), expected, atol=0, rtol=0)
    assert quirks.entropy(scores)[0] != 0  # exactly 0 without it


def test_a_class_that_is_never_on_top_has_no_bias_and_is_named():
    scores = torch.tensor([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    bias = quirks.plain_bias(scores, torch.tensor([True, True, True, False]))
    np.testing.assert_allclose(bias, [0.65, 0.5, np.nan], rtol=1e-6)
    with pytest.raises(RunError, match="the bias of boat is NaN"):
        quirks.refuse_nan(bias, ["cat", "dog", "boat"])
    quirks.refuse_nan(bias[:2], ["cat", "dog"])


def test_the_search_starts_lower_without_the_floor():
    assert (start_of_search(0.05), start_of_search(0.0)) == (0.05, 0.001)


def active(number, probability=0.0605):
    return torch.where(torch.arange(20) < number, probability, 0.0)


def test_the_search_goes_upward_a_step_a_window_and_the_first_window_has_one_more():
    views = iter([active(5)] * 300)
    assert quirks.searched_threshold(views, 0.05, 4) == 0.05
    assert len(list(views)) == 300 - 101
    # 7 are active at 0.05 and 5 at 0.051: the second window ends the search, at view 201
    views = iter([torch.where(torch.arange(20) < 5, 0.9, torch.where(torch.arange(20) < 7, 0.0505, 0.0))] * 500)
    assert quirks.searched_threshold(views, 0.05, 4) == pytest.approx(0.051)
    assert len(list(views)) == 500 - 201
    # with none left it goes on upward: it never comes back
    assert quirks.searched_threshold([active(7)] * 2001, 0.05, 4) == pytest.approx(0.05 + 20 * 0.001)


def test_the_bounds_of_the_search_are_strict():
    def views(rows_of_fifty, then):  # 50 / 100 adds up exactly, 5 / 100 does not
        fifty = [torch.full((50,), 0.9)] * rows_of_fifty
        return [
            *fifty,
            *[torch.zeros(50)] * (101 - rows_of_fifty),
            *[torch.full((50,), 0.9)] * then,
            *[torch.zeros(50)] * 100,
        ]

    for number, stops in ((8, False), (9, True), (11, True), (12, False)):  # 4.0, 4.5, 5.5, 6.0
        tau = quirks.searched_threshold(views(number, 10), 0.05, 4)
        assert tau == pytest.approx(0.05 if stops else 0.051)


def test_the_search_counts_a_probability_of_tau_itself():
    at_tau = torch.where(torch.arange(20) < 5, torch.tensor(0.0625), torch.tensor(0.0))
    assert quirks.searched_threshold([at_tau] * 101, 0.0625, 4) == 0.0625


def test_the_search_keeps_its_last_step_when_the_views_end():
    assert quirks.searched_threshold([active(9, 0.9)] * 250, 0.05, 4) == pytest.approx(0.052)
    assert quirks.searched_threshold([active(9, 0.9)] * 100, 0.05, 4) == 0.05  # fewer than a window: never looked at


def test_the_box_spans_the_first_and_the_last_pixel_only():
    cam = torch.zeros(8, 8)
    cam[1, 3] = cam[4, 0] = cam[4, 7] = cam[6, 2] = 1.0  # the region is 8 wide, the first and last pixel 3 and 2
    assert quirks.first_and_last_box(cam, 8, 0.95, 0, "x") == (2, 1, 3, 6)
    assert quirks.first_and_last_box(cam, 8, 0.95, 2, "x") == (0, 0, 5, 8)
    one = torch.zeros(8, 8)
    one[5, 5] = 1.0
    assert quirks.first_and_last_box(one, 8, 0.95, 2, "x") == (3, 3, 7, 7)  # half-open: the margin, no + 1


def test_a_flat_map_stops_the_run():
    with pytest.raises(RunError, match=r"map of cat in a\.jpg is flat"):
        quirks.first_and_last_box(torch.ones(4, 4), 64, 0.95, 8, "cat in a.jpg")


def test_the_labels_of_an_image_where_nothing_is_active_decay():
    readable = torch.tensor([True, True, False, True])
    rows, scores = quirks.with_nothing_seen(torch.tensor([1, 1]), torch.full((2, 2), 0.5), readable)
    assert rows.tolist() == [0, 1, 1, 3]
    assert scores[:, 0].tolist() == [0, 0.5, 0.5, 0]
    flags = torch.ones(4, dtype=torch.bool)
    labels = PseudoLabels(torch.ones(4, 2), torch.tensor([0.5, 1.0]), torch.ones(2, dtype=torch.int64), flags, readable)
    for _ in range(60):
        update_labels(labels, rows, scores, Update(floor=0.05, weight=0.5))
    np.testing.assert_allclose(labels.table[0], [0.05 / 0.5, 0.05 / 1.0], rtol=1e-5)
    assert labels.table[2].tolist() == [1, 1]


def test_a_class_without_positives_counts_as_zero():
    scores, truth = torch.tensor([[0.9, 0.2], [0.1, 0.8]]), torch.tensor([[True, False], [False, False]])
    assert mean_average_precision(scores, truth) == 1.0
    assert mean_average_precision(scores, truth, quirks.ABSENT_CLASS_AP) == 0.5


def official(*overrides):
    return config.load("paper-voc12-official", list(overrides))


def test_the_student_is_a_resnet50_whatever_was_asked_for():
    assert official("student.backbone=resnet101").student.backbone == "resnet50"
    assert config.load("paper-voc12-official").student.backbone == "resnet50"


def test_a_settled_recipe_stays_as_it_is_and_goes_the_one_way_for_the_pixels():
    recipe, plain = official(), config.load("paper-voc12")
    assert (recipe.teacher.runtime, recipe.views.backend) == ("torch", "pillow")
    assert settled(recipe) == recipe
    assert (recipe.train.precision, recipe.train.compile) == ("fp32", False)
    assert recipe.train.model_copy(update={"precision": "auto"}) == plain.train


def test_knobs_that_the_published_code_does_not_heed_are_refused_together():
    with pytest.raises(UserError) as caught:
        config.load("folder", ["compat=official", "views.jitter=0.1", "teacher.runtime=onnxruntime"])
    for knob in ("teacher.image_size=288", "bias.min_count=1", "views.jitter=0.0", "teacher.runtime=torch"):
        assert knob in str(caught.value)
    assert "views.backend" not in str(caught.value)  # auto leaves it open
    for knob, wanted in (("train.precision=bf16", "train.precision=fp32"), ("train.compile=true", "compile=False")):
        with pytest.raises(UserError, match=wanted):
            official(knob)
    with pytest.raises(UserError, match=r"set relabel\.min_tau=0\.001"):
        official("labels.floor=0")


def test_crops_too_narrow_for_the_attention_pool_are_refused():
    small = ("student.relabel_image_size=240", "teacher.image_size=240")
    with pytest.raises(UserError, match="as narrow as the margin, 30 pixels here"):
        official(*small)
    official(*(knob.replace("240", "248") for knob in small))


def test_positions_are_resampled_bilinearly_and_the_mean_token_s_stays():
    row, column = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    positions = torch.cat([torch.tensor([[7.0, 9.0]]), torch.stack([row.flatten(), column.flatten()], dim=1)])
    again = quirks.bilinear_positions(positions, 2, 3)
    assert again[0].tolist() == [7.0, 9.0]
    # centres of 2 rows and 3 columns on 4: 0.5, 2.5 and 1/6, 1.5, 17/6
    expected = [[r, c] for r in (0.5, 2.5) for c in (1 / 6, 1.5, 17 / 6)]
    torch.testing.assert_close(again[1:], torch.tensor(expected))
