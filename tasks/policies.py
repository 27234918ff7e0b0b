"""Say what policies changed about what a method kept."""

from collections.abc import Sequence
from typing import Any


def told_policies(changes: Sequence[dict[str, Any]]) -> str:
    """Return the rows of list_policies for one round as a sentence; without rows, that too."""
    if not changes:
        return "changed nothing about what the method kept"
    told = "; ".join(f"{row['policy']} {_done(row)}" for row in changes)
    now, before = changes[0]["kept_share"], changes[0]["kept_by_method"]
    return f"against the method {told}: kept are {100 * now:.1f} %, not {100 * before:.1f} %"


def _done(row: dict[str, Any]) -> str:
    """Return how many tokens a policy kept and dropped; what it did to none is left out."""
    counts = {verb: row[f"{verb}_tokens"] for verb in ("kept", "dropped")}
    return " and ".join(f"{verb} {num:,}" for verb, num in counts.items() if num)
