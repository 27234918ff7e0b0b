"""The regular expression that finds the answer in a response."""

import json
import re
import subprocess
import sys

from tokensieve.errors import SettingsError, shortened
from tokensieve.settings import EvaluationSettings

MAX_CHARACTERS = 8192
"""Only so much of the end of a text is searched, so that a search takes a bounded time."""

_TRIAL_SECONDS = 20
_TRIAL = """\
import json, re, sys
pattern, texts = json.load(sys.stdin)
for text in texts:
    for match in re.finditer(pattern, text):
        pass
"""


def compiled_pattern(settings: EvaluationSettings) -> re.Pattern[str] | None:
    """Return the answer pattern, or None if nothing is to be generated.

    Raises SettingsError if it is not a regular expression.
    """
    if settings.answer_pattern is None:
        return None
    try:
        return re.compile(settings.answer_pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise SettingsError(
            f"evaluation.answer_pattern: {shortened(settings.answer_pattern)} is not a regular "
            f"expression: {error}. Python's `re` has to accept it."
        ) from None


def check_pattern(settings: EvaluationSettings) -> None:
    """Return if the pattern can be searched for; raise SettingsError if it cannot.

    For planning, before a model is loaded. `re` cannot be interrupted, so another process searches
    texts on which patterns with nested repetitions take longer than anybody will wait: runs of
    each of the pattern's own characters, and the pattern itself, as long as texts can be.
    """
    pattern = compiled_pattern(settings)
    if pattern is None:
        return
    trial = json.dumps([pattern.pattern, _trial_texts(pattern.pattern)])
    command = [sys.executable, "-I", "-c", _TRIAL]
    try:
        subprocess.run(command, input=trial, text=True, check=True, timeout=_TRIAL_SECONDS)
    except subprocess.TimeoutExpired:
        raise SettingsError(
            f"evaluation.answer_pattern: {shortened(pattern.pattern)} takes more than "
            f"{_TRIAL_SECONDS} s to search a few trial texts. Write it without a repetition inside "
            "a repetition, such as (a+)+."
        ) from None


def found_answer(pattern: re.Pattern[str], text: str) -> str | None:
    """Return the pattern's last match that is not blank, or None.

    Of a pattern with groups it is the first group. White space around it is removed and nothing
    else: `1,000` and `1000` are two answers, unless the pattern leaves the comma out.
    """
    matches = (match[1] if pattern.groups else match[0] for match in pattern.finditer(text))
    answers = [match.strip() for match in matches if match]
    return next((answer for answer in reversed(answers) if answer), None)


def _trial_texts(pattern: str) -> list[str]:
    characters = sorted({*pattern, *"aA0 .\n"})
    runs = [character * (MAX_CHARACTERS - 1) + "\0" for character in characters]
    return [*runs, (pattern * MAX_CHARACTERS)[:MAX_CHARACTERS]]
