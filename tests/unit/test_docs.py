"""What the documents say of the methods is what they are, and what they show can be run."""

import math
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.cli import parser
from tests.documents import DOCUMENTS, ROOT, commands, read_blocks
from tests.judging import X, kept, scores_of, selector_of, shard_of
from tokensieve.external import read_external
from tokensieve.methods import Evidence, chosen_method, find_method
from tokensieve.methods.facts import method_facts
from tokensieve.methods.method import CURRENT
from tokensieve.settings import CleanSettings

METHODS = (ROOT / "docs/methods.md").read_text()
DIFFERENCE = re.compile(r"([-+]\d\.\d{2,4}) \+- (\d\.\d{2,4})")
LINK = re.compile(r"\]\(([^)\s]+)\)")
BEYOND_A_SHARE = {"test": "what passes a test, whatever share", "weight": "all, by weight"}


def blocks(language):
    return [each.text for each in read_blocks("docs/methods.md") if each.language == language]


def table_rows():
    """Return the cells of each row whose first is a name in backticks."""
    rows = [line.strip("| ").split(" | ") for line in METHODS.splitlines() if line[:3] == "| `"]
    return {(cells[0].strip("`"), *cells[1:]) for cells in rows}


def anchors(path):
    headings = re.findall(r"^#+ (.*)", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}


def looks_at(facts):
    needs = [f"{role}: {', '.join(f'`{n}`' for n in names)}" for role, names in facts.needs.items()]
    return "; ".join(needs) or "nothing"


def passes(facts):
    before = len([role for role in facts.needs if role not in (CURRENT, "external")])
    if find_method(facts.name).plants:
        return f"{before}, and a half at most"
    return f"{before}, 1 in training" if CURRENT in facts.needs else str(before)


def keeps(facts):
    if facts.keep is None:
        return BEYOND_A_SHARE[facts.direction]
    end = {"high": "highest", "low": "lowest"}[facts.direction]
    whole = "the step" if facts.acts == "at each step" else "the dataset"
    where = whole if facts.scope == "dataset" else f"each {facts.scope}"
    rounded = {"floor": "down", "ceil": "up"}[facts.rounding]
    return f"{end} {100 * facts.keep:.0f} % of {where}, rounded {rounded}"


def default_text(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.5f}".rstrip("0") if value < 0.001 else str(value)
    return str(value) if isinstance(value, (int, str)) else ", ".join(value) or "none"


@pytest.mark.parametrize("facts", method_facts(), ids=lambda facts: facts.name)
def test_the_table_says_what_a_method_looks_at_and_costs_when_it_acts_and_what_it_keeps(facts):
    row = (facts.name, looks_at(facts), passes(facts), facts.acts, keeps(facts))

    assert row in table_rows()


@pytest.mark.parametrize("facts", method_facts(), ids=lambda facts: facts.name)
def test_every_parameter_of_a_method_stands_with_its_default(facts):
    told = {row[:2] for row in table_rows()}

    for parameter in facts.parameters:
        assert (parameter.name, default_text(parameter.default)) in told


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_that_is_shown_is_one(document):
    for block in read_blocks(document):
        for arguments in commands(block.text) if block.language == "sh" else ():
            assert parser().parse_args(arguments)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_said_of_a_block_is_what_a_test_understands(document):
    for block in read_blocks(document):
        notes = [block.says(each) for each in ("not run", "not compared", "exit code")]
        assert any(notes) or not block.note, block.note
        assert not block.says("not compared") or block.is_answer, block.text


def test_every_form_of_combining_methods_loads(tmp_path):
    forms = []
    for number, block in enumerate(blocks("toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(block)
        settings = CleanSettings.load(path, {"files": ["drop.jsonl"], "base": "base"})
        forms.append(chosen_method(settings.selection).parameters.how)

    assert forms == ["intersection", "union", "rank"]


def test_the_method_of_ones_own_ranks_by_what_it_says():
    [block] = [each for each in blocks("python") if "Method(" in each]
    names = {}
    exec(block, names)
    reference = {"nll": [[X, 1.0, 2.0, 3.0, 4.0]], "entropy": [[X, 2.0, 1.0, 3.0, 5.0]]}
    evidence = Evidence(shard_of([[X, 1, 2, 3, 4]]), scores_of(reference=reference), seed=0)

    decision = selector_of(names["SURPRISE"], [evidence], None, keep=0.5).decide(evidence)

    assert decision.score_T[1:].tolist() == [-1.0, 1.0, 0.0, -1.0]
    assert kept(decision) == [1, 4]


def test_the_information_gain_of_items_is_a_file_of_numbers(tmp_path, monkeypatch):
    [block] = [each for each in blocks("python") if "igd.py" in each]
    ids = [[9, 1, 2, 3], [9, 1, 2, 4], [9, 5, 6]]
    response = [[token != 9 for token in each] for each in ids]
    columns = {"sample_id": ["a", "b", "c"], "input_ids": ids, "response": response}
    pq.write_table(pa.table(columns), tmp_path / "samples.parquet")
    monkeypatch.chdir(tmp_path)

    exec(block, {})
    external = read_external("igd.parquet")

    third = math.log(3) / 3
    wanted = [[third, 0, third], [third, 0, third], [2 * third, 0]]
    for sample_id, gain in zip("abc", wanted, strict=True):
        found = external.along(sample_id, np.ones(len(gain), dtype=bool))
        np.testing.assert_allclose(found, gain, atol=1e-7)
        assert found[1] == 0  # exactly: the rule `positive` depends on it


def test_the_index_of_the_documents_has_each():
    listed = LINK.findall((ROOT / "docs/README.md").read_text())

    pages = {document.removeprefix("docs/") for document in DOCUMENTS[1:]}
    assert pages - {"README.md"} <= set(listed)


def differences(method, text):
    """Return each `difference +- interval` in the rows of a method, as a pair of two digits."""
    rows = re.findall(rf"^\| \W*{method}\W* \|.*", text, re.MULTILINE)
    found = [each for row in rows for each in DIFFERENCE.findall(row)]
    return [(f"{float(value):+.2f}", f"{float(half):.2f}") for value, half in found]


@pytest.mark.parametrize("method", [*(each.name for each in method_facts()), "self-evolving"])
def test_the_figures_by_which_a_method_is_chosen_were_measured(method):
    shown = differences(method, (ROOT / "docs/choosing.md").read_text())
    measured = differences(method, (ROOT / "docs/results.md").read_text())

    assert set(shown) <= set(measured)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document):
    path = ROOT / document

    for link in LINK.findall(path.read_text()):
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        if "://" not in link:
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_every_paper_that_is_named_in_brackets_has_its_address():
    for number in re.findall(r"\[(\d{4}\.\d{5})\](?!:)", METHODS):
        assert f"[{number}]: https://arxiv.org/abs/{number}\n" in METHODS
