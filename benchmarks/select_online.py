"""What choosing tokens at every step costs, beside a step that trains on every response token.

    python benchmarks/select_online.py    # on the first GPU, if any; on a CPU about 6 minutes

Model, samples and clock are those of `train_tokens.py`. Each method scores the step's samples with
the model as it is, chooses, and trains on what it chose; `full` chooses nothing. `chosen before`
trains on as large a share at random: the difference to it is the price of choosing. A random model
finds every token about as probable as any, so the threshold of profit is 1 / vocabulary.

Each way runs in a process of its own; the best of several steps counts. Only ratios within one run
mean anything. They depend on what share of the work the head is, which is printed beside: the
scores need its logits of every response token, the training those of the chosen ones.
"""

import argparse
import json
import subprocess
import sys

import numpy as np
import torch
from train_tokens import (
    VOCABULARIES,
    Watch,
    head_share,
    model_config,
    sft_like_data,
    sft_like_shard,
)
from transformers import LlamaForCausalLM

from tokensieve.corpus import Shard
from tokensieve.methods import Evidence, Method, find_method
from tokensieve.settings import SelectionSettings, TrainingSettings
from tokensieve.training import StepMethod, StoredEvidence, Trainee, TrainingData, train
from tokensieve.training.trainee import add_adapter

STEPS = 4
TUNINGS = ("full", "lora")
CHOSEN_BEFORE = "chosen before"
WAYS = ("full", CHOSEN_BEFORE, "rho-1", "sstoken-online", "profit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--child", nargs=3, metavar=("WAY", "TUNING", "VOCABULARY"))
    child = parser.parse_args().child
    if child:
        way, tuning, vocabulary = child
        print(json.dumps(measured(way, tuning, int(vocabulary))))
        return
    for vocabulary in VOCABULARIES:
        share = head_share(model_config(vocabulary))
        for tuning in TUNINGS:
            print(f"\nvocabulary {vocabulary:,}, {tuning}: the head is {share:.0%} of a plain step")
            print(f"{'way':>16} {'kept':>6} {'seconds':>9} {'to full':>9}")
            full = in_child("full", tuning, vocabulary)
            for way in WAYS:
                found = full if way == "full" else in_child(way, tuning, vocabulary)
                ratio = found["seconds"] / full["seconds"]
                print(f"{way:>16} {found['kept']:6.0%} {found['seconds']:9.2f} {ratio:7.2f} x")


def in_child(way: str, tuning: str, vocabulary: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", way, tuning, str(vocabulary)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(output)
    return figures


def measured(way: str, tuning: str, vocabulary: int) -> dict[str, float]:
    """Return the best seconds of a step, and the share of the response tokens that it kept."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    num_samples = 64 if device.type == "cuda" else 8
    settings = TrainingSettings(
        tuning=tuning, precision="bfloat16", epochs=STEPS, step_samples=num_samples
    )
    with device:
        model = LlamaForCausalLM(model_config(vocabulary))
    if tuning == "lora":
        model = add_adapter(model.to(torch.bfloat16), settings).to(device)
    watch = Watch()
    records = train(Trainee(model), data_of(way, num_samples, vocabulary), settings, observer=watch)
    num_response = int(sft_like_shard(num_samples, vocabulary).scorable_T.sum())
    kept = np.mean([record.kept_tokens for record in records]) / num_response
    return {"seconds": min(watch.seconds[1:]), "kept": float(kept)}


def data_of(way: str, num_samples: int, vocabulary: int) -> TrainingData:
    if way in ("full", CHOSEN_BEFORE):
        return sft_like_data(num_samples, vocabulary, kept=1.0 if way == "full" else 0.6)
    shard = sft_like_shard(num_samples, vocabulary)
    parameters = {"tau": 1 / vocabulary} if way == "profit" else {}
    method = find_method(way, parameters)
    settings = SelectionSettings(method=way, parameters=parameters)
    evidence = StoredEvidence.joined([Evidence(shard, stored_scores(method, shard), seed=0)])
    weight_T = shard.scorable_T.astype(np.float32)
    step_method = StepMethod(method, settings, evidence)
    return TrainingData.joined([(shard, weight_T)], step_method=step_method)


def stored_scores(method: Method, shard: Shard) -> dict[str, dict[str, np.ndarray]]:
    """Return losses that other models might have."""
    generator = np.random.default_rng(2)
    nll_T = generator.normal(10, 1, len(shard.response_T)).astype(np.float32)
    return {role: {"nll": np.where(shard.scorable_T, nll_T, np.nan)} for role in method.roles}


if __name__ == "__main__":
    main()
