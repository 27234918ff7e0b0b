"""Where a selection comes from: what its card tells beside the counts."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from tokensieve.artifact import Artifact, load_artifact
from tokensieve.methods import Method, find_method
from tokensieve.runs import Run, all_runs, attempts

_INPUT_KEYS = ("name", "source", "format", "num_bytes", "sha256")
_SCORE_KEYS = ("model", "dtype", "device")
_NO_SETTINGS = {"kind", "code", "num_shards", "corpus", "scores"}


@dataclass(frozen=True)
class Origin:
    """A finished selection and what it was made from."""

    selection: Artifact

    @cached_property
    def corpus(self) -> Artifact:
        """Return the corpus that was selected from."""
        return self._load("corpora", self.selection.plan["corpus"])

    @cached_property
    def whole(self) -> Artifact:
        """Return the corpus that was made of files: the same, or the one that it is a part of."""
        return self._load("corpora", self.corpus.plan.get("of", self.corpus.id))

    @property
    def method(self) -> Method:
        """Return the method that selected."""
        return find_method(self.selection.plan["method"], self.selection.plan["parameters"])

    def special_tokens(self) -> dict[int, str]:
        """Return the text of each token of the vocabulary that is special, by its id."""
        table = self.whole.read_table(self.whole.required_commit().receipts[0], "vocabulary")
        rows = table.filter(table["special"]).to_pylist()
        return {row["token_id"]: row["text"] for row in rows}

    @property
    def vocabulary_size(self) -> int:
        """Return the number of tokens that the tokenizer knows."""
        rows = self.whole.required_commit().receipts[0].files["vocabulary"].num_rows
        assert rows is not None, "the vocabulary is a table"
        return rows

    def described(self) -> dict[str, Any]:
        """Return what a card says of it, as JSON values. Nothing in it depends on today."""
        runs = self._runs()
        plan, corpus = self.selection.plan, self.whole.plan
        return {
            "selection": {
                "id": self.selection.id,
                "made": self._date(runs),
                "runs": [run.name for run in runs],
                "settings": {key: plan[key] for key in plan if key not in _NO_SETTINGS},
                "totals": self.selection.required_commit().totals,
            },
            "corpus": {
                "id": self.corpus.id,
                "template": corpus["template"],
                "tokenizer": corpus["tokenizer"],
                "max_length": corpus["max_length"],
                "inputs": [{key: each[key] for key in _INPUT_KEYS} for each in corpus["inputs"]],
            },
            "models": {role: self._model(id) for role, id in plan["scores"].items()},
        }

    def _model(self, scores: str) -> dict[str, Any]:
        """Return whose scores they are, and how they were made."""
        plan = self._load("scores", scores).plan
        if "of" in plan:
            plan = self._load("scores", plan["of"]).plan
        return {key: plan[key] for key in _SCORE_KEYS if key in plan}

    def _runs(self) -> list[Run]:
        storage, id = self.selection.storage, self.selection.id
        return [
            run
            for run in all_runs(storage)
            if any(id in _selections(each.names()) for each in run.planned_rounds(storage))
            or any(id in arm.selections for arm in run.finished_arms(storage))
        ]

    def _date(self, runs: list[Run]) -> str | None:
        """Return when the first of its runs was begun; None if nothing tells."""
        storage = self.selection.storage
        began = [each.started for run in runs for each in attempts(storage, run.name)]
        if not began:
            return None
        return datetime.fromtimestamp(min(began), UTC).isoformat(timespec="seconds")

    def _load(self, kind: str, id: str) -> Artifact:
        return load_artifact(self.selection.storage, kind, id)


def _selections(names: dict[str, tuple[str, str]]) -> set[str]:
    """Return the ids of the selections among the artifacts of a round."""
    return {id for kind, id in names.values() if kind == "selections"}
