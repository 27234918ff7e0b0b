"""Read an export as Levanter does: build its cache, and make the examples of its loss."""

import asyncio
import json
import sys
from pathlib import Path

import draccus
import haliax
import jax
import numpy as np
import yaml
from levanter.data.text import LmDataConfig

recipe = yaml.safe_load((Path(sys.argv[1]) / "levanter.yaml").read_text())
config = draccus.decode(LmDataConfig, recipe["data"])
position = haliax.Axis("position", recipe["train_seq_len"])
dataset = config.train_sets(position, key=jax.random.PRNGKey(0))["tokensieve"]
examples = asyncio.run(dataset.get_batch(range(asyncio.run(dataset.async_len()))))
trained, weights = [], []
for example in examples:
    tokens, weight = np.asarray(example.tokens), np.asarray(example.loss_weight)
    assert tokens.shape == weight.shape == (position.size,)
    trained += np.roll(tokens, -1)[weight > 0].tolist()
    weights += weight[weight != 0].tolist()
told = {"rows": len(examples), "trained": sorted(trained), "weights": sorted(weights)}
print(json.dumps(told))
