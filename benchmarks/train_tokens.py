"""Training speed and memory against the plain step, by the share of response tokens that is kept.

    python benchmarks/train_tokens.py    # on the first GPU, if any; on a CPU under 4 minutes

The plain step is what published training scripts do: all samples of the step in one padded batch,
`model(input_ids, labels)`, so logits of every position, which the loss then takes in float32. Both
steps train every weight of the same Llama on the same samples with AdamW, in bfloat16 autocast.

Each way runs in a process of its own, whose peak memory is its own. The best of several steps
counts; on a CPU that is processor time of one thread, so that other work on the machine disturbs it
little. Only ratios within one run mean anything. The body is small, so the head weighs more than in
a large model: the share of the head in the multiplications of the plain step is printed beside.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tokensieve.corpus import Shard
from tokensieve.settings import TrainingSettings
from tokensieve.training import Observer, StepRecord, Trainee, TrainingData, train

STEPS = 3
VOCABULARIES = (32_000, 128_000)
KEPT = (1.0, 0.6, 0.3)
PUBLISHED = {
    "Collider (arXiv 2502.00340), 60 % kept": 0.22,
    "Centrifuge (ICLR 2026), 50 % kept": 0.347,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--child", nargs=3, metavar=("WAY", "VOCABULARY", "KEPT"))
    child = parser.parse_args().child
    if child:
        way, vocabulary, kept = child
        print(json.dumps(measured(way, int(vocabulary), float(kept))))
        return
    for vocabulary in VOCABULARIES:
        config = model_config(vocabulary)
        print(
            f"\nvocabulary {vocabulary:,}: the head is {head_share(config):.0%} of the plain step"
        )
        print(
            f"{'kept':>6} {'plain':>18} {'ours':>18} {'throughput':>11} {'memory':>8} {'loss':>9}"
        )
        for kept in KEPT:
            report(kept, *(in_child(way, vocabulary, kept) for way in ("plain", "ours")))
    print("\nPublished savings of end-to-end time, in pre-training with sparse backward passes:")
    for name, saving in PUBLISHED.items():
        print(f"  {name}: {saving:.1%}, a throughput of {1 / (1 - saving):.2f} x")


def report(kept: float, plain: dict[str, float], ours: dict[str, float]) -> None:
    cells = [f"{way['seconds']:7.2f} s {way['bytes'] / 2**20:5,.0f} MiB" for way in (plain, ours)]
    print(
        f"{kept:6.0%} {cells[0]:>18} {cells[1]:>18} {plain['seconds'] / ours['seconds']:9.2f} x "
        f"{ours['bytes'] / plain['bytes']:6.2f} x {abs(plain['loss'] - ours['loss']):9.1e}"
    )


def in_child(way: str, vocabulary: int, kept: float) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", way, str(vocabulary), str(kept)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(output)
    return figures


def measured(way: str, vocabulary: int, kept: float) -> dict[str, float]:
    """Return the best seconds of a step, the peak of memory in bytes, the loss of the first."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    with device:
        model = LlamaForCausalLM(model_config(vocabulary))
    data = sft_like_data(64 if device.type == "cuda" else 8, vocabulary, kept)
    seconds, loss = {"ours": ours, "plain": plain}[way](model, data)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    return {"seconds": min(seconds[1:]), "bytes": peak, "loss": loss}


def ours(model: LlamaForCausalLM, data: TrainingData) -> tuple[list[float], float]:
    settings = TrainingSettings(
        tuning="full", precision="bfloat16", epochs=STEPS, step_samples=data.num_samples
    )
    watch = Watch()
    records = train(Trainee(model), data, settings, observer=watch)
    return watch.seconds, records[0].loss


class Watch(Observer):
    """Notes how long each step takes."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._start = clock()

    def step_done(self, record: StepRecord) -> None:
        now = clock()
        self.seconds.append(now - self._start)
        self._start = now


def plain(model: LlamaForCausalLM, data: TrainingData) -> tuple[list[float], float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.0, fused=True)
    batch = {name: each.to(model.device) for name, each in padded_batch(data).items()}
    seconds, losses = [], []
    model.train()
    for _ in range(STEPS):
        start = clock()
        with torch.autocast(model.device.type, torch.bfloat16):
            loss = model(**batch, use_cache=False).loss
        loss.backward()
        losses.append(loss.item())
        del loss
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(clock() - start)
    return seconds, losses[0]


def padded_batch(data: TrainingData) -> dict[str, torch.Tensor]:
    """Return all samples as the arguments of the model; -100 is a token that is not trained."""
    shape = (data.num_samples, int(data.lengths_N.max()))
    ids_BL, mask_BL = (torch.zeros(shape, dtype=torch.int64) for _ in range(2))
    labels_BL = torch.full(shape, -100)
    for row, span in enumerate(data.slices()):
        ids = torch.from_numpy(data.input_ids_T[span]).long()
        ids_BL[row, : len(ids)] = ids
        mask_BL[row, : len(ids)] = 1
        kept = torch.from_numpy(data.weight_T[span] != 0)
        labels_BL[row, : len(ids)][kept] = ids[kept]
    return {"input_ids": ids_BL, "attention_mask": mask_BL, "labels": labels_BL}


def clock() -> float:
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def model_config(vocabulary: int) -> LlamaConfig:
    scale = 4 if torch.cuda.is_available() else 1
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=384 * scale,
        intermediate_size=1024 * scale,
        num_hidden_layers=6 * scale,
        num_attention_heads=6 * scale,
        num_key_value_heads=6 * scale,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )


def head_share(config: LlamaConfig) -> float:
    """Return the head's share of the weights that every token is multiplied with."""
    width = config.hidden_size
    body = config.num_hidden_layers * (4 * width**2 + 3 * width * config.intermediate_size)
    return config.vocab_size * width / (config.vocab_size * width + body)


def sft_like_data(num_samples: int, vocabulary: int, kept: float) -> TrainingData:
    """Return `sft_like_shard` with a random share of its response tokens to train on."""
    shard = sft_like_shard(num_samples, vocabulary)
    generator = np.random.default_rng(1)
    weight_T = shard.response_T & (generator.random(len(shard.response_T)) < kept)
    return TrainingData.joined([(shard, weight_T.astype(np.float32))])


def sft_like_shard(num_samples: int, vocabulary: int) -> Shard:
    """Log-normal prompts (median 70 tokens) and responses (median 130), sigma 0.6 both."""
    generator = np.random.default_rng(0)
    prompt_N = generator.lognormal(np.log(70), 0.6, num_samples).astype(int) + 4
    response_N = generator.lognormal(np.log(130), 0.6, num_samples).astype(int) + 4
    offsets_N1 = np.concatenate([[0], np.cumsum(prompt_N + response_N)])
    num_tokens = int(offsets_N1[-1])
    response_T = np.ones(num_tokens, dtype=bool)
    for start, prompt in zip(offsets_N1, prompt_N, strict=False):
        response_T[start : start + prompt] = False
    return Shard(
        sample_ids=[str(n) for n in range(num_samples)],
        sources=["random"] * num_samples,
        offsets_N1=offsets_N1,
        input_ids_T=generator.integers(3, vocabulary, num_tokens, dtype=np.int32),
        response_T=response_T,
        turn_T=np.zeros(num_tokens, dtype=np.int16),
    )


if __name__ == "__main__":
    main()
