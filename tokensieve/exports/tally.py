"""What is counted while a selection is exported."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tokensieve.exports.format import Format
from tokensieve.exports.rows import Rows, row_counts


@dataclass
class Tally:
    """Counts of all samples that were read, those without anything to train on included."""

    specials: Mapping[int, str]
    """Texts of the special tokens by id."""
    counts: Counter[str] = field(default_factory=Counter)
    responses: Counter[int] = field(default_factory=Counter)
    """How often each special token stands in responses."""
    trained: Counter[int] = field(default_factory=Counter)
    """How often it is trained on there."""

    def chosen(self, shards: Iterable[Rows], format: Format) -> Iterator[Rows]:
        """Yield what the format takes of each shard, and count what goes by."""
        for rows in shards:
            self._add(rows)
            chosen = format.choose(rows)
            self.counts["masked_samples"] += rows.num_rows - chosen.num_rows
            yield chosen

    def special_rows(self) -> list[dict[str, Any]]:
        """Return the special tokens of the responses, the most frequent first."""
        return [
            {
                "token_id": id,
                "text": self.specials[id],
                "response_tokens": count,
                "trained_tokens": self.trained[id],
            }
            for id, count in self.responses.most_common()
        ]

    def _add(self, rows: Rows) -> None:
        self.counts.update(row_counts(rows))
        ids_T, response_T = rows.shard.input_ids_T, rows.shard.response_T
        special_T = response_T & np.isin(ids_T, list(self.specials))
        self.responses.update(ids_T[special_T].tolist())
        self.trained.update(ids_T[special_T & rows.trained_T].tolist())

    def check(self, written: Mapping[str, int]) -> None:
        """Raise AssertionError unless what was written is all there was to write."""
        samples = written["samples"] + written.get("skipped_samples", 0)
        assert samples + self.counts["masked_samples"] == self.counts["samples"], written
        tokens = written["trained_tokens"] - written.get("widened_tokens", 0)
        tokens += written.get("skipped_tokens", 0)
        assert tokens == self.counts["trained_tokens"], (written, self.counts)
