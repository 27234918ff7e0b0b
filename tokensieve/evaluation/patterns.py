"""The regular expression that finds the answer in a response."""

import re

from tokensieve.errors import SettingsError, shortened
from tokensieve.patterns import TRIAL_CHARACTERS, check_speed, compiled
from tokensieve.settings import EvaluationSettings

MAX_CHARACTERS = TRIAL_CHARACTERS
"""Only so much of the end of a text is searched, so that a search takes a bounded time."""

_SETTING = "evaluation.answer_pattern"


def compiled_pattern(settings: EvaluationSettings) -> re.Pattern[str] | None:
    """Return the answer pattern, or None if nothing is to be generated.

    Raises SettingsError if it is not a regular expression.
    """
    if settings.answer_pattern is None:
        return None
    try:
        return compiled(settings.answer_pattern)
    except ValueError as error:
        raise SettingsError(f"{_SETTING}: {shortened(settings.answer_pattern)} {error}") from None


def check_pattern(settings: EvaluationSettings) -> None:
    """Return if the pattern can be searched for in a bounded time; else raise SettingsError.

    For planning, before a model is loaded.
    """
    pattern = compiled_pattern(settings)
    if pattern is not None:
        check_speed(pattern.pattern, _SETTING)


def found_answer(pattern: re.Pattern[str], text: str) -> str | None:
    """Return the pattern's last match that is not blank, or None.

    Of a pattern with groups it is the first group. White space around it is removed and nothing
    else: `1,000` and `1000` are two answers, unless the pattern leaves the comma out.
    """
    matches = (match[1] if pattern.groups else match[0] for match in pattern.finditer(text))
    answers = [match.strip() for match in matches if match]
    return next((answer for answer in reversed(answers) if answer), None)
