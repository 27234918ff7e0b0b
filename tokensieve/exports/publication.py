"""One selection in one format: a directory that is complete, or not there at all.

    <output>/<format>-<id>/card.md, card.json    what it is, and the hash of every file of data
                          /train.py, …           what the trainer has to be told
                          /data/…                the samples, as the format has them

The id is a hash of everything that the bytes depend on, so the same export is found again, and no
trainer's cache takes one for another. It is built aside, with one shard in memory at a time, and
then renamed.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokensieve.artifact import Artifact
from tokensieve.documents import content_id
from tokensieve.errors import InputError, ResourceError, SettingsError
from tokensieve.exports.card import CARD_VERSION, card_of
from tokensieve.exports.card_text import card_text
from tokensieve.exports.format import Base, Destination, Format
from tokensieve.exports.origin import Origin
from tokensieve.exports.rows import read_rows
from tokensieve.exports.standing import CARD, check_hashes, file_records, put_right, standing_card
from tokensieve.exports.tally import Tally
from tokensieve.storage.disk import NO_ROOM, sync
from tokensieve.storage.scratch import scratch_directory

CARD_PAGE = "card.md"


@dataclass(frozen=True)
class Export:
    """A selection on its way to a trainer."""

    selection: Artifact
    format: Format
    output: Path
    """The directory, absolute, in which the export's own directory lies."""
    base: Base | None

    @cached_property
    def id(self) -> str:
        """Return the hash of all that decides the bytes."""
        base = self.base and [str(self.base.path), self.base.companions]
        wanted = {"selection": self.selection.id, "format": self.format.name, "base": base}
        return content_id(wanted | {"version": self.format.version, "card": CARD_VERSION})

    @property
    def place(self) -> Path:
        """Return the export's directory."""
        return self.output / f"{self.format.name}-{self.id}"

    def found(self) -> dict[str, Any] | None:
        """Return the card of the finished export, or None if there is none.

        Raises DamagedError if a file of the data is missing or of another size.
        """
        with self._writing():
            stands = self.place.exists()
        return standing_card(self.place) if stands else None

    def put_right(self, card: Mapping[str, Any]) -> list[str]:
        """Write anew what a found export lacks beside its data, and what in it names another place,
        and return the names of those files. Raises ResourceError if that cannot be written.
        """
        with self._writing():
            return put_right(self.place, self._texts(card))

    def uploads(self, card: Mapping[str, Any], hub_name: str) -> dict[str, Path | bytes]:
        """Return what a dataset of the hub is made of, by name: the files of the data as they are,
        and the rest with nothing in it of this machine.
        """
        data = {file["path"]: self.place / file["path"] for file in card["files"]}
        texts = {name: text.encode() for name, text in self._texts(card, hub_name).items()}
        return data | texts | {"README.md": texts[CARD_PAGE]}

    def check_hashes(self, card: Mapping[str, Any]) -> None:
        """Raise DamagedError if the data is not what the card of the finished export says."""
        check_hashes(self.place, card)

    def made(self) -> dict[str, Any]:
        """Make the export and return its card; if another was first, the one of that.

        Raises SettingsError if the format cannot hold the selection, InputError if nothing is
        trained on, ResourceError if it cannot be written, and what reading the selection raises.
        """
        self.check()
        with self._writing():
            self.output.mkdir(parents=True, exist_ok=True)
            with scratch_directory(self.output) as directory:
                card = self._build(directory)
                if not self._named(directory):
                    return self.found() or card
        return card

    def check(self) -> None:
        """Raise SettingsError if the format cannot hold what the selection means, or if there can
        be no directory where it is wanted.
        """
        method = self._origin.method
        if method.each_step:
            raise SettingsError(
                f"selection {self.selection.id}: the method {method.name} chooses at each step of "
                "a training, by what the model then says. What is stored are its candidates, and a "
                "trainer would train on all of them. Use `tokensieve train`, or another method."
            )
        if self.format.needs_base and self.base is None:
            raise SettingsError(
                f"--base: is missing; the format {self.format.name} is made with the tokenizer of "
                "the model that is going to be trained."
            )
        self._check_output()

    def _check_output(self) -> None:
        with self._writing():
            over = [each for each in (self.output, *self.output.parents) if each.exists()]
        if not over[0].is_dir():
            raise SettingsError(
                f"--output: {over[0]} is a file, and an export is a directory in a directory. Give "
                "another --output, or move the file away."
            )

    def _build(self, directory: Path) -> dict[str, Any]:
        origin, to = self._origin, self._destination()
        tally = Tally(origin.special_tokens())
        receipts = self.selection.required_commit().receipts
        shards = read_rows(self.selection, origin.corpus, receipts)
        written = self.format.write(tally.chosen(shards, self.format), directory, to)
        tally.check(written)
        if not written["samples"]:
            raise InputError(
                f"selection {self.selection.id}: no sample is left to train on in the format "
                f'{self.format.name}. Look at it: tokensieve sql "from source_stats".'
            )
        files = file_records(directory)
        card = card_of(self.id, self.format, to, origin, (tally, written), files)
        self._describe(directory, card)
        return card

    @cached_property
    def _origin(self) -> Origin:
        return Origin(self.selection)

    def _destination(self, hub_name: str | None = None) -> Destination:
        origin = self._origin
        return Destination(
            place=self.place,
            num_shards=self.selection.num_shards,
            max_length=int(origin.whole.plan["max_length"]),
            vocabulary_size=origin.vocabulary_size,
            base=self.base,
            hub_name=hub_name,
        )

    def _describe(self, directory: Path, card: Mapping[str, Any]) -> None:
        for name, text in self._texts(card).items():
            (directory / name).write_text(text, encoding="utf-8", newline="\n")

    def _texts(self, card: Mapping[str, Any], hub_name: str | None = None) -> dict[str, str]:
        """Return all that lies beside the data, by name: what to tell the trainer, and the card."""
        told = {CARD: json.dumps(card, indent=2) + "\n", CARD_PAGE: card_text(card)}
        return self.format.recipe(self._destination(hub_name)) | told

    def _named(self, directory: Path) -> bool:
        """Give the directory its name, durably; return whether the name was free."""
        for path in sorted(directory.rglob("*")):
            sync(path)
        sync(directory)
        try:
            directory.rename(self.place)
        except OSError:
            if not self.place.exists():
                raise
            return False
        sync(self.output)
        return True

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn an OSError meanwhile into a ResourceError that says what to do."""
        try:
            yield
        except OSError as error:
            advice = "Give another --output, or see that you may write there"
            if error.errno in NO_ROOM:
                advice = "Free some space"
            raise ResourceError(
                f"{self.place}: could not be written: {error.strerror or error}. {advice}, and run "
                "the same command again; nothing half written is left."
            ) from error
