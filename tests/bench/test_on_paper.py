"""The epochs that are derived on paper, held against a calculation by hand."""

import pytest
from bench.scripts import loaded


@pytest.fixture(scope="module")
def script():
    with loaded("on_paper") as module:
        yield module


@pytest.fixture
def rates(script):
    values = {"arithmetic": 1000e9, "memory": 100e9, "share": 0.5, "decode_gpu": 1e6, "link": 10e9, "decode_core": 1e5}
    return {name: script.Rate(value, "", "") for name, value in {**values, "cores": 4}.items()}


def test_a_network_takes_what_the_roof_that_bounds_it_allows(script, rates):
    assert script.Work(flop=2e9, traffic=0.1e9).seconds(rates) == pytest.approx(0.004)  # 2 ms at full arithmetic
    assert script.Work(flop=2e9, traffic=0.1e9).bound(rates) == "arithmetic"
    assert script.Work(flop=2e9, traffic=0.3e9).seconds(rates) == pytest.approx(0.006)  # 3 ms at full bandwidth
    assert script.Work(flop=2e9, traffic=0.3e9).bound(rates) == "memory"


def test_a_relabel_epoch_is_the_slower_of_decoding_and_the_gpu_s_work(script, rates):
    teacher, student = script.Work(2e9, 0), script.Work(1e9, 0)  # 4 ms and 2 ms a view
    epoch = script.relabel_epoch(script.DataSet("", 1000, 10_000), 3, teacher, student, 1, rates)
    assert (epoch.decode, epoch.teacher, epoch.student) == pytest.approx((10, 12, 2))
    assert epoch.seconds == pytest.approx(14)
    assert epoch.bound == "teacher"
    large = script.relabel_epoch(script.DataSet("", 1000, 100_000), 3, teacher, student, 8, rates)
    assert large.seconds == pytest.approx(100 / 8)
    assert large.bound == "decode"


def test_a_training_epoch_has_two_views_an_image_and_sums_its_gradients(script, rates):
    data, student = script.DataSet("", 1600, 1), script.Work(1e9, 0, weights=10**6)
    assert script.training_epoch(data, student, 1, rates).seconds == pytest.approx(1600 * 2 * 0.002)
    # 200 images a GPU; 12.5 steps of 16, each with 2 · 7/8 · 4 MB at 5 GB/s
    by_hand = 200 * 2 * 0.002 + 12.5 * (2 * 7 / 8 * 4e6) / 5e9
    assert script.training_epoch(data, student, 8, rates).seconds == pytest.approx(by_hand)


def test_an_epoch_from_maps_looks_once_and_then_reads(script, rates):
    of_host = {"host_link": 1e6, "disk": 1e5, "host_memory": 4e6}
    rates |= {name: script.Rate(value, "", "") for name, value in of_host.items()}
    data, student = script.DataSet("", 1000, 1000), script.Work(1e9, 0)  # 1 s to decode; 2 ms a look of the student
    maps = script.MapWork(script.Work(2e9, 0), script.Work(0.05e9, 0), 1000)  # 4 ms a look, 0.1 ms a box, 2 kB
    assert script.epoch_from_maps(data, 5, maps, student, True, rates).seconds == pytest.approx(4 + 0.5 + 2)
    assert script.epoch_from_maps(data, 5, maps, student, False, rates).seconds == pytest.approx(4)  # 2 MB at 0.5 MB/s
    assert maps.place(data, rates) == "memory"
    assert script.epoch_from_maps(data, 5, maps, None, True, rates).seconds == pytest.approx(4.5)
    many = script.DataSet("", 3000, 1000)
    assert maps.place(many, rates) == "disk"
    assert script.epoch_from_maps(many, 5, maps, None, False, rates).seconds == pytest.approx(6e6 / 0.5e5)


def test_the_host_decodes_with_all_its_cores(script, rates):
    assert script.host_decode(rates)["decode_gpu"].value == 4e5


def test_work_is_counted_from_the_graph(script):
    work = script.teacher_work("ViT-B-32", 224, batch=2)
    tokens, width = 50, 768
    layer = 2 * tokens * 12 * width**2 + 4 * tokens**2 * width
    patches, projection = 2 * 49 * 3 * 32**2 * width, 2 * width * 512
    assert work.flop == pytest.approx(12 * layer + patches + projection, rel=1e-3)
    weights = 12 * 12 * width**2 * script.HALF
    assert work.traffic > weights / 2  # read once for both views


def test_a_measured_rate_takes_the_place_of_an_assumed_one(script):
    changed = script.with_values(script.RATES, ["share=0.4:measured by bench engine", "cores=8"])
    assert (changed["share"].value, changed["share"].origin) == (0.4, "measured by bench engine")
    assert (changed["cores"].value, changed["cores"].origin) == (8, "given")
    assert changed["memory"] == script.RATES["memory"]


def test_the_page_holds_the_tables_of_the_kept_figures(script):
    page = script.PAGE.read_text(encoding="utf-8")
    tables = page.partition(script.BEGIN)[2].partition(script.END)[0].strip()
    assert tables == script.tables(*script.read())
    assert not script.PAGE.read_text(encoding="utf-8").startswith(script.BEGIN)


def test_a_duration_is_readable(script):
    assert [script.duration(s) for s in (0.34, 12.3, 99.9, 125.4)] == ["0.3 s", "12 s", "100 s", "2 min 05 s"]


@pytest.mark.parametrize(
    ("given", "said"),
    [("speed=1", "no rate 'speed'; the rates are arithmetic, memory"), ("share=much", "'much' is no number above 0")],
)
def test_a_rate_that_is_none_is_refused_in_a_line(script, rates, given, said):
    with pytest.raises(script.UserError, match=said):
        script.with_values(rates, [given])
