"""Scoring speed against the straightforward way, and against the machine's matrix multiplication.

    python benchmarks/score_tokens.py          # 42M-parameter Llama on the CPU, under 3 minutes
    python benchmarks/score_tokens.py --gpu    # the shape of Llama-3.2-3B on one GPU
    python benchmarks/score_tokens.py --data SFT.jsonl --model DIRECTORY    # columns only, of yours

The straightforward way is what published scoring scripts do: batches of 6 in data order, padded to
the longest, logits of every position in float32, the losses from them. Only ratios within one run
mean anything: every way is run in turn, several times, and its best time counts. On a CPU that is
processor time of one thread, so that other work on the machine disturbs it little.

Last, what each column on demand costs: the time of a pass that collects it and the plain columns,
as a multiple of the plain pass.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.profiler import profile
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from tokensieve.chat import Encoder
from tokensieve.corpus import Shard
from tokensieve.models import load_model, load_tokenizer
from tokensieve.noise.encoding import encode_records
from tokensieve.planning.steps import SCORE_COLUMNS
from tokensieve.scoring import ATTENTION_COLUMNS, COLUMNS, score_shard
from tokensieve.settings import ScoringSettings
from tokensieve.templates import load_template

ROUNDS = 3
NUM_GIVEN = 64
Clock = Callable[[], float]
SMALL = {
    "vocab_size": 32_000,
    "hidden_size": 512,
    "intermediate_size": 1376,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "tie_word_embeddings": True,
}
LLAMA_3B = {
    "vocab_size": 128_256,
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "tie_word_embeddings": True,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", action="store_true", help="Llama-3.2-3B shape on the first GPU")
    parser.add_argument("--data", type=Path, help="JSON lines of samples, for --model")
    parser.add_argument("--model", type=Path, help="measure only the columns, with this model")
    options = parser.parse_args()
    gpu = options.gpu
    if not gpu:
        torch.set_num_threads(1)
    if options.model:
        report_given(options.data, options.model, gpu)
        return
    clock = time.perf_counter if gpu else time.process_time
    device = torch.device("cuda" if gpu else "cpu")
    config = LlamaConfig(**(LLAMA_3B if gpu else SMALL), max_position_embeddings=2048)
    shard = sft_like_shard(num_samples=1500 if gpu else 36, vocab_size=config.vocab_size)
    torch.manual_seed(0)
    with device:
        model = LlamaForCausalLM(config).to(torch.bfloat16).eval().requires_grad_(False)

    ways: dict[str, Callable[[], np.ndarray]] = {
        "ours, bfloat16": lambda: ours(model, shard),
        "straightforward, bfloat16": lambda: straightforward(model, shard),
    }
    if not gpu:
        float32_model = LlamaForCausalLM(config).eval().requires_grad_(False)
        float32_model.load_state_dict(model.state_dict())
        ways["ours, float32"] = lambda: ours(float32_model, shard)
        ways["straightforward, float32"] = lambda: straightforward(float32_model, shard)

    seconds, rate, nlls = timed(ways, lambda: matmul_rate(config, device, clock), clock)
    report_speed(seconds, shard, useful_flops(model, shard) / seconds["ours, bfloat16"] / rate)
    print(f"matrix multiplication in bfloat16: {rate / 1e12:.2f} TFLOP/s")
    report_losses(nlls, shard)
    report_limits(lambda: ours(model, shard))
    report_columns(model, shard, clock)


def sft_like_shard(num_samples: int, vocab_size: int) -> Shard:
    """Log-normal prompts (median 70 tokens) and responses (median 130), sigma 0.9 both."""
    generator = np.random.default_rng(0)
    prompt_N = np.clip(generator.lognormal(np.log(70), 0.9, num_samples), 8, 1024).astype(int)
    response_N = np.clip(generator.lognormal(np.log(130), 0.9, num_samples), 4, 1024).astype(int)
    offsets_N1 = np.concatenate([[0], np.cumsum(prompt_N + response_N)])
    response_T = np.ones(offsets_N1[-1], dtype=bool)
    for start, prompt in zip(offsets_N1, prompt_N, strict=False):
        response_T[start : start + prompt] = False
    return Shard(
        sample_ids=[str(n) for n in range(num_samples)],
        sources=["random"] * num_samples,
        offsets_N1=offsets_N1,
        input_ids_T=generator.integers(3, vocab_size, offsets_N1[-1], dtype=np.int32),
        response_T=response_T,
        turn_T=np.zeros(offsets_N1[-1], dtype=np.int16),
    )


def ours(
    model: PreTrainedModel, shard: Shard, columns: tuple[str, ...] = SCORE_COLUMNS
) -> np.ndarray:
    return score_shard(model, shard, ScoringSettings(), columns, lambda _: None)[0]["nll"]


@torch.no_grad()
def straightforward(model: LlamaForCausalLM, shard: Shard) -> np.ndarray:
    nll_T = np.full(len(shard.input_ids_T), np.nan, dtype=np.float32)
    spans = list(shard.slices())
    for first in range(0, len(spans), 6):
        batch = spans[first : first + 6]
        width = max(span.stop - span.start for span in batch)
        ids_BL = torch.zeros(len(batch), width, dtype=torch.int64)
        mask_BL = torch.zeros_like(ids_BL)
        labels_BL = torch.full_like(ids_BL, -100)
        for row, span in enumerate(batch):
            length = span.stop - span.start
            ids_BL[row, :length] = torch.from_numpy(shard.input_ids_T[span])
            mask_BL[row, :length] = 1
            response = torch.from_numpy(shard.response_T[span])
            labels_BL[row, :length][response] = ids_BL[row, :length][response]
        ids_BL, mask_BL, labels_BL = (x.to(model.device) for x in (ids_BL, mask_BL, labels_BL))
        logits_BLV = model(input_ids=ids_BL, attention_mask=mask_BL).logits.float()
        shifted_BLV = logits_BLV[:, :-1].contiguous().flatten(0, 1)
        losses = torch.nn.CrossEntropyLoss(reduction="none")(
            shifted_BLV, labels_BL[:, 1:].contiguous().flatten()
        )
        losses_BL = losses.view(len(batch), width - 1).cpu().numpy()
        for row, span in enumerate(batch):
            nll_T[span][1:] = losses_BL[row, : span.stop - span.start - 1]
    return np.where(shard.scorable_T, nll_T, np.nan)


def timed(
    ways: dict[str, Callable[[], np.ndarray]], rate: Callable[[], float], clock: Clock
) -> tuple[dict[str, float], float, dict[str, np.ndarray]]:
    """Return the best seconds of each way, the best matrix-multiply rate, and the losses."""
    seconds = dict.fromkeys(ways, float("inf"))
    nlls, best_rate = {}, 0.0
    for _ in range(ROUNDS):
        for name, way in ways.items():
            best_rate = max(best_rate, rate())
            start = clock()
            nlls[name] = way()
            seconds[name] = min(seconds[name], clock() - start)
    return seconds, best_rate, nlls


def matmul_rate(config: LlamaConfig, device: torch.device, clock: Clock) -> float:
    """Return FLOP/s of the model's own MLP multiplication in bfloat16, at its best of ten."""
    rows = 16384 if device.type == "cuda" else 1024
    left = torch.randn(rows, config.hidden_size, device=device, dtype=torch.bfloat16)
    right = torch.randn(
        config.intermediate_size, config.hidden_size, device=device, dtype=torch.bfloat16
    )
    best = float("inf")
    for _ in range(10):
        start = clock()
        torch.nn.functional.linear(left, right)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, clock() - start)
    return 2 * rows * config.hidden_size * config.intermediate_size / best


def useful_flops(model: LlamaForCausalLM, shard: Shard) -> float:
    """Body over real tokens, causal half of the attention, head over scored tokens; no padding."""
    config = model.config
    layers = sum(weight.numel() for weight in model.model.layers.parameters())
    pairs = (shard.lengths_N.astype(float) ** 2).sum() / 2
    attention_width = config.num_attention_heads * config.head_dim
    return (
        2 * layers * shard.lengths_N.sum()
        + 4 * pairs * attention_width * config.num_hidden_layers
        + 2 * config.vocab_size * config.hidden_size * shard.scorable_T.sum()
    )


def report_speed(seconds: dict[str, float], shard: Shard, share: float) -> None:
    lengths_N = shard.lengths_N
    print(
        f"{shard.num_samples} samples of {lengths_N.mean():.0f} tokens (longest {lengths_N.max()}),"
        f" {shard.response_T.mean():.0%} of them in responses; {torch.get_num_threads()} threads\n"
    )
    fastest = seconds["ours, bfloat16"]
    for name, each in seconds.items():
        rate = lengths_N.sum() / each
        print(f"{name:28} {rate:10,.0f} tokens/s   takes {each / fastest:5.2f} x ours in bfloat16")
    if "ours, float32" in seconds:
        ratio = seconds["straightforward, float32"] / seconds["ours, float32"]
        print(f"{'both in float32':28} {'':10}            straightforward takes {ratio:.2f} x ours")
    print(f"\nours, bfloat16: {share:.0%} of the matrix-multiply rate, in useful FLOPs")


def report_losses(nlls: dict[str, np.ndarray], shard: Shard) -> None:
    for dtype in ("float32", "bfloat16"):
        if f"ours, {dtype}" in nlls:
            pair = nlls[f"ours, {dtype}"], nlls[f"straightforward, {dtype}"]
            difference = np.abs(pair[0] - pair[1])[shard.scorable_T]
            print(
                f"losses in {dtype}: differ by {difference.mean():.1e} nats on average, "
                f"{difference.max():.1e} at most"
            )


def report_limits(way: Callable[[], np.ndarray]) -> None:
    """Print where the time goes, by the kernels' own account."""
    groups = {"matrix multiplication": 0.0, "attention": 0.0, "everything else": 0.0}
    with profile() as measured:
        way()
    calls = [e for e in measured.key_averages() if e.device_type == torch.autograd.DeviceType.CPU]
    on_gpu = any(event.self_device_time_total for event in calls)
    for event in calls:
        mine = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        if event.key in ("aten::mm", "aten::addmm"):
            groups["matrix multiplication"] += mine
        elif "scaled_dot_product" in event.key:
            groups["attention"] += mine
        else:
            groups["everything else"] += mine
    total = sum(groups.values())
    parts = ", ".join(f"{name} {part / total:.0%}" for name, part in groups.items())
    print(f"time of ours, bfloat16: {parts}")


def report_columns(model: PreTrainedModel, shard: Shard, clock: Clock) -> None:
    """Print the best times of passes with more columns, against the plain one in the same run."""
    more = {
        "prompt attention": ("prompt_attention", "prompt_attention_but_first"),
        "received attention": ("received_attention",),
        "all attention": tuple(ATTENTION_COLUMNS),
        "sum_p2": ("sum_p2",),
        "top_entropy": ("top_entropy",),
        "every column": tuple(name for name in COLUMNS if name not in SCORE_COLUMNS),
    }
    seconds = dict.fromkeys(["plain", *more], float("inf"))
    for _ in range(ROUNDS):
        for name in seconds:
            start = clock()
            ours(model, shard, SCORE_COLUMNS + more.get(name, ()))
            seconds[name] = min(seconds[name], clock() - start)
    print(f"\nplain columns of {len(shard.input_ids_T)} tokens: {seconds['plain']:.2f} s")
    for name in more:
        print(f"and {name:20} takes {seconds[name] / seconds['plain']:.3f} x plain")


def report_given(data: Path, directory: Path, gpu: bool) -> None:
    """Print what columns cost with a model and samples that were given, in each precision."""
    tokenizer = load_tokenizer(str(directory))
    encoder = Encoder(tokenizer, load_template("tulu", tokenizer), max_length=1024)
    lines = data.read_text("utf-8").splitlines()[:NUM_GIVEN]
    shard = encode_records([json.loads(line) for line in lines], encoder)
    for dtype in ("float32", "bfloat16"):
        model = load_model(str(directory), dtype, num_gpus=int(gpu))
        print(f"\n{dtype}", end="", flush=True)
        report_columns(model, shard, time.perf_counter if gpu else time.process_time)


if __name__ == "__main__":
    main()
