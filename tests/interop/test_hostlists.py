"""Hostlist expressions, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.errors import InputError
from armillary.interop import compress, expand
from armillary.interop.hostlists import Expander

stems = st.text(alphabet="abc-.0129", min_size=1, max_size=6)


@given(st.lists(stems, max_size=30))
def test_what_is_compressed_expands_to_the_same_names_in_order(names):
    assert (expand(compress(names)) if names else []) == names


@given(st.integers(0, 5000), st.integers(1, 400), st.integers(1, 6))
def test_runs_take_one_range(first, count, width):
    names = [f"n{number:0{width}d}" for number in range(first, first + count)]
    text = compress(names)
    assert expand(text) == names
    assert text.count("-") <= 4


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("tux[0-3,12,18-20]", ["tux0", "tux1", "tux2", "tux3", "tux12", "tux18", "tux19", "tux20"]),
        ("a,b1", ["a", "b1"]),
        ("n[8-11]", ["n8", "n9", "n10", "n11"]),
        ("n[098-101]-ib", ["n098-ib", "n099-ib", "n100-ib", "n101-ib"]),
        ("r[1-2]u[3,5]", ["r1u3", "r1u5", "r2u3", "r2u5"]),
    ],
)
def test_expressions(text, names):
    assert expand(text) == names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n[1-", "a bracket is not closed"),
        ("n1-3]", "a bracket is not closed"),
        ("n[[1-2]]", "stands inside another"),
        ("n[3-1]", "runs backwards"),
        ("n[a-b]", "'a-b' is no number or range"),
        ("n[]", "'' is no number or range"),
        ("n[1-2", "a bracket is not closed"),
        ("a,,b", "a name is empty"),
        ("", "a name is empty"),
        ("a b", "not by spaces"),
        ("n[0-999999999]", "more than 2,000,000 names"),
        ("n[0-9999]m[0-9999]", "more than 2,000,000 names"),
        ("n[00000000000000001-2]", "is no number or range"),
    ],
)
def test_what_cannot_be_read(text, words):
    with pytest.raises(InputError) as caught:
        expand(text)
    assert words in str(caught.value)


def test_the_names_of_a_file_are_counted_together():
    names = Expander(most=10)
    assert len(names("n[1-8]", "file:1")) == 8
    with pytest.raises(InputError, match=r"^file:2: hostlist .* more than 2 names"):
        names("m[1-3]", "file:2")


@given(st.text(alphabet="[]-,0129ab \n٣", max_size=40))
def test_no_text_ends_in_a_traceback(text):
    try:
        said = "" if all(expand(text, 1000)) else "an empty name"
    except InputError as error:
        said = str(error)
    assert not said or said.startswith("hostlist")
