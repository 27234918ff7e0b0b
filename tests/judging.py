"""Small evidence, written out by hand, and what a method decides on it through its Selector."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tokensieve.corpus import Shard
from tokensieve.methods import Evidence, Method, Selector, Source, find_method
from tokensieve.selection import Decision
from tokensieve.settings import SelectionSettings

X = -100
"""The label of a token that belongs to no answer."""
NAN = float("nan")
PLAIN_ID = 7

Rows = Sequence[Sequence[float]]


def shard_of(labels: Sequence[Sequence[int]], turns: Rows | None = None, first: int = 0) -> Shard:
    """Return samples whose answers are the tokens with a label; `first`: number of the first."""
    lengths = [len(row) for row in labels]
    flat = np.array([token for row in labels for token in row], dtype=np.int32)
    turn_T = np.zeros(len(flat)) if turns is None else [turn for row in turns for turn in row]
    return Shard(
        sample_ids=[f"s{first + n}" for n in range(len(labels))],
        sources=["a"] * len(labels),
        offsets_N1=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        input_ids_T=np.where(flat == X, PLAIN_ID, flat).astype(np.int32),
        response_T=flat != X,
        turn_T=np.asarray(turn_T, dtype=np.int16),
    )


def scores_of(**roles: Mapping[str, Rows]) -> dict[str, dict[str, Any]]:
    """Return columns of scores by role, each from one row for each sample."""
    return {
        role: {
            name: np.array([value for row in rows for value in row], dtype=np.float32)
            for name, rows in columns.items()
        }
        for role, columns in roles.items()
    }


def selector_of(
    method: Method, evidence: Sequence[Evidence], embeddings: Any = None, **settings: Any
) -> Selector:
    chosen = SelectionSettings(method=method.name, **settings)
    reader = (lambda: embeddings) if embeddings is not None else None
    return Selector.of(method, chosen, Source(lambda n: evidence[n], len(evidence), reader))


def decided(
    name: str,
    evidence: Evidence,
    parameters: Mapping[str, Any] | None = None,
    embeddings: Any = None,
    **settings: Any,
) -> Decision:
    """Return what the method decides on the only shard of a corpus."""
    method = find_method(name, parameters)
    return selector_of(method, [evidence], embeddings, **settings).decide(evidence)


def kept(decision: Decision) -> list[int]:
    """Return the places of the tokens with a weight above 0."""
    return np.flatnonzero(decision.weight_T > 0).tolist()


def reasons(decision: Decision) -> list[str | None]:
    """Return the name of what speaks against each token."""
    assert decision.reason_T is not None
    return [decision.reasons[code] if code >= 0 else None for code in decision.reason_T]
