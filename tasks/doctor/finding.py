"""What a check of the installation found."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "bad"]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    verdict: Verdict
    found: str
    fix: str = ""
    """What to do about it; empty if all is well."""


def ok(found: str) -> Finding:
    """Return that all is well."""
    return Finding("ok", found)


def warn(found: str, fix: str) -> Finding:
    """Return that runs will work, but not as well or as safely as they could."""
    return Finding("warn", found, fix)


def bad(found: str, fix: str) -> Finding:
    """Return that runs will fail."""
    return Finding("bad", found, fix)
