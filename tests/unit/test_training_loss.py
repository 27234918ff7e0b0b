"""Loss and gradient of one step against the plain way: one sample at a time, every logit."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    PreTrainedModel,
    Qwen2Config,
)

from tests.tiny_training import loss_by_full_logits, signed_weights, tiny_data, tiny_shard
from tokensieve.settings import LoraSettings, TrainingSettings
from tokensieve.training import Trainee, TrainingData, head
from tokensieve.training.plan import divisors, micro_batch
from tokensieve.training.trainee import add_adapter

SHAPE = {
    "vocab_size": 512,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.2,
}
CONFIGS = {
    "untied": LlamaConfig(**SHAPE, tie_word_embeddings=False),
    "tied": Qwen2Config(**SHAPE, tie_word_embeddings=True),
    "soft caps": Gemma2Config(**SHAPE, final_logit_softcapping=3.0, query_pre_attn_scalar=8),
    "divided logits": GraniteConfig(**SHAPE, logits_scaling=8.0),
    "multiplied logits": CohereConfig(**SHAPE, logit_scale=0.25),
    "learnt positions": GPT2Config(
        vocab_size=512,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.2,
        resid_pdrop=0,
        embd_pdrop=0,
        attn_pdrop=0,
    ),
}
ALL_AT_ONCE = [np.arange(4)]
BATCHES = [[[0, 1, 2, 3]], [[3, 0], [2, 1]], [[0], [1], [2], [3]]]  # 4 has no weight


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    torch.set_num_threads(1)


def build(name: str = "untied") -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIGS[name]).train()


def gradients(model: PreTrainedModel) -> torch.Tensor:
    flat = torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])
    model.zero_grad()
    return flat


def step_loss(
    model: PreTrainedModel,
    data: TrainingData,
    batches: Sequence[np.ndarray] = ALL_AT_ONCE,
    *,
    bfloat16: bool = False,
) -> float:
    """Add the gradient of the step to the parameters; return its loss."""
    trainee, loss = Trainee(model), 0.0
    shares = divisors(data, batches, "kept-in-step")
    for samples, divisor_B in zip(batches, shares, strict=True):
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=bfloat16)
        part, hidden_BLH, gradient_BLH = trainee(micro_batch(data, samples, divisor_B), autocast)
        hidden_BLH.backward(gradient_BLH)
        loss += part.item()
    return loss


def plain_loss(model: PreTrainedModel, data: TrainingData) -> tuple[float, torch.Tensor]:
    loss = loss_by_full_logits(model, data)
    loss.backward()
    return loss.item(), gradients(model)


@pytest.mark.parametrize("rows_at_a_time", [1, 4, 1000])
@pytest.mark.parametrize("name", CONFIGS)
def test_every_kind_of_head_gives_the_loss_and_gradient_of_full_logits(
    name, rows_at_a_time, monkeypatch
):
    monkeypatch.setitem(head._HEAD_BYTES, "cpu", 4 * 512 * rows_at_a_time)
    monkeypatch.setitem(head._PASS_BYTES, "cpu", 4 * 512 * 3)
    model, data = build(name), tiny_data()
    loss, gradient = plain_loss(model, data)
    assert step_loss(model, data) == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(gradients(model), gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batches", BATCHES)
@pytest.mark.parametrize("weight_T", [None, signed_weights()], ids=["0 and 1", "signed"])
def test_a_step_gives_the_same_loss_and_gradient_however_it_is_cut(batches, weight_T):
    model, data = build(), tiny_data(weight_T)
    loss, gradient = plain_loss(model, data)
    cut = [np.array(batch) for batch in batches]
    assert step_loss(model, data, cut) == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(gradients(model), gradient, rtol=1e-4, atol=1e-6)


def test_activations_that_are_computed_twice_give_the_same_gradient():
    model, data = build(), tiny_data()
    loss, gradient = plain_loss(model, data)
    model.activation_checkpointing_enable({"use_reentrant": False})
    assert step_loss(model, data) == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(gradients(model), gradient, rtol=1e-4, atol=1e-6)


def test_an_adapter_gets_the_gradient_of_full_logits_and_the_model_none():
    settings = TrainingSettings(lora=LoraSettings(rank=4, dropout=0))
    model, data = add_adapter(build(), settings), tiny_data()
    with torch.no_grad():
        for parameter in Trainee(model).trained.values():
            parameter.normal_(std=0.1)  # B starts at 0, and A would have no gradient
    loss, gradient = plain_loss(model, data)
    assert step_loss(model, data) == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(gradients(model), gradient, rtol=1e-4, atol=1e-6)
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)


def test_bfloat16_multiplications_give_nearly_the_same_and_a_gradient_in_float32():
    model, data = build(), tiny_data()
    loss, gradient = plain_loss(model, data)
    assert step_loss(model, data, bfloat16=True) == pytest.approx(loss, abs=0.03)
    assert {p.grad.dtype for p in model.parameters()} == {torch.float32}
    likeness = torch.nn.functional.cosine_similarity(gradients(model), gradient, dim=0)
    assert likeness > 0.999


def test_bfloat16_is_as_near_to_float32_as_full_logits_in_bfloat16_are():
    model, data = build(), tiny_data()
    exact, _ = plain_loss(model, data)
    with torch.autocast("cpu", torch.bfloat16):
        full = loss_by_full_logits(model, data).item()
    ours = step_loss(model, data, bfloat16=True)
    assert abs(ours - exact) < 2 * abs(full - exact) + 1e-3


def test_a_sample_with_few_kept_tokens_does_not_count_more():
    model, shard = build(), tiny_shard()
    one_T = np.zeros(len(shard.response_T), dtype=np.float32)
    one_T[2] = 1  # one token of sample 0
    all_T = shard.response_T.astype(np.float32)
    all_T[:9] = 0  # every token of the others: 2 + 4 + 10 + 3 = 19
    one = step_loss(model, tiny_data(one_T), [np.array([0])])
    all = step_loss(model, tiny_data(all_T), [np.arange(1, 5)])
    together = step_loss(model, tiny_data(one_T + all_T), [np.array([0]), np.arange(1, 5)])
    assert together == pytest.approx((one + 19 * all) / 20, rel=1e-5)


def test_the_body_reads_up_to_the_last_weight_and_the_head_only_rows_with_one():
    model = build()
    weight_T = np.zeros(36, dtype=np.float32)
    weight_T[[4, 5, 11]] = 1  # positions 4 and 5 of sample 0, position 2 of sample 1
    shapes = []
    for module in (model.model.embed_tokens, model.lm_head):
        module.register_forward_pre_hook(lambda _, args: shapes.append(args[0].shape))
    step_loss(model, tiny_data(weight_T), [np.array([0, 1])])
    assert shapes == [(2, 5), (1, 3, 32)]


def test_losses_of_bfloat16_logits_are_worked_out_in_float32():
    logits_KV = torch.tensor([[0.0, 4.0], [0.0, 4.0]], dtype=torch.bfloat16)
    loss = head.nll_to_gradient_(logits_KV, torch.tensor([0, 1]), torch.tensor([1.0, 1.0]))
    assert loss == pytest.approx(4.018150 + 0.018150, abs=1e-5)  # log(1 + e^4), log(1 + e^-4)


def test_an_improbable_token_has_a_finite_loss_and_gradient():
    logits_KV = torch.tensor([[0.0, 300.0], [0.0, 300.0]])
    loss = head.nll_to_gradient_(logits_KV, torch.tensor([0, 1]), torch.tensor([0.5, -0.25]))
    assert loss == 150.0  # 0.5 x 300 nats; the other token costs nothing
    assert logits_KV.tolist() == [[-0.5, 0.5], [0.0, 0.0]]
