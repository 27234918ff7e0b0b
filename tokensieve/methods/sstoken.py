"""ssToken: what the model has learned since it began, together with how much the prompt matters.

As published it needs no reference: the history is the base and the current model is the one in
training. `sstoken-online` is that; `sstoken` is the same once, with the reference for the current
model. In both a sample's prompt is every token before that belongs to no answer, so samples of
several turns are as good as others. The released code attends to the prompt only in the first
10,000 samples of each epoch, which the paper does not mention; not so here. But a sample whose
gains are all alike is left to attention, because any spread, that of rounding too, would be drawn
out to the whole range: at the first step current model and history are one.
"""

from functools import partial

from pydantic import Field

from tokensieve.corpus import Float64s
from tokensieve.methods.influence import loss_difference
from tokensieve.methods.method import CURRENT, Evidence, Method, Parameters, candidates
from tokensieve.methods.within_samples import min_max

_SOURCE = "ssToken, Qin et al., ICLR 2026, arXiv 2510.18250, equations 3 to 10"
_LEAST_SPREAD = 0.25
"""Gains of a sample that differ by less, in nats, are alike. Losses of one model in bfloat16 and in
float32 were up to 0.2 nats apart, 0.13 for a trained one; of other passes in bfloat16 up to 0.07,
in float32 0.000004."""


class SstokenParameters(Parameters):
    """What the number of a token is made of."""

    gamma: float = Field(default=0.5, ge=0, le=1)
    """Weight of the loss; that of the attention to the prompt is 1 - gamma."""
    first_position: bool = True
    """Count the attention to the sample's first token, which takes up what is idle, as published.
    If not, it is left out, and the rest stays as it is."""

    @property
    def attention(self) -> str:
        """Return the column of the attention to the prompt."""
        return "prompt_attention" if self.first_position else "prompt_attention_but_first"


def relative_gain(parameters: SstokenParameters, current: str, evidence: Evidence) -> Float64s:
    """Return gamma x gain + (1 - gamma) x attention to the prompt of each token: 0 to 1.

    The gain is base nll - current nll, moved to 0 to 1 within the sample (equations 3, 8 and 9):
    high where the model has improved most on where it began. 0 for all where a sample's gains
    differ by less than 0.25 nats.
    """
    shard = evidence.shard
    gain_T = loss_difference(evidence, "base", current)
    gain_T[~candidates(evidence)] = float("nan")
    gain_T = min_max(gain_T, shard.offsets_N1, _LEAST_SPREAD)
    attention_T = evidence.column(current, parameters.attention)
    return parameters.gamma * gain_T + (1 - parameters.gamma) * attention_T


def sstoken(parameters: SstokenParameters) -> Method:
    """Return the method that compares the reference with the base, once."""
    return Method(
        name="sstoken",
        source=f"{_SOURCE}; once, with the reference as the current model",
        summary="keeps the share of each sample's tokens that the reference improved and that "
        "look to the prompt",
        judge=partial(relative_gain, parameters, "reference"),
        columns={"base": ("nll",), "reference": ("nll", parameters.attention)},
        direction="high",
        default_scope="sample",
        rounding="ceil",
        parameters=parameters,
        configured=sstoken,
    )


def sstoken_online(parameters: SstokenParameters) -> Method:
    """Return the method as published: it compares the model in training with the base."""
    return Method(
        name="sstoken-online",
        source=_SOURCE,
        summary="keeps, at every step, the share of each sample's tokens that the model in "
        "training improved and that look to the prompt",
        judge=partial(relative_gain, parameters, CURRENT),
        columns={"base": ("nll",), CURRENT: ("nll", parameters.attention)},
        direction="high",
        default_scope="sample",
        rounding="ceil",
        parameters=parameters,
        configured=sstoken_online,
    )


SSTOKEN = sstoken(SstokenParameters())
SSTOKEN_ONLINE = sstoken_online(SstokenParameters())
