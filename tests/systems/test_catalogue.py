"""The systems by name, and what each may be told."""

import typing

import pytest

from ccd_fast.errors import UserError
from ccd_fast.recipes import config
from ccd_fast.recipes.knobs import SystemKnobs
from ccd_fast.systems import FROM_PEOPLE, SYSTEMS, source_of


def knobs(name, labels="own"):
    return config.load("folder", [f"system.name={name}", f"system.labels={labels}"]).system


def allowed(field):
    return set(typing.get_args(SystemKnobs.model_fields[field].annotation))


def test_a_recipe_can_name_every_system_and_every_source():
    assert allowed("name") == set(SYSTEMS)
    assert allowed("labels") == {"own", *(source for described in SYSTEMS.values() for source in described.may_see)}


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_is_told_what_it_may_see_and_nothing_else(name):
    may_see = SYSTEMS[name].may_see
    assert source_of(knobs(name), has_file=False) == may_see[0]
    for labels in allowed("labels") - {"own", "file"}:
        if labels in may_see:
            assert source_of(knobs(name, labels), has_file=False) == labels
        else:
            with pytest.raises(UserError, match="is not told these"):
                source_of(knobs(name, labels), has_file=False)
    if "file" in may_see:
        assert source_of(knobs(name), has_file=True) == "file"
    else:
        with pytest.raises(UserError, match="--known"):
            source_of(knobs(name), has_file=True)


def test_the_annotation_free_are_told_nothing_by_people_but_for_ccd_where_it_is_asked():
    for name, described in SYSTEMS.items():
        if described.group == "annotation-free" and name != "ccd":
            assert not set(described.may_see) & set(FROM_PEOPLE)
    assert source_of(knobs("ccd"), has_file=False) == "none"
