"""One sample of one round with everything that is said of its tokens.

Shapes: T = tokens of the sample, prompt and template included.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tokensieve.corpus import Bools, Float32s, Int16s, Int32s

Outcome = Literal["prompt", "kept", "dropped", "unlearned", "unscorable"]


@dataclass(frozen=True)
class TokenMap:
    """What was decided on each token of a sample, and what it was decided by."""

    run: str
    round: int
    sample_id: str
    source: str
    texts: tuple[str, ...]
    """Of each token, as it may be shown; see `visible_token`. Joined they are the sample's text."""
    token_ids_T: Int32s
    response_T: Bools
    turn_T: Int16s
    weight_T: Float32s
    """Of the selection: above 0 kept, below 0 unlearned; NaN outside the response."""
    columns: Mapping[str, Float32s]
    """Every number that models, method or policies gave, NaN where there is none: nll and entropy
    in nats, influence in nats and positive where the reference improved, score, ..."""
    words: Mapping[str, tuple[str | None, ...]]
    """Every word that was said: reason, policy, ..."""
    decided_T: Float32s | None = None
    """What the round's training decided last, if its method acts at each step; else NaN or None."""

    @property
    def final_weight_T(self) -> Float32s:
        """Return what each token weighed in the end; NaN outside the response."""
        if self.decided_T is None:
            return self.weight_T
        return np.where(np.isnan(self.decided_T), self.weight_T, self.decided_T)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Return what became of each token. Unscorable: a response token without a score."""
        no_score_T = np.isnan(self.columns["score"]) & (self.weight_T == 0)
        places_T = np.select(
            [~self.response_T, no_score_T, self.final_weight_T > 0, self.final_weight_T < 0],
            [0, 1, 2, 3],
            default=4,
        )
        names: tuple[Outcome, ...] = ("prompt", "unscorable", "kept", "unlearned", "dropped")
        return tuple(names[place] for place in places_T)
