import pytest
import timm
import torch
from safetensors.torch import save_file

from ccd_fast.errors import UserError
from ccd_fast.student import network as student
from ccd_fast.student import probabilities_of
from ccd_fast.student.network import piecewise_boost


def pixels(size=64, batch=2):
    return torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_resnet", "test_convnext"])
def test_logits_are_the_mean_of_the_maps(backbone):
    net = student.build(backbone, 5, 3.0, "none").eval()
    logits, cam = net(pixels())
    assert cam.shape[:2] == (2, 5)
    torch.testing.assert_close(logits, cam.mean(dim=(2, 3)))


def test_probabilities_of_a_row_are_the_same_wherever_it_stands():
    logits = torch.randn(37, 4, generator=torch.Generator().manual_seed(0))
    whole = probabilities_of(logits)
    for rows in range(1, 37):
        assert torch.equal(probabilities_of(logits[:rows]), whole[:rows])
    assert torch.allclose(whole, torch.sigmoid(logits))


def test_only_the_positive_part_is_boosted():
    maps = torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0])
    torch.testing.assert_close(piecewise_boost(maps, 3.0), torch.tensor([-2.0, -0.5, 0.0, 1.5, 6.0]))


def test_the_boost_is_part_of_the_student():
    plain, boosted = (student.build("test_resnet", 4, alpha, "none", seed=1).eval() for alpha in (1.0, 3.0))
    torch.testing.assert_close(boosted(pixels())[1], piecewise_boost(plain(pixels())[1], 3.0))


def test_pixels_are_normalised_inside_as_timm_says():
    net = student.build("test_efficientnet", 3, 1.0, "none").eval()
    config = timm.data.resolve_model_data_config(net.backbone)
    mean, std = (torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    features = net.backbone.forward_features((pixels().permute(0, 3, 1, 2) / 255 - mean) / std)
    torch.testing.assert_close(net(pixels())[0], net.head(features).mean(dim=(2, 3)), rtol=1e-4, atol=1e-5)


def test_the_same_seed_draws_the_same_weights_and_leaves_torch_s_alone():
    before = torch.random.get_rng_state()
    first, second = (student.build("test_resnet", 4, 3.0, "none", seed=7).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(before, torch.random.get_rng_state())


def test_weights_on_disk_are_loaded_with_the_classifier_to_spare(tmp_path):
    network = timm.create_model("test_resnet", num_classes=10)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    net = student.build("test_resnet", 4, 3.0, str(tmp_path / "weights.safetensors"))
    torch.testing.assert_close(net.backbone.conv1[0].weight, network.conv1[0].weight)


def test_weights_of_another_backbone_are_refused(tmp_path):
    save_file(timm.create_model("test_convnext").state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(UserError, match="does not fit test_resnet"):
        student.build("test_resnet", 4, 3.0, str(tmp_path / "weights.safetensors"))


def test_rubbish_and_pickles_are_refused(tmp_path):
    (tmp_path / "rubbish.safetensors").write_bytes(b"rubbish")
    torch.save({"code": print}, tmp_path / "pickle.pth")
    for file in ("rubbish.safetensors", "pickle.pth"):
        with pytest.raises(UserError, match="cannot be read"):
            student.build("test_resnet", 4, 3.0, str(tmp_path / file))


@pytest.mark.parametrize(
    ("backbone", "weights", "said"),
    [
        ("resnet_50", "none", "did you mean 'resnet50'"),
        ("vit_tiny_patch16_224", "none", "not a CNN"),
        ("swin_tiny_patch4_window7_224", "none", "not a CNN"),
        ("test_resnet", "gone.safetensors", "no such file"),
    ],
)
def test_what_cannot_be_a_student_is_refused(backbone, weights, said):
    with pytest.raises(UserError) as caught:
        student.build(backbone, 4, 3.0, weights)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_imagenet_weights_that_are_not_at_hand_are_named_with_the_way_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"`hf download timm/tf_efficientnet_lite0\.in1k --local-dir FOLDER`"):
        student.build("tf_efficientnet_lite0", 3, 5.0, "imagenet")
