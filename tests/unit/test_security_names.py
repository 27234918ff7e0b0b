"""Names of runs, drops and selections that want to lead somewhere else, and queries."""

from pathlib import Path

import pytest

from flows.cli import main
from sql.index import update_index
from tests.canaries import SQL
from tests.tiny_runs import begin_evolving_run, finish_first_round
from tokensieve.errors import DamagedError, SettingsError
from tokensieve.runs import Round, load_run
from tokensieve.selection_lookup import find_selection
from tokensieve.storage import LocalStorage

NAMES = [
    *("../../etc", "..", ".", "/etc", "a/b", "-x", "a;b", "a\nb", "\x1b[31m", "\uff0e\uff0e/x"),
    *("%2e%2e", "n" * 300, SQL),
]
COMMANDS = {
    "history": ["history", "--"],
    "approve": ["approve", "--"],
    "train": ["train", "--base", ".", "--"],
    "gc": ["gc", "--delete", "--forget"],
}


@pytest.fixture
def storage(tmp_path) -> LocalStorage:
    """Return a workspace with a finished round."""
    storage = LocalStorage(tmp_path / "workspace")
    storage.probe()
    finish_first_round(*begin_evolving_run(storage))
    return storage


def everything(storage) -> dict[Path, bytes]:
    """Return each file of the workspace and beside it."""
    paths = storage.root.parent.rglob("*")
    return {path: path.read_bytes() for path in paths if path.is_file()}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_name_on_the_command_line_leads_out_of_the_workspace(storage, capsys, command, name):
    *words, last = COMMANDS[command]
    given = [last, name] if last == "--" else [f"{last}={name}"]
    before = everything(storage)

    with pytest.raises(SystemExit) as left:
        main([*words, "--workspace", str(storage.root), *given])

    assert left.value.code == 2
    assert capsys.readouterr().err.removesuffix("\n").isprintable()
    assert everything(storage) == before


@pytest.mark.parametrize("name", NAMES)
def test_no_name_that_an_event_gives_a_training_leads_out_of_the_workspace(storage, name):
    with pytest.raises(SettingsError, match="there is no selection and no run"):
        find_selection(storage, name)


def test_no_name_in_a_document_leads_out_of_the_workspace(storage):
    """Whoever writes to a workspace can seal a document anew, but it names nothing outside."""
    outside = storage.root.parent / "outside" / "PLAN.json"
    outside.parent.mkdir()
    outside.write_text("{}")
    run = load_run(storage, "evolve-1")
    run.begin_round(storage, Round(round=1, corpus="../../outside", scores={}, selection="0" * 16))

    with pytest.raises(DamagedError, match=r"corpora/\.\./\.\./outside/PLAN\.json': is no name"):
        run.planned_rounds(storage)[1].artifacts(storage)


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO '{root}/corpora/evil.csv'",
        "SELECT * FROM read_text('/etc/hostname')",
        "ATTACH '/tmp/evil.duckdb'",
        "SET enable_external_access = true",
        "SELECT 1; DROP TABLE rounds",
        "INSTALL httpfs",
    ],
)
def test_the_command_that_asks_the_index_only_reads_it(storage, capsys, statement):
    update_index(storage)
    before = everything(storage)

    with pytest.raises(SystemExit) as left:
        main(["sql", statement.format(root=storage.root), "--workspace", str(storage.root)])

    assert left.value.code == 2
    assert capsys.readouterr().out == ""
    assert everything(storage) == before
