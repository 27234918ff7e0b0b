"""Models that cannot read the samples, or whose answers are not numbers."""

import numpy as np
from transformers import PreTrainedModel

from tokensieve.corpus import Samples
from tokensieve.errors import InputError


def check_fits(model: PreTrainedModel, samples: Samples) -> None:
    """Refuse ids without an embedding and samples longer than the model's context."""
    num_rows = model.get_input_embeddings().weight.shape[0]
    wrong_T = (samples.input_ids_T < 0) | (samples.input_ids_T >= num_rows)
    if wrong_T.any():
        token = int(np.argmax(wrong_T))
        sample = int(np.searchsorted(samples.offsets_N1, token, side="right")) - 1
        raise InputError(
            f"sample {samples.sample_ids[sample]}: token id {samples.input_ids_T[token]} has no "
            f"embedding in {model.name_or_path}, which has {num_rows}. Make the corpus with the "
            "tokenizer of this model."
        )
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    longest = int(np.argmax(samples.lengths_N)) if samples.num_samples else 0
    length = int(samples.lengths_N[longest]) if samples.num_samples else 0
    if context and length > context:
        raise InputError(
            f"sample {samples.sample_ids[longest]}: is {length} tokens long, but "
            f"{model.name_or_path} was made for {context}. Set corpus.max_length to {context}."
        )


def check_finite(path: str, num_wrong: int, num_response: int, max_share: float) -> None:
    """Raise InputError if more than `max_share` of a corpus's response tokens have no finite score.

    `num_wrong` may still grow: once it is too large, the model is refused whatever follows.
    """
    if num_wrong > max_share * num_response:
        raise InputError(
            f"{path}: {num_wrong} of {num_response} response tokens have a score that is not "
            f"finite (allowed: {max_share:.2%}, scoring.max_non_finite). The model is damaged, or "
            "overflows: try scoring.dtype = float32."
        )
