"""What `history` says of the rounds and arms of a run."""

import pytest

from flows.cli import main
from sql.index import update_index
from tasks.history import describe_history
from tests.tiny_runs import (
    begin_comparison,
    begin_evolving_run,
    chosen_in_training,
    finish_first_round,
    finish_second_round,
)
from tokensieve.errors import InputError, SettingsError
from tokensieve.runs import Outcome
from tokensieve.storage import LocalStorage

HEADING = (
    "round     kept  influence  positive  overlap       held-out loss     model"
    "       training loss    seconds"
)
FIRST = (
    "    0  100.0 %          -         -        -                   -  promoted"
    "    2.0000 -> 1.5000        3.0"
)
SECOND = (
    "    1   66.7 %      0.500    66.7 %   50.0 %    1.0000 -> 1.2500  rejected"
    "    1.2500 -> 1.2500        0.8"
)


@pytest.fixture
def storage(tmp_path):
    storage = LocalStorage(tmp_path / "workspace")
    storage.probe()
    return storage


@pytest.fixture
def evolved(storage):
    """Return a run of at most three rounds, two of which are finished and in the index."""
    run, corpus = begin_evolving_run(storage)
    finish_first_round(run, corpus)
    finish_second_round(run, corpus)
    update_index(storage)
    return run


def test_each_round_has_a_line_and_each_verdict_its_reason(storage, evolved):
    assert describe_history(storage, "evolve-1").splitlines() == [
        "evolve-1",
        "",
        HEADING,
        FIRST,
        SECOND,
        "",
        "round 0: promoted (the first reference)",
        "round 1: rejected (worse)",
    ]


def test_a_round_that_chose_in_training_kept_what_it_chose(storage):
    chosen_in_training(storage)
    update_index(storage)

    lines = describe_history(storage, "online-1").splitlines()

    assert [line.split()[1:3] for line in lines[3:5]] == [["20.0", "%"], ["40.0", "%"]]


def test_the_lines_fit_a_terminal_and_are_ascii(storage, evolved):
    lines = describe_history(storage, "evolve-1").splitlines()

    assert max(map(len, lines)) == 105
    assert all(line.isascii() for line in lines)


def test_a_run_that_was_stopped_says_why(storage, evolved):
    evolved.stop(storage, "no gain in 2 rounds")

    first, *_ = describe_history(storage, "evolve-1").splitlines()

    assert first == "evolve-1: stopped: no gain in 2 rounds"


def test_rounds_that_the_index_lacks_are_told(storage):
    run, corpus = begin_evolving_run(storage)
    finish_first_round(run, corpus)
    update_index(storage)
    finish_second_round(run, corpus)

    lines = describe_history(storage, "evolve-1").splitlines()

    assert lines[3] == FIRST
    assert lines[-1] == "The index lacks 1 more: run `tokensieve index`."
    assert SECOND not in lines


def test_finished_rounds_without_an_index_name_the_command_that_makes_it(storage):
    finish_first_round(*begin_evolving_run(storage))

    with pytest.raises(InputError, match="run `tokensieve index` to make it"):
        describe_history(storage, "evolve-1")


def test_a_run_without_a_finished_round_says_so(storage):
    begin_evolving_run(storage)

    assert describe_history(storage, "evolve-1") == (
        "evolve-1: no round is finished yet; `tokensieve status` tells how far it is"
    )


def test_a_comparison_shows_its_arms(storage):
    run, arm = begin_comparison(storage)
    run.finish_arm(storage, arm)
    run.finish_arm(storage, arm.model_copy(update={"arm": "full", "exact_match": None}))
    update_index(storage)

    assert describe_history(storage, "compare-1").splitlines() == [
        "compare-1",
        "",
        "arm                     seed  held-out loss  exact match     kept  forward passes"
        "    seconds",
        "full                       1         1.5000            -   75.0 %            5.00"
        "       15.0",
        "rho                        1         1.5000       50.0 %   75.0 %            5.00"
        "       15.0",
    ]


def test_a_loss_that_only_the_new_model_has_stands_beside_a_dash(storage):
    run, corpus = begin_evolving_run(storage)
    round = finish_first_round(run, corpus)
    storage.path("runs/evolve-1/round-000.json").unlink()
    outcome = Outcome(promoted=True, reason="first", loss_before=None, loss_after=12.5)
    run.finish_round(storage, round, outcome)
    update_index(storage)

    assert "  - -> 12.5000  promoted" in describe_history(storage, "evolve-1")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("evolve-2", "there is no run called 'evolve-2'. Did you mean evolve-1?"),
        ("../runs/evolve-1", "there is no run called '../runs/evolve-1'. Did you mean evolve-1?"),
        ("x", "there is no run called 'x'. `tokensieve status` lists all."),
    ],
)
def test_a_run_that_is_not_there_is_refused_with_the_names_that_are_near(storage, name, hint):
    begin_evolving_run(storage)

    with pytest.raises(SettingsError) as raised:
        describe_history(storage, name)

    assert str(raised.value) == f"{storage.root}: {hint}"


def test_the_command_prints_the_table_and_leaves_with_two_for_an_unknown_run(
    storage, evolved, capsys
):
    for name, code in (("evolve-1", 0), ("other", 2)):
        with pytest.raises(SystemExit) as left:
            main(["history", name, "--workspace", str(storage.root)])
        assert left.value.code == code

    printed = capsys.readouterr()
    assert printed.out == f"{describe_history(storage, 'evolve-1')}\n"
    assert "there is no run called 'other'" in printed.err
