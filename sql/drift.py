"""Read from the index what cleaning found in drops."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sql.published import connect_published
from sql.statements import rows, run
from tokensieve.drift import Figures, influence_bins
from tokensieve.storage import Storage

_QUERIES = (
    "list_drift_tokens",
    "list_drift_samples",
    "list_drift_rows",
    "list_drift_specials",
    "list_drift_errors",
    "list_drift_influence",
)
_COUNTS = (
    "quarantined_rows",
    "samples",
    "empty_samples",
    "response_tokens",
    "kept_tokens",
    "eos_tokens",
    "kept_eos_tokens",
)
_NATS = ("mean_base_nll", "mean_reference_nll", "base_nll_error", "influence_error")
Row = dict[str, Any]


def read_figures(storage: Storage, runs: Sequence[str]) -> dict[str, Figures]:
    """Return the figures of the cleaned drops by run, in the order of `runs`.

    Runs whose round 0 the index does not hold are left out. Raises what `connect_published` raises.
    """
    found: defaultdict[str, defaultdict[str | None, Row]] = defaultdict(lambda: defaultdict(dict))
    with connect_published(storage) as connection:
        for query in _QUERIES:
            for row in rows(run(connection, query, runs=list(runs))):
                found[row.pop("run")][row.pop("source")] |= row
    return {name: _of_drop(found[name]) for name in runs if "response_tokens" in found[name][None]}


def _of_drop(by_source: dict[str | None, Row]) -> Figures:
    names = sorted(name for name in by_source if name is not None)
    return _figures(by_source[None], {name: _figures(by_source[name], {}) for name in names})


def _figures(row: Row, sources: dict[str, Figures]) -> Figures:
    """Return the figures of a drop or a source; queries have no row where they find nothing."""
    counts: Row = {name: row.get(name, 0) for name in _COUNTS}
    nats: Row = {name: _number(row.get(name)) for name in _NATS}
    return Figures(
        rows=row.get("samples", 0) + row.get("rejected_rows", 0),
        truncated_rows=row.get("full_samples", 0) + row.get("answerless_rows", 0),
        influence_B=influence_bins(row.get("lower_nats", []), row.get("tokens", [])),
        sources=sources,
        **counts,
        **nats,
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value
