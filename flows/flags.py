"""The flags of the command line: a few that a person types, each the name of a setting.

A flag's destination is the setting's place in the tree, such as `selection.keep`; everything else
is in the settings file.
"""

import argparse
from pathlib import Path
from typing import Any, TypeVar

from tokensieve.settings import Settings

_Settings = TypeVar("_Settings", bound=Settings)


def loaded(settings: type[_Settings], options: argparse.Namespace) -> _Settings:
    """Return the settings of the file given by --config with the flags that were given over it."""
    tree: dict[str, Any] = {}
    for place, value in vars(options).items():
        group, _, field = place.partition(".")
        if group not in settings.model_fields or value in (None, []):
            continue
        if field:
            tree.setdefault(group, {})[field] = value
        else:
            tree[group] = value
    return settings.load(options.config, tree)


def add_drop(command: argparse.ArgumentParser) -> None:
    """Add what every command has that reads a drop."""
    command.add_argument(
        "files", nargs="*", metavar="FILE", help="JSONL, Parquet, a dataset directory"
    )
    add_run(command)
    _add(command, "--template", "corpus.template", "model, tulu, chatml, alpaca, plain, a file")
    _add(command, "--split", "corpus.split", "which split of a dataset that has several")
    _add(command, "--max-quarantine", "corpus.max_quarantine", "bad rows accepted", float)


def add_run(command: argparse.ArgumentParser) -> None:
    """Add what every command has that works with models."""
    command.add_argument(
        "--config", type=Path, metavar="TOML", help="settings file; flags go over it"
    )
    _add(command, "--base", "base", "directory of the base model")
    _add(command, "--workers", "cluster.workers", "workers that hold a model", int)
    _add(command, "--ray-address", "cluster.address", "HOST:PORT of a running Ray cluster")
    add_workspace(command, None)


def add_selection(command: argparse.ArgumentParser, seed: bool) -> None:
    """Add how tokens are selected; `seed`: with the seed of methods that draw."""
    _add(command, "--method", "selection.method", "fixed-model, rho, random or full")
    _add(command, "--keep", "selection.keep", "share of tokens kept, e.g. 0.6", float)
    command.add_argument("--scope", dest="selection.scope", choices=("dataset", "source", "sample"))
    if seed:
        _add(command, "--seed", "selection.seed", "seed of methods that draw", int)


def add_training(command: argparse.ArgumentParser, seed: bool) -> None:
    """Add how models are trained; `seed`: with the seed of order and dropout."""
    command.add_argument("--tuning", dest="training.tuning", choices=("lora", "full"))
    _add(command, "--learning-rate", "training.learning_rate", "at its highest", float)
    _add(command, "--epochs", "training.epochs", "how often each sample is trained on", int)
    _add(command, "--step-samples", "training.step_samples", "samples of an optimizer step", int)
    _add(command, "--ranks", "cluster.ranks", "processes that train one model together", int)
    if seed:
        _add(command, "--seed", "training.seed", "seed of the order and of dropout", int)


def add_rounds(command: argparse.ArgumentParser) -> None:
    """Add how the reference evolves."""
    _add(command, "--rounds", "rounds.rounds", "rounds after the warm-up", int)
    command.add_argument(
        "--select-from",
        dest="rounds.select_from",
        choices=("part", "corpus"),
        help="a round's own part of the corpus, or all of it again",
    )
    _add_files(command, "--warmup", "warm-up, instead of the first part of the corpus")
    _add_files(command, "--holdout", "never trained on; repeat the flag for more")


def add_comparison(command: argparse.ArgumentParser) -> None:
    """Add what is compared, and how."""
    _add(command, "--reference", "reference", "the better model; else the base is warmed up")
    _add(command, "--keep", "keep", "share of tokens that every arm but full keeps", float)
    command.add_argument("--arms", dest="arms", nargs="+", metavar="NAME", help="what to compare")
    command.add_argument("--seeds", dest="seeds", nargs="+", type=int, metavar="N")
    _add(command, "--answer-pattern", "evaluation.answer_pattern", "regular expression")
    _add(command, "--max-new-tokens", "evaluation.max_new_tokens", "longest answer", int)
    command.add_argument(
        "--tasks", dest="evaluation.tasks", nargs="+", metavar="NAME", help="lm-eval tasks"
    )
    _add(command, "--task-path", "evaluation.task_path", "directory of further lm-eval tasks")


def add_workspace(command: argparse.ArgumentParser, default: Path | None) -> None:
    """Add where the artifacts lie."""
    command.add_argument(
        "--workspace", type=Path, default=default, metavar="DIR", help="where the artifacts lie"
    )


def _add(
    command: argparse.ArgumentParser, flag: str, place: str, purpose: str, kind: type = str
) -> None:
    word = {int: "N", float: "X", str: "VALUE"}[kind]
    command.add_argument(flag, dest=place, type=kind, metavar=word, help=purpose)


def _add_files(command: argparse.ArgumentParser, flag: str, purpose: str) -> None:
    command.add_argument(
        flag, dest=flag.strip("-"), action="append", metavar="FILE", help=f"files {purpose}"
    )
