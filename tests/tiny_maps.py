"""Maps of few tokens, written out by hand."""

from collections.abc import Mapping, Sequence

import numpy as np

from tokensieve.token_maps import TokenMap, visible_token

NAN = float("nan")
HOSTILE = (
    "<script>document.title='taken'</script>",
    '" onmouseover="document.title=1',
    "</script><img src=x onerror=document.title='taken'>",
    "\u202e\u2066evil\u200b",
    "\x1b[31m\x00\x07\x9b",
    "a" + "\u0301" * 10_000,
    "{{ 7 * 7 }}&amp;<!--",
)
"""What a token, an id or a source may be."""


def map_of(
    texts: Sequence[str],
    weights: Sequence[float],
    columns: Mapping[str, Sequence[float]] | None = None,
    words: Mapping[str, Sequence[str | None]] | None = None,
    **more: object,
) -> TokenMap:
    """Return a map whose prompt is the tokens with no weight; every response token has a score
    that is its weight unless the columns say otherwise.
    """
    weight_T = np.array(weights, dtype=np.float32)
    named = {"run": "rho-1", "round": 0, "sample_id": "s-1", "source": "wiki"}
    numbers = {"score": weights, **(columns or {})}
    return TokenMap(
        **{
            **named,
            "texts": tuple(map(visible_token, texts)),
            "token_ids_T": np.arange(10, 10 + len(texts), dtype=np.int32),
            "response_T": ~np.isnan(weight_T),
            "turn_T": np.zeros(len(texts), dtype=np.int16),
            "weight_T": weight_T,
            "columns": {name: np.array(each, dtype=np.float32) for name, each in numbers.items()},
            "words": {name: tuple(each) for name, each in (words or {}).items()},
            **more,
        }
    )


TEXTS = ("Why", "?\n", "The", " sum", " is", " 7", ".\n", "End")
EVERY_KIND = map_of(
    TEXTS,
    [NAN, NAN, 1.0, 0.0, 0.0, -0.5, 1.0, 0.0],
    {
        "influence": [NAN, NAN, 2.0, -1.0, 0.12345678, NAN, 4.0, NAN],
        "base_nll": [NAN, NAN, 3.0, 1.0, 2.0, NAN, 4.5, NAN],
        "score": [NAN, NAN, 2.0, -1.0, 0.125, -3.0, 4.0, NAN],
    },
    {"reason": [None, None, None, "too plain", None, "noise", None, None]},
)
"""Prompt, prompt, kept, dropped, dropped, unlearned, kept, unscorable."""
OTHER = map_of(TEXTS, [NAN, NAN, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], run="sieve-2", round=3)
"""The same tokens: of those that EVERY_KIND keeps one, and one that it does not."""
