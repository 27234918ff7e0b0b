"""The columns of scores; beyond `nll` and `entropy` collected only for a method that needs them."""

DISTRIBUTION_COLUMNS = {
    "nll": "-log p of the token given the tokens before it, in nats",
    "entropy": "entropy of the same distribution over the vocabulary, in nats",
    "sum_p2": "sum of p^2 over the vocabulary: how sure the model was, from 1/V to 1",
    "top_entropy": "entropy of the 20 likeliest tokens alone, their p made to add up to 1, in nats",
}
"""By name, what a column says of the distribution that the token was drawn from."""

ATTENTION_COLUMNS = {
    "prompt_attention": "share of the token's attention that goes to earlier tokens of no response",
    "prompt_attention_but_first": "the same without position 0, which takes up idle attention",
    "received_attention": "attention paid to the token, mean of the queries from itself to the end",
}
"""By name, what a column says of the attention in one layer, as the mean of its heads: 0 to 1."""

COLUMNS = DISTRIBUTION_COLUMNS | ATTENTION_COLUMNS
