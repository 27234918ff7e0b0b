"""Patterns that users give are searched for by a process that can be ended."""

import json
import subprocess
import sys

import pytest

from tokensieve.errors import SettingsError
from tokensieve.patterns import _SEARCH, find_spans


def spans(pattern, *texts):
    return find_spans(pattern, "a.setting", texts, "some texts", 30)


def test_every_match_is_found_in_characters_whatever_they_are():
    assert spans(r"\d+", "a1 b22", "", "é\U0001f600\udc803") == [[[1, 2], [4, 6]], [], [[3, 4]]]


def test_matches_that_touch_are_one_and_empty_ones_are_none():
    assert spans("[ab]", "abxa") == [[[0, 2], [3, 4]]]
    assert spans("b*", "abba") == [[[1, 3]]]
    assert spans("(?=a)", "aa") == [[]]


def test_a_search_that_takes_too_long_is_ended_and_says_of_what():
    with pytest.raises(
        SettingsError, match=r"^a\.setting: '\(a\+\)\+\$' takes more than 0\.3 s to"
    ):
        find_spans("(a+)+$", "a.setting", ["a" * 40 + "b"], "some texts", 0.3)


def test_a_search_that_nobody_waits_for_any_more_ends_by_itself():
    given = json.dumps(["(a+)+$", ["a" * 40 + "b"], 1])

    done = subprocess.run([sys.executable, "-c", _SEARCH], input=given, text=True, timeout=100)

    assert done.returncode < 0
