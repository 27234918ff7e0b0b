"""What docs/extending.md adds to the project works as it stands there, and so do its tests."""

import inspect
import sys
from typing import Any

import pytest

from tests.documents import read_blocks
from tests.extensions import register
from tokensieve.ingest import records
from tokensieve.ingest.records import Message, to_record

DOCUMENT = "docs/extending.md"


def documented_tests():
    """Return the test functions of the files of tests that the document shows."""
    names: dict[str, Any] = {}
    for block in read_blocks(DOCUMENT):
        if block.file and block.file.startswith("tests/"):
            exec(block.text, names)
    return [pytest.param(each, id=name) for name, each in names.items() if name[:5] == "test_"]


@pytest.mark.parametrize("test", documented_tests())
def test_what_the_document_asserts_of_its_files_holds(test, monkeypatch, tmp_path):
    register(monkeypatch, tmp_path)

    test(**{"tmp_path": tmp_path} if "tmp_path" in inspect.signature(test).parameters else {})


def test_a_row_of_the_shape_that_is_added_becomes_a_conversation(monkeypatch):
    [block] = [each for each in read_blocks(DOCUMENT) if "Shape(" in each.text]
    names = dict(vars(records))
    exec(block.text, names)
    monkeypatch.setattr(records, "SHAPES", (*records.SHAPES, names["QUESTIONS"]))

    record = to_record({"id": "a", "question": "2 + 3?", "answer": "5"})

    assert record.messages == (Message("user", "2 + 3?"), Message("assistant", "5"))


def test_the_document_tests_its_method_and_its_format():
    assert len(documented_tests()) == 4


def test_nothing_of_it_is_left_behind():
    assert "tokensieve.methods.slips" not in sys.modules
