"""docs/troubleshooting.md quotes what the code says, under the exit code that it ends with."""

import re

import pytest

from flows.cli import INTERRUPTED
from tests.documents import ROOT
from tests.messages import EXIT_CODES, all_messages, row_problems

TEXT = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
SECTION = re.compile(r"^## Exit code (\d): .*\n((?:(?!^## ).*\n)*)", re.MULTILINE)
QUOTED = [
    (int(code), quoted)
    for code, section in SECTION.findall(TEXT)
    for quoted in re.findall(r"^### `(.+)`$", section, re.MULTILINE)
]


def shape(quoted):
    """Return the quoted words as a pattern; `…` is whatever a message says there."""
    return re.compile(".*".join(map(re.escape, quoted.split("…"))), re.DOTALL)


@pytest.mark.parametrize(("code", "quoted"), QUOTED)
def test_every_message_that_is_quoted_is_said_with_the_exit_code_of_its_section(code, quoted):
    assert code in {each.exit_code for each in all_messages() if shape(quoted).search(each.text)}


def test_enough_messages_are_explained_of_every_exit_code():
    explained = {code for code, _ in QUOTED}

    assert explained == set(EXIT_CODES.values()) == set(range(1, 9))
    assert len(QUOTED) > 50


def test_the_table_of_exit_codes_has_each():
    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)]

    assert codes == sorted({*EXIT_CODES.values(), INTERRUPTED})


def test_every_reason_why_a_row_becomes_no_sample_is_explained():
    explained = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| `.*$", TEXT, re.MULTILINE))))

    assert row_problems() <= explained
