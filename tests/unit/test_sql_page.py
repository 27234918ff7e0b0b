"""What docs/sql.md shows is what the index holds and answers."""

import re

import pytest

from sql.index import update_index
from sql.named_answers import run_named
from sql.named_queries import named_queries
from sql.query import query
from tasks.asking import asked_query
from tests.documents import read_blocks
from tests.index_schema import index_tables
from tests.reading import rows
from tests.schema_picture import schema_picture
from tests.sql_page import PAGE, PICTURE, answer, questions, shared_columns, with_reference
from tests.tiny_questions import make_workspace
from tokensieve.errors import InputError
from tokensieve.storage import LocalStorage

TEXT = PAGE.read_text("utf-8")
QUESTIONS = questions(TEXT)
DEMO = LocalStorage(PAGE.parents[1] / "workspace" / "demo")
DEMO_METHODS = ["evolve", "fixed-model", "random", "rho", "sieve"]
MAKE = "python -m tests.sql_page"


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    storage = LocalStorage(tmp_path_factory.mktemp("workspace"))
    make_workspace(storage)
    update_index(storage)
    return storage


@pytest.fixture(scope="module")
def tables():
    return index_tables()


def is_demo() -> bool:
    """Return whether the demonstration was finished here, and nothing was done with it since."""
    try:
        runs = rows(DEMO, "SELECT regexp_extract(run, '(.*)-', 1) FROM runs ORDER BY ALL")
    except InputError:
        return False
    return [name for (name,) in runs] == DEMO_METHODS


def test_the_page_says_of_tables_and_named_queries_what_they_are(tables):
    assert with_reference(TEXT, tables) == TEXT, f"run {MAKE}"


def test_the_picture_is_that_of_the_schema(tables):
    assert PICTURE.read_text("utf-8") == schema_picture(tables), f"run {MAKE}"


def test_every_table_is_in_the_picture_once(tables):
    picture = schema_picture(tables)

    for table in tables:
        shown = picture.count('class="table"') and picture.count(f">{table.name}</text>")
        assert shown == (0 if table.name == "meta" else 1), table.name


def test_it_is_said_of_every_column_what_it_is(tables):
    everywhere = shared_columns(TEXT)
    unsaid = [(t.name, c.name) for t in tables for c in t.columns if not c.meaning]

    assert [each for each in unsaid if each[1] not in everywhere] == []
    assert everywhere <= {column.name for table in tables for column in table.columns}
    assert all(table.about for table in tables)


def test_the_page_asks_ten_questions():
    assert len(QUESTIONS) == 10


@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_every_statement_of_the_page_is_answered_with_the_columns_it_shows(storage, number):
    statement, shown = QUESTIONS[number]

    columns = query(storage, statement, max_rows=9, max_seconds=60).columns

    assert columns == shown.splitlines()[0].split()


def test_the_question_that_is_kept_in_a_file_is_answered(storage):
    [block] = [each for each in read_blocks("docs/sql.md") if each.file == "question.sql"]
    asked = asked_query(block.text, {})

    found = run_named(storage, asked, {"at_least": "2"}, max_rows=9, max_seconds=60)

    assert found.values == {"run": "first", "round": 0, "at_least": 2}
    assert found.result.table.to_pylist() == [
        {"source": "web", "samples": 1, "median_tokens": 2.0},
        {"source": "wiki", "samples": 2, "median_tokens": 2.5},
    ]


def test_every_name_that_is_asked_by_is_one():
    names = {each.name for each in named_queries()}
    shell = "".join(block.text for block in read_blocks("docs/sql.md") if block.language == "sh")

    assert set(re.findall(r"tokensieve sql (\w+)", shell)) <= names


@pytest.mark.skipif(not is_demo(), reason="needs a finished `make demo`")
@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_the_answers_are_those_of_the_demonstration(number):
    statement, shown = QUESTIONS[number]

    found = answer(DEMO, statement).splitlines()

    assert len(found) == len(shown.splitlines())
    for line, wanted in zip(found, shown.splitlines(), strict=True):
        assert_alike(line.split(), wanted.split())


def assert_alike(found, wanted):
    """Assert that texts are the same, and numbers almost, as the page says."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        if re.fullmatch(r"-?[\d,.]+", other):
            number = float(other.replace(",", ""))
            assert float(one.replace(",", "")) == pytest.approx(number, rel=0.2, abs=0.1)
        else:
            assert one == other
