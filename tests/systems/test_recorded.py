"""Every array that was recorded from the published code of the other systems: where it is tested, or why it is not."""

import re

import pytest

TESTED = {
    r"labels/cole/\w+/(truth|observed)(_val)?": "labels/test_known.py",
    r"labels/cole/\w+/(observed_pos2_neg3|split_observed_train)": "labels/test_known.py",
    r"labels/cole/split_N200/train": "labels/test_known.py",
    r"labels/hcp/.*": "labels/test_known.py",
    r"hcp_graph/.*": "systems/test_class_features.py",
    r"(bce|bce_ls|an|an_ls|wan)/\w+/(logits|labels|loss(_f64)?|grad_logits(_f64)?|loss_matrix_f64)": (
        "systems/test_cross_entropy.py"
    ),
    r"iun/\w+/(logits|labels|truth_pm1|loss(_f64)?|grad_logits(_f64)?)": "systems/test_cross_entropy.py",
    r"(epr|role)/\w+/(logits|labels|G|k|loss(_f64)?|grad_(logits|G)(_f64)?|reg_f64)": "systems/test_cross_entropy.py",
    r"role_table/start/(observed|uniform01|G|estimated)": "systems/test_cross_entropy.py",
    r"role_train/.*": "systems/test_cross_entropy.py",
    r"llr/\w+/(logits|labels)": "systems/test_llr.py",
    r"llr/\w+/d[\d._e]+/LL-(R|Ct|Cp)/(loss|grad_logits)(_f64)?": "systems/test_llr.py",
    r"llr/\w+/d[\d._e]+/LL-(R|Ct|Cp)/(rejected|clean_rate|k)": "systems/test_llr.py",
    r"llr/zero_kth/LL-R/.*": "systems/test_llr.py",
    r"llr/k_table": "systems/test_llr.py",
    r"asl/.*": "systems/test_asl.py",
    r"hcp_asl/\w+/(logits|labels)": "systems/test_asl.py",
    r"hcp_asl/\w+/(default|g0c0|g21|default_sum|default_elementwise)/.*": "systems/test_asl.py",
    r"hcp_bce/\w+/(logits|labels|(sst_margin0|sarb)/.*)": "systems/test_sarb_and_sst.py",
    r"sst_cooc/.*": "systems/test_sarb_and_sst.py",
    r"contrastive/\w+/(features|labels|loss(_f64)?|grad_features(_f64)?|randperm_\d)": "systems/test_sarb_and_sst.py",
    r"sst_pseudo/(intra|inter)/(pair_logits|labels|features|bank|margin[\d.]+)": "systems/test_sarb_and_sst.py",
    r"head/.*": "systems/test_class_features.py",
    r"model/.*": "systems/test_sarb_and_sst.py",
    r"(sarb|sst)/w/.*": "systems/test_sarb_and_sst.py",
    r"(sarb/eval|sarb/train_no_target|sarb/blend_\w+|sst/eval|sst/train|sst/bank)/.*": "systems/test_sarb_and_sst.py",
    r"sst/pair_index|sarb/prototypes|sarb/kmeans/.*|sarb/nan_graph/logits": "systems/test_sarb_and_sst.py",
    r"sarb/no_pair/(labels|Loss_BCE|grad/.*)": "systems/test_sarb_and_sst.py",
    r"(sarb|sst)/train_epoch\d/batches\d/(Loss|rand\w+|grad/.*|\w+_after|pseudo_\w+)": "systems/test_sarb_and_sst.py",
    r"metrics/cole/.*": "evaluation/test_evaluate.py",
}
"""By what matches its whole name: the file that compares with it."""

NOT_TESTED = {
    r"labels/cole/split_.*|labels/cole/\w+/split_val_clean": (
        "a hold-out of 20 %: the common trainer chooses its epoch without labels and holds nothing out"
    ),
    r"pr/.*": "pairwise ranking, a loss of the same code that is no row of the table",
    r"iun/\w+/(loss_truth01|loss_matrix(_f64)?)": "summands; and as the data set's truth reaches it: no negatives",
    r"(bce|bce_ls|an|an_ls|wan|epr|role)/\w+/(loss_matrix|reg)|(epr|role)/\w+/loss_matrix_f64": (
        "the summands of a loss that is tested; in float32 of one that is tested in double"
    ),
    r"role_table/start/seed": "the seed of the draws, which are recorded beside it",
    r"role_table/from_estimates/.*": "LinearInit, a first training of a linear layer: the common trainer has one stage",
    r"llr/.*/(correction_idx|LL-Cp-literal/.*)": "what LL-Cp was meant to flip for good, and its own flips",
    r"llr/zero_kth/LL-Ct/.*": "the same rejections as LL-R's, which are tested, with everything turned over",
    r"hcp_bce/\w+/sst_margin(0\.95|1)/.*": "a margin of known labels, which the published training sets to 0",
    r"contrastive/\w+/(pair_index|cosine|has_gradient)": "steps on the way to the loss and gradient that are tested",
    r"sst_pseudo/inter/mean_cosine_not_from_reference": "not of the published code",
    r"sarb/no_pair/(Loss|Loss_Contrastive|Loss_Instance|Loss_Prototype)": "NaN, or 0: a mean over no pair is 0 here",
    r"(sarb|sst)/train_epoch\d/batches\d/Loss_.*": "the parts of a sum that is tested, each of which is tested alone",
    r"sst/train_args": "margins, bank and weights that the test writes out",
    r"metrics/hcp/.*": "the average precision of VOC 2012; all figures here are of the one that Cole et al. use",
}
"""Likewise, with the reason."""


@pytest.fixture(scope="module")
def places(golden_systems):
    """Each array with the patterns that match it."""
    patterns = {pattern: re.compile(pattern) for pattern in (*TESTED, *NOT_TESTED)}
    return {name: [p for p, found in patterns.items() if found.fullmatch(name)] for name in golden_systems}


def test_every_array_is_tested_or_it_is_said_why_not(places):
    assert len(places) == 2515
    assert not [name for name, own in places.items() if not own]
    assert not (TESTED.keys() | NOT_TESTED.keys()) - {pattern for own in places.values() for pattern in own}


def test_each_file_that_is_named_reads_the_recorded_arrays(request):
    for file in set(TESTED.values()):
        assert "golden_systems" in (request.config.rootpath / "tests" / file).read_text(encoding="utf-8")
