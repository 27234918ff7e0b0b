"""Hand a selection to a trainer: write it as that takes it, and say what it is."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tokensieve.addresses import is_address
from tokensieve.artifact import Artifact, load_artifact
from tokensieve.errors import SettingsError, shortened
from tokensieve.exports import Base, Export, find_format
from tokensieve.selection_lookup import find_selection
from tokensieve.settings import S3Settings
from tokensieve.storage import Storage


class Wanted(NamedTuple):
    """What was asked for, in the words of the command line."""

    selection: str
    format: str
    output: str
    base: str | None
    push: str | None


def export(storage: Storage, wanted: Wanted, s3: S3Settings) -> str:
    """Write the export, push it if asked to, and return what it is, in lines for the terminal.

    Raises SettingsError for what cannot be exported so, and what writing and pushing it raises.
    """
    planned = _planned(storage, wanted, s3)
    if wanted.push is not None:
        from tasks.hub import check_pushable  # a second of imports

        check_pushable(planned, wanted.push)
    found = planned.found()
    card = found or planned.made()
    if wanted.push is not None:
        planned.check_hashes(card)
    lines = [*_lines(planned, card)]
    if found is not None:
        lines.append(_found_line(planned, found, wanted.push))
    if wanted.push is not None:
        from tasks.hub import push

        lines.append(f"  pushed: {push(planned, card, wanted.push)}")
    return "\n".join(lines)


def _planned(storage: Storage, wanted: Wanted, s3: S3Settings) -> Export:
    if is_address(wanted.output):
        raise SettingsError(
            f"--output: {shortened(wanted.output)} is an address. Trainers read files: give a "
            "directory of this machine, and copy it from there."
        )
    format = find_format(wanted.format)
    selection = find_selection(storage, wanted.selection)
    base = None if wanted.base is None else _base(selection, wanted.base, s3)
    planned = Export(selection, format, Path(wanted.output).absolute(), base)
    planned.check()
    return planned


def _base(selection: Artifact, address: str, s3: S3Settings) -> Base:
    """Return the model to train; SettingsError if its tokenizer did not make the corpus."""
    from tokensieve import models  # seconds of imports
    from tokensieve.planning.train import check_tokenizer

    corpus = load_artifact(selection.storage, "corpora", selection.plan["corpus"])
    place = models.ModelPlace(address if is_address(address) else str(Path(address).absolute()), s3)
    tokenizer = models.load_tokenizer(place.path)
    check_tokenizer(corpus, place)
    return Base(str(place), Path(place.path), tokenizer, models.companions_fingerprint(place.path))


def _found_line(planned: Export, card: Mapping[str, Any], push: str | None) -> str:
    """Return how far the export that stands there was looked at, once the rest is put right."""
    anew = planned.put_right(card)
    checked = "of its size" if push is None else "with its hash"
    written = f"written anew: {', '.join(anew)}" if anew else "nothing was written"
    return f"  stands there already, each file of data {checked}; {written}"


def _lines(planned: Export, card: Mapping[str, Any]) -> Iterator[str]:
    read, written = card["read"], card["written"]
    share = 100 * read["trained_tokens"] / max(read["response_tokens"], 1)
    yield str(planned.place)
    yield (
        f"  {written['samples']:,} samples; {read['trained_tokens']:,} of "
        f"{read['response_tokens']:,} response tokens are trained on ({share:.1f} %)"
    )
    if read["masked_samples"]:
        yield f"  left out: {read['masked_samples']:,} samples without a token to train on"
    if written.get("skipped_samples"):
        yield (
            f"  left out: {written['skipped_samples']:,} samples with {written['skipped_tokens']:,}"
            " tokens to train on, which as text would become other tokens"
        )
    if written.get("widened_tokens"):
        yield (
            f"  widened: {written['widened_tokens']:,} dropped tokens are trained on, as parts of "
            "characters that are"
        )
    yield from (f"  {line}" for line in card["weights"][1:])
    yield f"  how to train: {', '.join(card['export']['recipe'])}; what it is: card.md"
