"""A method's decision, as the policies override it: spans are smoothed, then what is protected is
kept, then samples that keep too little are filled.

So a protected token never ends dropped, no smoothing undoes a minimum, and protected tokens count
towards it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from tokensieve.corpus import Float32s, Int8s, Int64s
from tokensieve.policies.changes import filled, guarded, smoothed
from tokensieve.ranking import Rule
from tokensieve.selection import POLICY, Decision, Words
from tokensieve.settings import PolicySettings


def policy_names(settings: PolicySettings) -> tuple[str, ...]:
    """Return the policies that are set, in the order in which they are applied."""
    before = ("smooth_spans",) if settings.smooth_spans is not None else ()
    after = ("min_kept_tokens",) if settings.min_kept_tokens is not None else ()
    return (*before, *settings.protections, *after)


def overridden(
    decision: Decision, offsets_N1: Int64s, rule: Rule, settings: PolicySettings, guard_T: Int8s
) -> Decision:
    """Return the decision as the policies leave it, and which of them changed each token last.

    `guard_T`: which of `settings.protections` each token has, -1: none. A token that weighs in the
    end what the method said was overridden by none; of the others the method's reason is dropped.
    """
    names = policy_names(settings)
    weight_T = decision.weight_T
    policy_T = np.full(len(weight_T), -1, dtype=np.int8)
    for code_T, change in _changes(decision, offsets_N1, rule, settings, guard_T):
        changed_T = change(weight_T)
        policy_T = np.where(changed_T != weight_T, code_T, policy_T).astype(np.int8)
        weight_T = changed_T
    policy_T[weight_T == decision.weight_T] = -1
    reason_T = decision.reason_T
    if reason_T is not None:
        reason_T = np.where(policy_T < 0, reason_T, -1)
    words = {**decision.words, POLICY: Words(policy_T, names)}
    return replace(decision, weight_T=weight_T, reason_T=reason_T, words=words)


def _changes(
    decision: Decision, offsets_N1: Int64s, rule: Rule, settings: PolicySettings, guard_T: Int8s
) -> Iterator[tuple[int | Int8s, Callable[[Float32s], Float32s]]]:
    """Yield the policies that are set, in order: their codes among the names, and what they do."""
    names = policy_names(settings)
    candidate_T = ~np.isnan(decision.score_T)
    of_tokens = {"candidate_T": candidate_T, "offsets_N1": offsets_N1}
    if settings.smooth_spans is not None:
        yield 0, partial(smoothed, **of_tokens, span=settings.smooth_spans)
    if settings.protections:
        first = np.int8(names.index(settings.protections[0]))
        yield first + guard_T, partial(guarded, candidate_T=candidate_T, guard_T=guard_T)
    if settings.min_kept_tokens is not None:
        key_T = rule.keys(decision.score_T)
        yield (
            len(names) - 1,
            partial(filled, **of_tokens, key_T=key_T, least=settings.min_kept_tokens),
        )
