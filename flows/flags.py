"""The flags of the command line: a few that a person types, each the name of a setting.

A flag's destination is the setting's place in the tree, such as `selection.keep`; everything else
is in the settings file.
"""

import argparse
import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args

from tokensieve.settings import S3Settings, Settings, checked
from tokensieve.settings.policies import Protection

_Settings = TypeVar("_Settings", bound=Settings)
_NUMBERS: dict[str, type] = {"MINUTES": float, "N": int, "RATE": float, "SHARE": float}
"""What a flag's value is, by the word that stands for it; text by any other word."""


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


def tell_defaults(command: argparse.ArgumentParser, settings: type[Settings]) -> None:
    """Add to the help of each flag what its setting is if nobody gives it."""
    for flag in command._actions:
        place: str = flag.dest
        fields: Any = settings.model_fields
        for group in place.split(".")[:-1]:
            fields = fields[group].annotation.model_fields
        field = fields.get(place.rpartition(".")[2])
        if field is None or field.is_required() or field.default in (None, (), {}):
            continue
        if field.default is False:  # the flag itself says what else there is
            continue
        default = field.default
        text = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
        flag.help = f"{flag.help} (default: {text})"


def add_drop(command: argparse.ArgumentParser, trains: bool) -> None:
    """Add what every command has that reads a drop; `trains`: with what beside it one needs that
    trains models.
    """
    purpose = "JSONL, Parquet, dataset directories, or hf://name"
    command.add_argument("files", nargs="*", metavar="FILE", help=purpose)
    group = add_corpus(command)
    if trains:
        _add_files(group, "--holdout", "never trained on; models are judged by their loss on it")
        purpose = "what the first reference is trained on; unset: the first part of the drop"
        _add_files(group, "--warmup", purpose)


def add_corpus(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add how the rows of a drop become samples; return the group, for more about the drop."""
    group = command.add_argument_group("the drop")
    purpose = "model (its own), tulu, chatml, alpaca, plain, or a Jinja file"
    _add(group, "--template", "corpus.template", "NAME", purpose)
    _add(group, "--split", "corpus.split", "NAME", "which split of a dataset that has several")
    purpose = "bad rows that are accepted, as a share of all"
    _add(group, "--max-quarantine", "corpus.max_quarantine", "SHARE", purpose)
    return group


def add_location(command: argparse.ArgumentParser) -> None:
    """Add where drops arrive, when one is cleaned, and what becomes of it."""
    purpose = "a directory, or s3://bucket/prefix; each folder in it is a drop"
    command.add_argument("location", nargs="?", metavar="LOCATION", help=purpose)
    group = command.add_argument_group("what is done about a drop")
    purpose = "without a change after which it is complete, if it has no file _SUCCESS"
    _add(group, "--quiet-minutes", "quiet_minutes", "MINUTES", purpose)
    purpose = "refit to each drop, or those of a run or selection, whose name to give"
    _add(group, "--thresholds", "thresholds", "NAME", purpose)
    group.add_argument(
        "--hold",
        dest="drift.hold",
        action="store_const",
        const=True,
        help="hold a drop that is unlike those before it, until somebody approves it",
    )


def add_run(command: argparse.ArgumentParser) -> None:
    """Add what every command has that works with models."""
    _add(command, "--base", "base", "DIR", "the model that you are going to train")
    add_workspace(command, None)
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="settings in TOML; flags are laid over them"
    )


def add_given(command: argparse.ArgumentParser, reference: str, numbers: bool = True) -> None:
    """Add what methods look at beside the base; `reference`: what that model is, `numbers`: with
    those that were made elsewhere.
    """
    group = command.add_argument_group("what methods look at")
    _add(group, "--reference", "reference", "DIR", reference)
    _add(group, "--harmful", "harmful", "DIR", "a model trained on harmful data, for toss")
    purpose = "a checkpoint of plain training at its worst, for t3s"
    _add(group, "--bottleneck", "bottleneck", "DIR", purpose)
    if numbers:
        purpose = "Parquet of sample_id and a list of numbers, for the method external"
        _add(group, "--external", "external", "FILE", purpose)


def add_cluster(command: argparse.ArgumentParser) -> None:
    """Add where the work runs."""
    group = command.add_argument_group("where it runs")
    purpose = "processes that hold a model; unset: as many as fit"
    _add(group, "--workers", "cluster.workers", "N", purpose)
    purpose = "a running Ray cluster; unset: one on this machine"
    _add(group, "--ray-address", "cluster.address", "HOST:PORT", purpose)


def add_selection(command: argparse.ArgumentParser, seed: bool) -> None:
    """Add how tokens are selected; `seed`: with the seed of methods that draw."""
    group = command.add_argument_group("which tokens are kept")
    _add(group, "--method", "selection.method", "NAME", "one that `tokensieve methods` lists")
    purpose = "of the method itself, such as gamma=0.25; repeat the flag for more"
    group.add_argument(
        "--parameter",
        dest="selection.parameters",
        action=_Parameter,
        metavar="NAME=VALUE",
        help=purpose,
    )
    purpose = "of the response tokens; unset: the method's own"
    _add(group, "--keep", "selection.keep", "SHARE", purpose)
    purpose = "where that share is counted; unset: the method's own"
    _add_choice(group, "--scope", "selection.scope", ("dataset", "source", "sample"), purpose)
    if seed:
        _add(group, "--seed", "selection.seed", "N", "of methods that draw")


def add_policies(command: argparse.ArgumentParser) -> None:
    """Add what overrides the method, token by token."""
    group = command.add_argument_group("what overrides the method")
    group.add_argument(
        "--protect",
        dest="policies.protect",
        action="append",
        choices=get_args(Protection),
        help="tokens that are never dropped; repeat the flag for more",
    )
    purpose = "tokens that overlap a match of it in a response are never dropped either"
    _add(group, "--protect-pattern", "policies.protect_pattern", "REGEX", purpose)
    purpose = "that each sample keeps at least; unset: none need be"
    _add(group, "--min-kept-tokens", "policies.min_kept_tokens", "N", purpose)
    purpose = "tokens on each side that outvote a lone one between them; unset: none do"
    _add(group, "--smooth-spans", "policies.smooth_spans", "N", purpose)


def add_training(command: argparse.ArgumentParser, seed: bool) -> None:
    """Add how models are trained; `seed`: with the seed of order and dropout."""
    group = command.add_argument_group("how a model is trained")
    purpose = "an adapter that is merged afterwards, or every weight"
    _add_choice(group, "--tuning", "training.tuning", ("lora", "full"), purpose)
    purpose = "at its highest; unset: 1e-4 for lora, 2e-5 for full"
    _add(group, "--learning-rate", "training.learning_rate", "RATE", purpose)
    _add(group, "--epochs", "training.epochs", "N", "how often each sample is trained on")
    _add(group, "--step-samples", "training.step_samples", "N", "samples of one optimizer step")
    purpose = "processes that train one model together"
    _add(group, "--ranks", "cluster.ranks", "N", purpose)
    if seed:
        purpose = "of the samples' order, the adapter's first weights and dropout"
        _add(group, "--seed", "training.seed", "N", purpose)


def add_rounds(command: argparse.ArgumentParser) -> None:
    """Add how the reference evolves."""
    group = command.add_argument_group("how the reference evolves")
    _add(group, "--rounds", "rounds.rounds", "N", "rounds after the warm-up")
    purpose = "what a round scores: its own part of the corpus, or all of it again"
    _add_choice(group, "--select-from", "rounds.select_from", ("part", "corpus"), purpose)


def add_hardening(command: argparse.ArgumentParser) -> None:
    """Add how the harmful model of toss learns."""
    group = command.add_argument_group("how the harmful model of toss learns")
    _add(group, "--reference", "reference", "DIR", "the utility model")
    _add_files(group, "--harmful-data", "harmful samples, what it is trained on first")
    purpose = "samples of the drop that each round adds to them"
    _add(group, "--harmful-added", "harmful_added", "N", purpose)


def add_comparison(command: argparse.ArgumentParser) -> None:
    """Add what is compared."""
    group = command.add_argument_group("what is compared")
    _add_list(group, "--arms", "arms", "NAME", "methods, or self-evolving; files go before it")
    _add_list(group, "--seeds", "seeds", "N", "each arm is trained once with each")
    purpose = "of the response tokens, by every arm that keeps a share"
    _add(group, "--keep", "keep", "SHARE", purpose)


def add_evaluation(command: argparse.ArgumentParser) -> None:
    """Add what models are asked."""
    group = command.add_argument_group("what models are asked, beside their loss")
    purpose = "finds the answer in a response; unset: nothing is generated"
    _add(group, "--answer-pattern", "evaluation.answer_pattern", "REGEX", purpose)
    _add(group, "--max-new-tokens", "evaluation.max_new_tokens", "N", "of a generated response")
    _add_list(group, "--tasks", "evaluation.tasks", "NAME", "lm-eval tasks; needs the extra eval")
    _add(group, "--task-path", "evaluation.task_path", "DIR", "further lm-eval tasks")


def add_workspace(command: argparse.ArgumentParser, default: str | None) -> None:
    """Add where the artifacts lie, and how to get there."""
    purpose = "where the artifacts lie: a directory, or s3://bucket/prefix"
    told = purpose if default is None else f"{purpose} (default: {default})"
    command.add_argument("--workspace", default=default, metavar="DIR", help=told)
    group = command.add_argument_group("S3", "secrets come from the environment or the profile")
    _add(group, "--s3-endpoint", "s3.endpoint", "URL", "of a store other than Amazon's")
    _add(group, "--s3-profile", "s3.profile", "NAME", "in the AWS configuration files")
    _add(group, "--s3-region", "s3.region", "NAME", "where the bucket is")


def given_s3(options: argparse.Namespace) -> S3Settings:
    """Return how s3:// addresses are reached, for a command that takes no settings file."""
    values = {name: vars(options)[f"s3.{name}"] for name in S3Settings.model_fields}
    return checked(S3Settings, values)


def add_query(command: argparse.ArgumentParser) -> None:
    """Add what is asked of the index, and in which form it is answered."""
    asked = command.add_mutually_exclusive_group()
    purpose = "one SELECT, DESCRIBE, SHOW or EXPLAIN, or the name of a query"
    asked.add_argument("statement", nargs="?", metavar="QUERY", help=purpose)
    purpose = "SQL to ask, as the named queries are written"
    asked.add_argument("--file", type=Path, metavar="FILE", help=purpose)
    asked.add_argument("--list", action="store_true", help="the queries that have a name")
    purpose = "of a parameter, which SQL names as $NAME; repeat the flag for more"
    command.add_argument(
        "--set", type=_named, action="append", default=[], metavar="NAME=VALUE", help=purpose
    )
    forms = ("table", "csv", "json", "parquet")
    command.add_argument("--format", choices=forms, default="table", help="of the answer")
    purpose = "write the answer here, not to the terminal"
    command.add_argument("--output", type=Path, metavar="FILE", help=purpose)


def _named(given: str) -> tuple[str, str]:
    """Return name and value."""
    name, equals, value = given.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{given!r} is not of the form NAME=VALUE")
    return name, value


class _Parameter(argparse.Action):
    """Takes NAME=VALUE; the value is read as in a settings file, and as text if it is none."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        options: argparse.Namespace,
        given: Any,
        flag: str | None = None,
    ) -> None:
        name, equals, value = given.partition("=")
        if not (name and equals):
            raise argparse.ArgumentError(self, f"{given!r} is not of the form NAME=VALUE")
        setattr(options, self.dest, {**(getattr(options, self.dest) or {}), name: _read(value)})


def _read(value: str) -> Any:
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def _add(to: argparse._ActionsContainer, flag: str, place: str, word: str, purpose: str) -> None:
    kind = _NUMBERS.get(word, str)
    to.add_argument(flag, dest=place, type=kind, metavar=word, help=purpose)


def _add_choice(
    to: argparse._ActionsContainer, flag: str, place: str, choices: tuple[str, ...], purpose: str
) -> None:
    to.add_argument(flag, dest=place, choices=choices, help=purpose)


def _add_list(
    to: argparse._ActionsContainer, flag: str, place: str, word: str, purpose: str
) -> None:
    kind = _NUMBERS.get(word, str)
    to.add_argument(flag, dest=place, nargs="+", type=kind, metavar=word, help=purpose)


def _add_files(to: argparse._ActionsContainer, flag: str, purpose: str) -> None:
    repeated = f"{purpose}; repeat the flag for more"
    place = flag.strip("-").replace("-", "_")
    to.add_argument(flag, dest=place, action="append", metavar="FILE", help=repeated)
