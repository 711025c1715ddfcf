import pytest

from ccd_fast.datasets.tree import leads_out

INSIDE = ["a\nb", "\ta", "a.jpg", "a/b.jpg", "a..b/c", "..a/b", "a/...", "a/b../c", "a b/ü.jpg", "ab:c", "a\\b.jpg"]
OUTSIDE = [
    "",
    "/a",
    "\\a",
    "\\\\server\\a",
    "C:\\a",
    "c:a",
    "..",
    "../a",
    "a/..",
    "a/../b",
    "..\\a",
    "a\\..\\b",
    "a\\..",
]
ODD = ["a\x00b"]
"""A null, which no system has in a path; ends of lines and tabs, which POSIX has, are letters like others."""


@pytest.mark.parametrize("path", [*INSIDE, *OUTSIDE, *ODD])
def test_a_path_leads_out_if_it_is_absolute_or_goes_up_on_any_system_or_holds_a_null(path):
    assert leads_out(path) == (path not in INSIDE)
