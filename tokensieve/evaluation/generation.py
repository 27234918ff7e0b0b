"""Greedy generation: the most likely next token again and again, in batches padded on the left.

Shapes: Q = prompts, B = prompts of a batch, L = its width in tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedModel

from tokensieve.corpus import Int32s, Int64s
from tokensieve.errors import ResourceError
from tokensieve.forward import padded
from tokensieve.scoring import plan_batches

_BATCH_TOKENS = {"cpu": 8192, "cuda": 65536}  # in the cache of keys and values, padding included


@dataclass(frozen=True)
class Continuation:
    """What a model wrote after a prompt."""

    token_ids: list[int]
    """Its tokens, without the one that ends it."""
    finished: bool
    """Whether it came to an end, or was cut at the limit."""


@torch.inference_mode()
def continuations(
    model: PreTrainedModel,
    prompts: Sequence[Int32s],
    max_new_tokens: int,
    ends: frozenset[int],
    on_batch: Callable[[int], None],
) -> list[Continuation]:
    """Return what the model writes after each prompt, until one of the tokens `ends`.

    A prompt and its continuation never exceed the model's context: what fills it gets no answer.
    `on_batch` is told the prompts that are done; its calls add up to Q. A batch that does not fit
    the memory is halved, down to one prompt (ResourceError).
    """
    lengths_Q = np.array([len(prompt) for prompt in prompts], dtype=np.int64)
    limits_Q = np.clip(_context(model) - lengths_Q, 0, max_new_tokens)
    written = [Continuation([], finished=False)] * len(prompts)
    with greedy(model, ends):
        for batch, limit in _plan(lengths_Q, limits_Q, _BATCH_TOKENS[model.device.type]):
            for part in _generated(model, prompts, batch, limit):
                for prompt, token_ids in part.items():
                    written[prompt] = _ended(token_ids, ends)
            on_batch(len(batch))
    on_batch(int((limits_Q == 0).sum()))
    return written


@contextmanager
def greedy(model: PreTrainedModel, ends: frozenset[int]) -> Iterator[None]:
    """Let the model generate greedily, whatever sampling or penalties its directory asks for."""
    own = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=sorted(ends) or None,
        pad_token_id=min(ends, default=0),  # only ever after an end
        use_cache=True,
    )
    try:
        yield
    finally:
        model.generation_config = own


def _context(model: PreTrainedModel) -> int:
    """Return how many tokens the model was made to read; very many if it does not say."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return context or 2**31


def _plan(lengths_Q: Int64s, limits_Q: Int64s, batch_tokens: int) -> Iterator[tuple[Int64s, int]]:
    """Yield batches of prompts and how many tokens each of their prompts may get, at least one."""
    for limit in np.unique(limits_Q[limits_Q > 0]).tolist():
        whole_Q = np.where(limits_Q == limit, lengths_Q + limit, 0)
        yield from ((batch, limit) for batch in plan_batches(whole_Q, batch_tokens))


def _generated(
    model: PreTrainedModel, prompts: Sequence[Int32s], batch: Int64s, limit: int
) -> Iterator[dict[int, list[int]]]:
    """Yield the new tokens of the batch's prompts, at once or in halves of it."""
    pending = [batch]
    while pending:
        part = pending.pop()
        try:
            new_tokens = _new_tokens(model, [prompts[prompt] for prompt in part], limit)
        except torch.OutOfMemoryError:
            if len(part) == 1:
                raise ResourceError(
                    f"a prompt of {len(prompts[part[0]])} tokens and {limit} new ones do not fit "
                    f"into the memory of {model.device}. Lower evaluation.max_new_tokens or "
                    "corpus.max_length, or set cluster.gpus_per_worker above 1."
                ) from None
            pending += [part[len(part) // 2 :], part[: len(part) // 2]]
        else:
            yield dict(zip(part.tolist(), new_tokens, strict=True))
            continue
        torch.cuda.empty_cache()


def _new_tokens(model: PreTrainedModel, prompts: list[Int32s], limit: int) -> list[list[int]]:
    """Return the tokens after each prompt, up to `limit`; after an end comes anything."""
    batch = padded(prompts, side="left")
    width = batch.input_ids_BL.shape[1]
    mask_BL = np.arange(width) >= batch.starts_B[:, None]
    written = model.generate(
        torch.from_numpy(batch.input_ids_BL).to(model.device),
        attention_mask=torch.from_numpy(mask_BL.astype(np.int64)).to(model.device),
        max_new_tokens=limit,
    )
    tokens: list[list[int]] = written[:, width:].tolist()
    return tokens


def _ended(token_ids: list[int], ends: frozenset[int]) -> Continuation:
    """Return the tokens up to the first end."""
    end = next((place for place, token in enumerate(token_ids) if token in ends), None)
    return Continuation(token_ids[:end], finished=end is not None)
