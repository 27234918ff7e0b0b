"""Where the contents of messages stand in a text that a foreign template wrote.

To search for them would find the wrong place: the content `user` stands in a header too, and the
content `</s>` looks like the template's own end of a turn. So the conversation is written a second
time with a mark in place of each content. What lies between the marks is the template's own.
"""

import re
from collections import Counter
from collections.abc import Sequence

from tokensieve.templates.rendered import NOWHERE, Span

_MARK = re.compile("\ue000([0-9]+)\ue001")  # private characters: no template writes them itself


def marked(contents: Sequence[str]) -> list[str]:
    """Return a mark for each content; a blank one stays, as a template may leave out its turn."""
    return [f"\ue000{n}\ue001" if each.strip() else each for n, each in enumerate(contents)]


def located(text: str, contents: Sequence[str], marked_text: str) -> tuple[Span, ...]:
    """Return where each content stands in `text`, stripped or not, or NOWHERE.

    All are NOWHERE unless the whole text is what `marked_text` says: a template may rewrite what is
    in a content, or write more depending on it. One that stands in two places is NOWHERE.
    """
    pieces = _MARK.split(marked_text)
    own, order = pieces[::2], [int(number) for number in pieces[1::2]]
    spans, position = [NOWHERE] * len(contents), len(own[0])
    fits = text.startswith(own[0])
    for n, after in zip(order, own[1:], strict=True):
        form = _form(text, position, contents[n], after) if fits else None
        if form is None:
            return (NOWHERE,) * len(contents)
        spans[n] = (position, position + len(form))
        position += len(form) + len(after)
    if not fits or position != len(text):
        return (NOWHERE,) * len(contents)
    times = Counter(order)
    return tuple(span if times[n] == 1 else NOWHERE for n, span in enumerate(spans))


def _form(text: str, position: int, content: str, after: str) -> str | None:
    """Return as what the content stands at the position, before the text `after`."""
    forms = (content, content.strip(), content.lstrip(), content.rstrip())
    return next((each for each in forms if text.startswith(each + after, position)), None)
