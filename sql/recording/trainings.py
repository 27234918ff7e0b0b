"""Record how a model was trained: what it was made of, and every optimizer step."""

import json

import duckdb
import pyarrow as pa

from sql.recording.artifacts import Committed, cost_of, insert
from sql.statements import run_given
from tokensieve.errors import DamagedError
from tokensieve.timings import step_seconds, timings

_MADE_OF = ("corpus", "selection", "init", "precision", "device")
_COUNTED = (
    "samples",
    "trained_samples",
    "kept_tokens",
    "steps",
    "skipped_steps",
    "tokens",
    "scored_tokens",
)


def record_training(connection: duckdb.DuckDBPyConnection, model: Committed) -> None:
    """Add a training to the index, unless another document did.

    Raises DamagedError if its steps are not those that its COMMIT counts.
    """
    plan, totals = model.artifact.plan, model.commit.totals
    row = {
        "model": model.artifact.id,
        "fingerprint": model.commit.notes["fingerprint"],
        **{key: plan[key] for key in _MADE_OF},
        "settings": json.dumps(plan["training"], sort_keys=True),
        **{key: totals[key] for key in _COUNTED},
        "candidate_tokens": totals.get("candidate_tokens"),
        "seconds": cost_of([model.artifact])["seconds"],
    }
    insert(connection, "record_training", [row])
    steps = _steps(model)
    run_given(connection, "record_training_steps", steps, model=model.artifact.id)


def _steps(model: Committed) -> pa.Table:
    """Return the table of steps with the seconds of each."""
    [receipt] = model.commit.receipts
    table = model.artifact.read_table(receipt, "steps")
    numbers = table["step"].to_pylist()
    found = (numbers, table["loss"].null_count, sum(table["tokens"].to_pylist()))
    totals = model.commit.totals
    wanted = (list(range(1, totals["steps"] + 1)), totals["skipped_steps"], totals["tokens"])
    if found != wanted:
        raise DamagedError(
            f"{model.artifact.storage.place(receipt.files['steps'].key)}: its steps are not those "
            f"that COMMIT.json counts: {len(numbers)}, {found[1]} skipped, {found[2]} tokens, not "
            f"{totals['steps']}, {wanted[1]} and {wanted[2]}. Delete the model's directory and run "
            "the same command again."
        )
    seconds = step_seconds(timings(model.artifact), totals["steps"])
    return table.append_column("seconds", pa.array(seconds, pa.float64()))
