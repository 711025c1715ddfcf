"""The page on 400 million photographs is what its script derives, and its simulation is no better than it can be."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from bench.scripts import loaded

from ccd_fast.cluster import pool

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def paper():
    with loaded("scale_on_paper") as module:
        yield module


@pytest.fixture
def rates(paper):
    known = json.loads(paper.KNOWN.read_text())["rates"]
    return {name: paper.Rate(**rate) for name, rate in known.items()} | paper.RATES


def test_the_page_has_the_tables_that_the_script_derives(paper, rates):
    lines, figures = paper.tables(json.loads(paper.KNOWN.read_text())["works"], rates)
    assert "\n".join(lines) in paper.PAGE.read_text()
    assert json.loads(paper.RESULTS.read_text())["figures"] == figures


def test_shards_without_stragglers_and_deaths_take_what_is_ideal(paper, rates):
    calm = {"slow": 0.0, "spread": 0.0, "deaths": 1e12, "start": 0.0}
    rates |= {name: replace(rates[name], value=value) for name, value in calm.items()}
    assert paper.simulated(8, 800, 10.0, rates)["efficiency"] == pytest.approx(1)
    assert paper.greedy([10.0] * 800, 8) == 1000


def test_stragglers_and_deaths_cost_and_leave_no_shard_behind(paper, rates):
    rates |= {"deaths": replace(rates["deaths"], value=0.05), "start": replace(rates["start"], value=1.0)}
    rough = paper.simulated(8, 800, 10.0, rates)
    assert rough["deaths"] > 10 and rough["left"] == 0 and rough["efficiency"] < 0.95


def test_a_shard_is_handed_out_as_often_as_the_pool_does(paper):
    assert paper.ROUNDS == pool.ROUNDS
