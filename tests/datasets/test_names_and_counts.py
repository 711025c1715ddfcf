"""What the benchmarks are called and how large they are, written out once more: a slip in an adapter must not pass."""

import pytest

from ccd_fast.datasets import DATASETS

VOC = """aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant
sheep sofa train tvmonitor"""
COCO = """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, handbag,
tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard,
tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot,
hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote,
keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear,
hair drier, toothbrush"""
NUS = """airport animal beach bear birds boats book bridge buildings cars castle cat cityscape clouds computer coral
cow dancing dog earthquake elk fire fish flags flowers food fox frost garden glacier grass harbor horses house lake
leaf map military moon mountain nighttime ocean person plane plants police protest railroad rainbow reflection road
rocks running sand sign sky snow soccer sports statue street sun sunset surf swimmers tattoo temple tiger tower town
toy train tree valley vehicle water waterfall wedding whales window zebra"""
NAMES = {
    "voc07": VOC.split(),
    "voc12": VOC.split(),
    "coco": COCO.replace("\n", " ").split(", "),
    "coco2017": COCO.replace("\n", " ").split(", "),
    "nus": NUS.split(),
}
SPOKEN = {
    "voc07": {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"},
    "voc12": {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"},
    "coco": {},
    "coco2017": {},
}
COUNTS = {
    "voc07": [(5_011, 4_952)],
    "voc12": [(5_717, 5_823)],
    "coco": [(82_081, 40_137)],
    "coco2017": [(117_266, 4_952)],
    "nus": [(161_789, 107_859), (150_000, 60_260)],
}


@pytest.mark.parametrize("name", NAMES)
def test_the_classes_are_the_official_ones_in_their_order(name):
    assert list(DATASETS[name].class_names) == NAMES[name]


@pytest.mark.parametrize("name", SPOKEN)
def test_prompts_say_the_class_names_but_for_those_that_are_spelt_out(name):
    described = DATASETS[name]
    both = zip(described.class_names, described.prompt_names, strict=True)
    assert {c: spoken for c, spoken in both if c != spoken} == SPOKEN[name]


def test_a_concept_that_a_prompt_alone_would_not_tell_is_spelt_out():
    described = DATASETS["nus"]
    prompts = dict(zip(described.class_names, described.prompt_names, strict=True))
    assert (prompts["plane"], prompts["running"], prompts["nighttime"]) == (
        "airplane",
        "people running",
        "scene at night",
    )


@pytest.mark.parametrize("name", COUNTS)
def test_the_splits_have_the_official_numbers_of_images(name):
    assert [(form.images["train"], form.images["test"]) for form in DATASETS[name].forms] == COUNTS[name]


@pytest.mark.parametrize("name", COUNTS)
def test_each_split_of_a_tree_knows_its_official_number(name, benchmark_root):
    described = DATASETS[name]
    for form, tree in zip(described.forms, ("", " re-crawled"), strict=False):
        for split, number in form.images.items():
            assert described.load(benchmark_root(name + tree), split).official == number
