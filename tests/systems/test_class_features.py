"""The head that SARB and SST share, part by part, against the published code."""

import numpy as np
import pytest
import torch
from published import agrees, gradients_agree, tensor, weights

from ccd_fast.engines.ceilings import operations
from ccd_fast.student.network import build
from ccd_fast.systems.class_features import (
    ClassAttention,
    ClassFeatures,
    ClassFeatureStudent,
    GatedGraph,
    LinearAClass,
    co_occurrence,
    width_behind,
)

PRECISIONS = ((torch.float64, "_f64", 1e-12), (torch.float32, "", 1e-6))


@pytest.mark.parametrize("case", ["plain", "class3_without_positive"])
def test_the_graph_is_that_of_the_published_code(golden_systems, case):
    edges = co_occurrence(tensor(golden_systems[f"hcp_graph/{case}/labels"], torch.int8))
    np.testing.assert_allclose(edges, golden_systems[f"hcp_graph/{case}/A"], rtol=0, atol=1e-15)


@pytest.mark.parametrize(("dtype", "suffix", "tolerance"), PRECISIONS)
def test_attention(golden_systems, dtype, suffix, tolerance):
    recorded = {name: golden_systems[f"head/attention/{name}"] for name in ("feature_map", "words")}
    attention = ClassAttention(10, 7, 9).to(dtype)
    attention.load_state_dict(weights(golden_systems, "head/attention/w", dtype))
    maps = tensor(recorded["feature_map"], dtype).requires_grad_()
    output, looked = attention(maps, tensor(recorded["words"], dtype))
    agrees(output.detach(), golden_systems[f"head/attention/output{suffix}"], tolerance)
    agrees(looked.detach(), golden_systems[f"head/attention/weights{suffix}"], tolerance)
    (output * tensor(golden_systems["head/upstream_gradient"], dtype)).sum().backward()
    agrees(maps.grad, golden_systems[f"head/attention/grad_feature_map{suffix}"], tolerance)
    gradients_agree(golden_systems, "head/attention/grad", attention, 10 * tolerance, suffix)


@pytest.mark.parametrize(("dtype", "suffix", "tolerance"), PRECISIONS)
def test_gated_graph(golden_systems, dtype, suffix, tolerance):
    graph = GatedGraph(10).to(dtype)
    graph.load_state_dict(weights(golden_systems, "head/ggnn/w", dtype))
    first = tensor(golden_systems["head/ggnn/input"], dtype).requires_grad_()
    output = graph(first, tensor(golden_systems["head/ggnn/A"], dtype))
    agrees(output.detach(), golden_systems[f"head/ggnn/output{suffix}"], tolerance)
    (output * tensor(golden_systems["head/upstream_gradient"], dtype)).sum().backward()
    agrees(first.grad, golden_systems[f"head/ggnn/grad_input{suffix}"], tolerance)
    gradients_agree(golden_systems, "head/ggnn/grad", graph, 10 * tolerance, suffix)


@pytest.mark.parametrize(("dtype", "suffix", "tolerance"), PRECISIONS)
def test_a_linear_layer_a_class(golden_systems, dtype, suffix, tolerance):
    layer = LinearAClass(6, 10).to(dtype)
    layer.load_state_dict(weights(golden_systems, "head/elementwise/w", dtype))
    inputs = tensor(golden_systems["head/elementwise/input"], dtype).requires_grad_()
    output = layer(inputs)
    agrees(output.detach(), golden_systems[f"head/elementwise/output{suffix}"], tolerance)
    (output * tensor(golden_systems["head/upstream_gradient"], dtype)[:, :, 0]).sum().backward()
    agrees(inputs.grad, golden_systems[f"head/elementwise/grad_input{suffix}"], tolerance)
    gradients_agree(golden_systems, "head/elementwise/grad", layer, tolerance, suffix)


def test_its_fresh_weights_are_drawn_as_the_published_ones(golden_systems):
    torch.manual_seed(6)
    layer = LinearAClass(4, 16)
    group = weights(golden_systems, "head/elementwise/init_seed6_4x16")
    assert torch.equal(layer.weight.detach(), group["weight"])
    assert torch.equal(layer.bias.detach(), group["bias"])


def test_a_class_without_a_known_positive_leaves_all_logits_finite():
    known = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 1, -1]], dtype=torch.int8)
    head = ClassFeatures(8, torch.randn(3, 5), co_occurrence(known)).eval()
    assert co_occurrence(known)[2].isnan().all()
    assert head(torch.randn(2, 8, 3, 3))[0].isfinite().all()


def test_the_head_is_as_wide_as_the_published_one_behind_a_resnet_101_and_narrow_behind_a_small_backbone():
    assert [width_behind(features) for features in (2048, 1280, 64)] == [1024, 160, 16]


def test_a_student_takes_the_head_and_keeps_its_backbone():
    plain = build("test_resnet", 3, 5.0, "none")
    head = ClassFeatures(plain.backbone.num_features, torch.randn(3, 5), torch.eye(3))
    student = ClassFeatureStudent.of(plain, head)
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    logits, looked = student.eval()(pixels)
    assert logits.shape == (2, 3)
    assert torch.allclose(looked.sum(dim=(2, 3)), torch.ones(2, 3))
    assert head.seen is None
    student.train()(pixels)
    assert head.of_the_last().shape == (2, 3, width_behind(plain.backbone.num_features))
    assert student.classes == 3
    assert operations(student, 64, training=True) > operations(plain, 64, training=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert student(pixels)[0].dtype == torch.float32
    assert {name.split(".")[0] for name in student.state_dict()} == {"backbone", "head", "mean", "std"}
