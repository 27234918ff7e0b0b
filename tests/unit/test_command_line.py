"""The command line: every flag is a setting, and says what it is."""

import argparse
from pathlib import Path

import pytest

from flows.cli import parser
from flows.flags import loaded
from tokensieve.settings import (
    BenchmarkSettings,
    CleanDropsSettings,
    CleanSettings,
    CompareSettings,
    EvolveSettings,
    TrainSettings,
)

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "clean": CleanSettings,
    "clean-drops": CleanDropsSettings,
    "train": TrainSettings,
    "evolve": EvolveSettings,
    "compare": CompareSettings,
    "benchmark": BenchmarkSettings,
}
NO_SETTINGS = {"help", "config", "dry_run", "next_round"}


def commands():
    [action] = [a for a in parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return action.choices


def settings_of(command, arguments):
    options = parser().parse_args([command, *arguments.split()])
    return loaded(SETTINGS[command], options)


def field_at(settings, place):
    *groups, name = place.split(".")
    for group in groups:
        settings = settings.model_fields[group].annotation
    return settings.model_fields[name]


@pytest.mark.parametrize("command", commands())
def test_every_flag_says_what_it_is(command):
    for flag in commands()[command]._actions:
        assert flag.help, flag.option_strings


@pytest.mark.parametrize("command", SETTINGS)
def test_every_flag_is_the_name_of_a_setting_of_its_command(command):
    for flag in commands()[command]._actions:
        if flag.dest not in NO_SETTINGS:
            assert field_at(SETTINGS[command], flag.dest), flag.dest


@pytest.mark.parametrize("command", SETTINGS)
def test_no_flag_has_a_default_of_its_own(command):
    for flag in commands()[command]._actions:
        if flag.dest not in NO_SETTINGS:
            assert flag.default is None or flag.default == [], flag.dest


@pytest.mark.parametrize("command", SETTINGS)
def test_the_help_names_a_settings_file_that_is_there(command):
    shown = commands()[command].epilog.rpartition(" ")[2]

    assert (ROOT / shown).is_file()


def test_the_help_tells_the_defaults_of_the_settings(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = commands()["compare"].format_help()

    assert "of the response tokens, by every arm that keeps a share (default: 0.6)" in shown
    assert "each arm is trained once with each (default: 0 1 2)" in shown
    assert "the base after the warm-up\n" in shown  # no default to tell


def test_flags_arrive_at_their_settings():
    settings = settings_of(
        "evolve",
        "a.jsonl b.jsonl --base m --holdout c --holdout d --template tulu --rounds 2 --keep 0.5 "
        "--scope sample --tuning full --learning-rate 1e-3 --seed 7 --ranks 2 --workers 3",
    )

    here = Path.cwd()
    assert settings.files == (f"{here}/a.jsonl", f"{here}/b.jsonl")
    assert settings.holdout == (f"{here}/c", f"{here}/d")
    assert (settings.base, settings.corpus.template) == (f"{here}/m", "tulu")
    assert (settings.rounds.rounds, settings.selection.keep) == (2, 0.5)
    assert (settings.selection.scope, settings.selection.seed) == ("sample", 0)
    assert (settings.training.tuning, settings.training.learning_rate) == ("full", 0.001)
    assert (settings.training.seed, settings.training.epochs) == (7, 1)
    assert (settings.cluster.ranks, settings.cluster.workers) == (2, 3)


def test_what_is_done_about_drops_arrives():
    settings = settings_of(
        "clean-drops",
        "arrivals --base m --reference r --quiet-minutes 2.5 --thresholds rho-01234567 --hold "
        "--method rho --keep 0.5",
    )

    here = Path.cwd()
    assert (settings.location, settings.reference) == (f"{here}/arrivals", f"{here}/r")
    assert (settings.quiet_minutes, settings.thresholds) == (2.5, "rho-01234567")
    assert (settings.drift.hold, settings.selection.keep) == (True, 0.5)
    assert not settings_of("clean-drops", "s3://bucket/drops --base m").drift.hold


def test_what_the_harmful_model_learns_from_arrives():
    settings = settings_of(
        "evolve",
        "a --base m --method toss --reference u --harmful-data x --harmful-data y.jsonl "
        "--harmful-added 7 --rounds 2",
    )

    here = Path.cwd()
    assert (settings.selection.method, settings.reference) == ("toss", f"{here}/u")
    assert settings.harmful_data == (f"{here}/x", f"{here}/y.jsonl")
    assert (settings.harmful_added, settings.rounds.rounds) == (7, 2)


def test_lists_of_arms_seeds_and_tasks_arrive_whole():
    settings = settings_of(
        "compare",
        "a --base m --holdout b --arms random rho --seeds 5 6 --tasks boolq arc_easy "
        r"--answer-pattern \d+",
    )

    assert (settings.arms, settings.seeds) == (("random", "rho"), (5, 6))
    assert settings.evaluation.tasks == ("boolq", "arc_easy")
    assert settings.evaluation.answer_pattern == r"\d+"


def test_a_selection_may_stand_in_the_settings_file(tmp_path):
    config = tmp_path / "train.toml"
    config.write_text('selection = "rho-01234567"\nbase = "/m"\n')

    assert settings_of("train", f"--config {config}").selection == "rho-01234567"
    assert settings_of("train", f"full-0 --config {config}").selection == "full-0"


def test_parameters_of_a_method_are_read_as_in_a_settings_file():
    settings = settings_of(
        "clean",
        "a --base m --method sstoken --parameter gamma=0.25 --parameter layers=[1,2] "
        "--parameter direction=low --parameter first_position=false",
    )

    assert settings.selection.method == "sstoken"
    assert settings.selection.parameters == {
        "gamma": 0.25,
        "layers": [1, 2],
        "direction": "low",
        "first_position": False,
    }


def test_a_parameter_without_a_value_is_refused(capsys):
    with pytest.raises(SystemExit):
        settings_of("clean", "a --base m --parameter gamma")

    assert "'gamma' is not of the form NAME=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["clean", "compare"])
def test_the_models_that_methods_look_at_arrive(command):
    holdout = "--holdout h " if command == "compare" else ""
    given = "--reference r --harmful x --bottleneck y --external n.parquet"
    settings = settings_of(command, f"a --base m {holdout}{given}")

    here = Path.cwd()
    assert (settings.reference, settings.harmful) == (f"{here}/r", f"{here}/x")
    assert (settings.bottleneck, settings.external) == (f"{here}/y", f"{here}/n.parquet")


def test_what_is_protected_is_named_flag_by_flag():
    settings = settings_of("clean", "a.jsonl --base b --protect eos --protect numbers")

    assert settings.files == (str(Path.cwd() / "a.jsonl"),)
    assert settings.policies.protect == ("eos", "numbers")
