"""Regular expressions that users give: compiled, tried out, and searched for under a time limit.

Python's `re` cannot be interrupted, and a pattern with nested repetitions can take longer than
anybody will wait. So another process searches, which can be ended.
"""

import json
import math
import re
import subprocess
import sys
from collections.abc import Sequence

from tokensieve.errors import SettingsError, shortened

TRIAL_CHARACTERS = 8192
"""Length of the texts on which a pattern is tried out."""

_TRIAL_SECONDS = 20
_SEARCH = """\
import json, re, resource, sys
pattern, texts, seconds = json.load(sys.stdin)
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
found = []
for text in texts:
    spans = []
    for start, end in (match.span() for match in re.finditer(pattern, text)):
        if spans and start == spans[-1][1]:
            spans[-1][1] = end
        elif start < end:
            spans.append([start, end])
    found.append(spans)
json.dump(found, sys.stdout)
"""
"""It ends by itself if whoever waits for it was killed."""
Spans = list[list[tuple[int, int]]]
"""Start and end of what matches in each of several texts, in characters."""


def compiled(pattern: str) -> re.Pattern[str]:
    """Return the pattern as `re` reads it; raise ValueError if it is not a regular expression."""
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(
            f"is not a regular expression: {error}. Python's `re` has to accept it."
        ) from None


def check_speed(pattern: str, setting: str) -> None:
    """Raise SettingsError, naming the setting, if the pattern takes too long on trial texts.

    For planning. The texts are those on which patterns with nested repetitions take longest: runs
    of each of the pattern's own characters, and the pattern itself.
    """
    find_spans(pattern, setting, _trial_texts(pattern), "a few trial texts", _TRIAL_SECONDS)


def find_spans(
    pattern: str, setting: str, texts: Sequence[str], called: str, seconds: float
) -> Spans:
    """Return what matches; matches that touch are one, and empty ones none.

    Raises SettingsError, naming the setting and what the texts are called, if it takes longer.
    """
    command = [sys.executable, "-I", "-c", _SEARCH]
    given = json.dumps([pattern, list(texts), math.ceil(seconds) + 1])
    try:
        done = subprocess.run(
            command, input=given, stdout=subprocess.PIPE, text=True, check=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise SettingsError(
            f"{setting}: {shortened(pattern)} takes more than {seconds} s to search {called}. "
            "Write it without a repetition inside a repetition, such as (a+)+."
        ) from None
    found: Spans = json.loads(done.stdout)
    return found


def _trial_texts(pattern: str) -> list[str]:
    characters = sorted({*pattern, *"aA0 .\n"})
    runs = [character * (TRIAL_CHARACTERS - 1) + "\0" for character in characters]
    return [*runs, (pattern * TRIAL_CHARACTERS)[:TRIAL_CHARACTERS]]
