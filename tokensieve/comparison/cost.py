"""What an arm costs, counted so that it does not depend on the machine.

The unit is one forward pass of the model over the whole corpus. Scoring is forward only. Training
adds a backward pass: once as much for the gradient of the activations, once more for that of the
weights if they are trained (those of an adapter are next to nothing), and once more to compute the
activations again if they are not held. So an adapter with checkpointing costs 3 for each token, as
methods are usually counted, an adapter alone 2, every weight 3. A token that is not trained on
costs as much as one that is, if it is in a sample that is. A method that chooses at each step
scores in training: a forward pass more over all that it chooses among.
"""

from tokensieve.settings import TrainingSettings


def passes_of_training(training: TrainingSettings) -> int:
    """Return how many forward passes over a token cost as much as training on it once."""
    weights = 1 if training.tuning == "full" else 0
    return 2 + weights + int(training.gradient_checkpointing)


def forward_passes(
    scored_tokens: int, trained_tokens: int, corpus_tokens: int, training: TrainingSettings
) -> float:
    """Return the cost of an arm in forward passes over its corpus.

    Tokens are those that were run, prompts included: a token that two models scored counts twice,
    one that was chosen at a step and trained on is in both numbers, and epochs and rounds count
    each by itself.
    """
    return (scored_tokens + passes_of_training(training) * trained_tokens) / corpus_tokens
