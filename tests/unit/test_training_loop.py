"""A training run: the updates, dropout, taking it up again, what stops it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from tests.tiny_models import build_tiny_model
from tests.tiny_training import loss_by_full_logits, signed_weights, tiny_data
from tokensieve.errors import (
    ConflictError,
    DamagedError,
    InputError,
    ResourceError,
    SettingsError,
    TokensieveError,
)
from tokensieve.models import load_model
from tokensieve.settings import LoraSettings, TrainingSettings
from tokensieve.training import (
    Observer,
    Trainee,
    TrainingState,
    load_trainee,
    train,
    trainee,
)
from tokensieve.training.plan import plan_steps

FULL = TrainingSettings(tuning="full", learning_rate=1e-3, precision="float32")
LORA = TrainingSettings(learning_rate=1e-2, precision="float32", lora=LoraSettings(rank=4))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    torch.set_num_threads(1)
    return build_tiny_model(tmp_path_factory.mktemp("model"), hidden=32)


@pytest.fixture
def model(path):
    return LlamaForCausalLM.from_pretrained(path)


def changed(settings: TrainingSettings, **values) -> TrainingSettings:
    return settings.model_copy(update=values)


def weights_of(trainee: Trainee) -> dict[str, torch.Tensor]:
    return {name: each.detach().clone() for name, each in trainee.trained.items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("weight_T", [None, signed_weights()], ids=["0 and 1", "signed"])
def test_training_is_adamw_on_the_loss_of_each_step(path, weight_T):
    data = tiny_data(weight_T)
    settings = changed(FULL, warmup=0.5, epochs=2, step_samples=2)
    plain = LlamaForCausalLM.from_pretrained(path)
    optimizer = torch.optim.AdamW(plain.parameters(), weight_decay=0.0)
    losses, norms = [], []
    for step, rate in zip(plan_steps(data, settings), [0.5e-3, 1e-3, 1e-3, 0.5e-3], strict=True):
        is_in_step_T = np.repeat(np.isin(np.arange(5), step), data.lengths_N)
        loss = loss_by_full_logits(
            plain, replace(data, weight_T=np.where(is_in_step_T, data.weight_T, 0))
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = rate
        norms.append(torch.cat([p.grad.flatten() for p in plain.parameters()]).norm().item())
        optimizer.step()
        losses.append(loss.item())

    model = LlamaForCausalLM.from_pretrained(path)
    records = train(Trainee(model), data, settings)
    assert [record.loss for record in records] == pytest.approx(losses, rel=1e-4)
    assert [record.gradient_norm for record in records] == pytest.approx(norms, rel=1e-3)
    assert [record.learning_rate for record in records] == [0.5e-3, 1e-3, 1e-3, 0.5e-3]
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)


def test_a_record_counts_the_kept_tokens_and_those_that_were_run(model):
    data = tiny_data()
    records = train(Trainee(model), data, changed(FULL, step_samples=2))
    assert [record.step for record in records] == [1, 2]
    assert sum(record.kept_tokens for record in records) == np.count_nonzero(data.weight_T)
    assert sum(record.tokens for record in records) == data.needed_N.sum()


def test_cutting_a_step_into_passes_does_not_change_the_weights(path):
    trained = []
    for batch_tokens in (1, 16, 1000):
        trainee = load_trainee(str(path), FULL, 0)
        train(trainee, tiny_data(), changed(FULL, step_samples=4, batch_tokens=batch_tokens))
        trained.append(weights_of(trainee))
    for other in trained[1:]:
        for name in other:
            torch.testing.assert_close(trained[0][name], other[name], rtol=0, atol=2e-5)


@pytest.mark.parametrize("settings", [FULL, LORA], ids=["full", "lora"])
def test_the_same_training_gives_the_same_bits_and_another_seed_another_model(path, settings):
    settings = changed(settings, epochs=10, step_samples=2, batch_tokens=16)
    results = []
    for seed in (0, 0, 1):
        trainee = load_trainee(str(path), changed(settings, seed=seed), 0)
        torch.rand(1)  # what was drawn before is of no account
        records = train(trainee, tiny_data(), changed(settings, seed=seed))
        results.append((records, weights_of(trainee)))
    assert results[0][0] == results[1][0]
    assert same(results[0][1], results[1][1])
    assert [r.loss for r in results[0][0]] != [r.loss for r in results[2][0]]
    losses = [record.loss for record in results[0][0]]
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 2  # nats


def test_training_leaves_the_mode_and_the_random_state_alone(path):
    model = LlamaForCausalLM.from_pretrained(path, attention_dropout=0.2).eval()
    before = torch.random.get_rng_state()
    train(Trainee(model), tiny_data(), changed(FULL, gradient_checkpointing=True))
    assert not model.training
    assert not model.is_activation_checkpointing
    assert torch.equal(torch.random.get_rng_state(), before)


def test_dropout_is_drawn_anew_for_each_pass_from_the_seed(path):
    losses = []
    for seed, batch_tokens in ((0, 100), (0, 1), (1, 100)):
        model = LlamaForCausalLM.from_pretrained(path, attention_dropout=0.2)
        settings = changed(FULL, seed=seed, batch_tokens=batch_tokens, epochs=2, step_samples=5)
        losses.append([r.loss for r in train(Trainee(model), tiny_data(), settings)])
    assert abs(losses[0][0] - losses[1][0]) > 1e-3
    assert abs(losses[0][0] - losses[2][0]) > 1e-3


def test_activations_computed_twice_meet_the_same_dropout(path):
    results = []
    for checkpointing in (False, True):
        trainee = load_trainee(str(path), LORA, 0)
        settings = changed(LORA, epochs=3, gradient_checkpointing=checkpointing)
        train(trainee, tiny_data(), settings)
        results.append(weights_of(trainee))
    for name in results[0]:
        torch.testing.assert_close(results[0][name], results[1][name], rtol=0, atol=1e-6)


def test_tokens_without_a_weight_are_not_learned(path):
    weight_T = np.zeros(36)
    weight_T[-1] = 1  # sample 4's last token
    results = []
    for last_but_one in (7, 8):
        data = tiny_data(weight_T)
        data.input_ids_T[-6] = last_but_one  # sample 3's last token: not trained, seen by nobody
        model = LlamaForCausalLM.from_pretrained(path)
        results.append(train(Trainee(model), data, changed(FULL, epochs=3)))
    assert results[0] == results[1]
    assert len(results[0]) == 3


def test_a_gradient_longer_than_the_limit_is_scaled_down_to_it(path, monkeypatch):
    updated = []
    monkeypatch.setattr(
        torch.optim.AdamW,
        "step",
        lambda self: updated.append(
            torch.cat([p.grad.flatten() for p in self.param_groups[0]["params"]])
        ),
    )
    norms = []
    for limit in (None, 0.5, 1e6):
        model = LlamaForCausalLM.from_pretrained(path)
        [record] = train(Trainee(model), tiny_data(), changed(FULL, clip_norm=limit))
        norms.append(record.gradient_norm)
    assert norms[0] == norms[1] == norms[2] > 0.5  # reported as it was
    assert updated[1].norm().item() == pytest.approx(0.5, rel=1e-5)
    torch.testing.assert_close(updated[1], updated[0] * 0.5 / norms[0])
    assert torch.equal(updated[2], updated[0])


def test_a_step_of_samples_without_a_weight_is_skipped_and_recorded(model):
    data = tiny_data(keep_empty=True)  # sample 4 has no weight
    watch = States()
    records = train(Trainee(model), data, changed(FULL, step_samples=1), observer=watch)
    [skipped] = [record for record in records if record.loss is None]
    assert (skipped.kept_tokens, skipped.tokens, skipped.gradient_norm) == (0, 0, None)
    assert len(records) == 5
    assert watch.states[-1].num_updates == 4
    assert all(p.isfinite().all() for p in model.parameters())


def test_samples_without_a_weight_have_no_place_in_a_step_unless_they_are_kept(model):
    records = train(Trainee(model), tiny_data(), changed(FULL, step_samples=1))
    assert len(records) == 4
    assert all(record.kept_tokens > 0 for record in records)


class States(Observer):
    """Keeps the state after every step, and every record."""

    def __init__(self) -> None:
        self.states, self.records = [], []

    def step_done(self, record):
        self.records.append(record)

    def wants_state(self):
        return True

    def keep_state(self, state):
        self.states.append(state)


@pytest.mark.parametrize("settings", [FULL, LORA], ids=["full", "lora"])
def test_training_taken_up_after_any_step_ends_with_the_same_bits(path, settings, tmp_path):
    settings = changed(settings, epochs=3, step_samples=2, batch_tokens=16, clip_norm=1.0)
    whole, watch = load_trainee(str(path), settings, 0), States()
    records = train(whole, tiny_data(), settings, observer=watch)
    assert watch.records == records
    assert len(watch.states) == len(records) == 6
    for number, state in enumerate(watch.states):
        file = tmp_path / f"{number}.safetensors"
        state.write(file, "this training")
        again = load_trainee(str(path), settings, 0)
        assert train(again, tiny_data(), settings, state=state) == records
        assert same(weights_of(again), weights_of(whole))
        read = TrainingState.read(file, "this training")
        assert read.records == state.records == records[: number + 1]
        assert same(read.tensors, state.tensors)


def test_a_state_holds_a_copy_of_what_is_trained_and_nothing_else(path):
    trainee, watch = load_trainee(str(path), LORA, 0), States()
    train(trainee, tiny_data(), changed(LORA, epochs=2), observer=watch)
    first, last = watch.states
    names = {name for key in first.tensors for _, name in [key.split("/")]}
    assert names == set(trainee.trained)
    assert len(first.tensors) == 3 * len(names)
    assert not same(first.tensors, last.tensors)


def test_a_state_of_another_training_or_a_damaged_one_is_refused(model, tmp_path):
    watch = States()
    train(Trainee(model), tiny_data(), FULL, observer=watch)
    file = tmp_path / "state.safetensors"
    watch.states[0].write(file, "one")
    with pytest.raises(ConflictError, match="of another training"):
        TrainingState.read(file, "other")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DamagedError, match="is not a whole state"):
        TrainingState.read(file, "one")
    with pytest.raises(FileNotFoundError):
        TrainingState.read(tmp_path / "none", "one")


def test_a_loss_that_is_not_finite_stops_the_training_before_the_weights_change(model):
    with torch.no_grad():
        model.model.norm.weight.fill_(math.inf)
    before = model.lm_head.weight.clone()
    with pytest.raises(TokensieveError, match=r"step 1: the loss is nan") as error:
        train(Trainee(model), tiny_data(), FULL)
    assert all(f"s{sample}" in str(error.value) for sample in range(4))
    assert torch.equal(model.lm_head.weight, before)


def test_a_memory_that_is_too_small_names_the_settings_to_lower(model):
    def fail(*args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    model.lm_head.register_forward_pre_hook(fail)
    with pytest.raises(ResourceError, match=r"batch_tokens, .*checkpointing, .*lora, .*fsdp"):
        train(Trainee(model), tiny_data(), FULL)
    assert model.training is False


def test_a_model_is_trained_on_one_gpu_however_many_its_process_has(path, monkeypatch):
    def load(path: str, dtype: str, num_gpus: float):
        asked.append(num_gpus)
        return load_model(path, dtype, 0)

    asked: list[float] = []
    monkeypatch.setattr(trainee, "load_model", load)
    for num_gpus in (0, 0.5, 1, 4):
        load_trainee(str(path), FULL, num_gpus)
    assert asked == [0, 0.5, 1, 1]


def test_a_model_that_cannot_compute_activations_twice_says_so(model):
    model.supports_gradient_checkpointing = False
    with pytest.raises(SettingsError, match=r"training\.gradient_checkpointing"):
        train(Trainee(model), tiny_data(), changed(FULL, gradient_checkpointing=True))


def test_samples_that_do_not_fit_the_model_are_refused(model):
    data = tiny_data()
    data.input_ids_T[3] = 512
    with pytest.raises(InputError, match="sample s0: token id 512 has no embedding"):
        train(Trainee(model), data, FULL)
    with pytest.raises(InputError, match="none of the 5 samples"):
        train(Trainee(model), tiny_data(np.zeros(36)), FULL)
