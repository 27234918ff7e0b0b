"""What policies cost on a shard of a million tokens, beside the selection itself.

    python -m benchmarks.apply_policies

Random scores of a synthetic corpus, 0.6 of the dataset kept. Prints processor seconds per million
tokens of the selection (threshold and weights), of each policy alone, and of all together, and how
often the selection's that is. Fails if all together take more than 3 s.
"""

import resource
from collections.abc import Callable
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from benchmarks.select_tokens import RULE
from tokensieve.chat import Encoder
from tokensieve.corpus import Shard
from tokensieve.noise.corpus import make_records
from tokensieve.noise.demo import build_tokenizer
from tokensieve.noise.encoding import encode_records
from tokensieve.policies import overridden
from tokensieve.policies.protections import Guard
from tokensieve.ranking import ScoredShard
from tokensieve.selection import Decision, select_shard
from tokensieve.settings import PolicySettings
from tokensieve.templates import load_template
from tokensieve.thresholds import find_thresholds

NUM_RECORDS = 24_000
MAX_SECONDS = 3.0
KINDS = ("eos", "tool_calls", "code_fences", "numbers")
OTHERS = {"protect_pattern": r"= *[0-9]+", "min_kept_tokens": 8, "smooth_spans": 2}
EACH = [{"protect": (kind,)} for kind in KINDS] + [{name: OTHERS[name]} for name in OTHERS]
ALL = {"protect": KINDS, **OTHERS}


def main() -> None:
    shard, tokenizer = corpus()
    millions = len(shard.input_ids_T) / 1e6
    print(f"{millions:.2f} million tokens, {shard.response_T.mean():.0%} of responses")

    decision, selecting = timed(selected, shard)
    print(f"{'selection':<36}{selecting / millions:>6.2f} s per million tokens")
    for policies in (*EACH, ALL):
        settings = PolicySettings(**policies)
        guard = Guard(tokenizer, settings)
        found, seconds = timed(applied, decision, shard, settings, guard)
        num_changed = np.count_nonzero(found.weight_T != decision.weight_T)
        name = "all" if policies is ALL else str(policies).strip("{}")
        print(
            f"{name:<36}{seconds / millions:>6.2f} s per million tokens, "
            f"{seconds / selecting:.1f} of the selection's; {num_changed:,} tokens changed"
        )
    assert seconds / millions <= MAX_SECONDS


def corpus() -> tuple[Shard, PreTrainedTokenizerFast]:
    records = make_records(NUM_RECORDS, seed=0)
    tokenizer = build_tokenizer(records[:1000])
    encoder = Encoder(tokenizer, load_template("model", tokenizer), max_length=256)
    return encode_records(records, encoder), tokenizer


def selected(shard: Shard) -> Decision:
    """Return a selection by random scores: its threshold, and the weights."""
    score_T = np.random.default_rng(0).standard_normal(len(shard.input_ids_T))
    score_T[~shard.scorable_T] = np.nan
    scored = ScoredShard(score_T, shard.offsets_N1, shard.sources)
    thresholds = find_thresholds(lambda _: scored, 1, RULE)
    return Decision(score_T, select_shard(scored, 0, RULE, thresholds))


def applied(decision: Decision, shard: Shard, settings: PolicySettings, guard: Guard) -> Decision:
    return overridden(decision, shard.offsets_N1, RULE, settings, guard.guards(shard, 0))


def timed(work: Callable[..., Decision], *given: Any) -> tuple[Decision, float]:
    """Return the result and the seconds of processor time, those of child processes included."""
    start = processor_seconds()
    result = work(*given)
    return result, processor_seconds() - start


def processor_seconds() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
