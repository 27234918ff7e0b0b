"""A model before and after training: loaded as it must be, saved as a model like any other."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoTokenizer, LlamaForCausalLM

from tests.scripts import run_script
from tests.tiny_models import build_tiny_model, tiny_tokenizer
from tests.tiny_training import build_tied_model, tiny_data
from tokensieve.errors import InputError, ResourceError, TokensieveError
from tokensieve.models import (
    check_model_directory,
    check_same_tokenizer,
    load_model,
    model_fingerprint,
)
from tokensieve.settings import LoraSettings, TrainingSettings
from tokensieve.training import Ranks, Trainee, load_trainee, save_trained, train

FULL = TrainingSettings(tuning="full", learning_rate=1e-2, epochs=3, precision="float32")
LORA = TrainingSettings(
    learning_rate=1e-2, epochs=3, precision="float32", lora=LoraSettings(rank=4)
)
IDS = torch.arange(3, 40)[None]


@pytest.fixture(scope="module")
def init(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    path = build_tiny_model(tmp_path_factory.mktemp("init"), hidden=32)
    (path / "chat_template.jinja").write_text("{{ messages }}")
    (path / "generation_config.json").write_text('{"temperature": 0.5, "do_sample": false}')
    return path


@pytest.fixture(scope="module")
def tied(tmp_path_factory) -> Path:
    return build_tied_model(tmp_path_factory.mktemp("tied"))


def trained(path: Path, settings: TrainingSettings) -> Trainee:
    trainee = load_trainee(str(path), settings, 0)
    train(trainee, tiny_data(), settings)
    return trainee


@torch.no_grad()
def logits_of(model) -> torch.Tensor:
    return model.eval()(IDS).logits.float()


@pytest.mark.parametrize("settings", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("model", ["init", "tied"])
def test_a_saved_model_answers_like_the_trained_one(model, settings, request, tmp_path):
    path = request.getfixturevalue(model)
    trainee = trained(path, settings)
    save_trained(trainee, str(path), tmp_path, settings)
    saved = load_model(str(tmp_path / "model"), "float32", 0)
    torch.testing.assert_close(logits_of(saved), logits_of(trainee.model), rtol=1e-4, atol=1e-4)
    before = load_model(str(path), "float32", 0)
    assert (logits_of(saved) - logits_of(before)).abs().max() > 0.1
    weights = load_file(tmp_path / "model" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert weights.keys() == load_file(path / "model.safetensors").keys()


def test_a_saved_model_has_the_files_that_lay_beside_the_weights(init, tmp_path):
    save_trained(trained(init, FULL), str(init), tmp_path, FULL)
    check_model_directory(str(tmp_path / "model"))
    check_same_tokenizer(str(init), str(tmp_path / "model"), with_chat_template=True)
    assert model_fingerprint(str(init)) != model_fingerprint(str(tmp_path / "model"))
    for name in ("tokenizer.json", "chat_template.jinja", "generation_config.json"):
        assert (tmp_path / "model" / name).read_bytes() == (init / name).read_bytes()
    assert not (tmp_path / "adapter").exists()


def test_an_adapter_by_itself_is_one_that_peft_loads_and_names_no_path(init, tmp_path):
    trainee = trained(init, LORA)
    save_trained(trainee, str(init), tmp_path, LORA)
    files = sorted(file.name for file in (tmp_path / "adapter").iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors"]
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(config["target_modules"])
    assert len(config["target_modules"]) == 2 * 7
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (4, 16, 0.1)
    assert str(init) not in json.dumps(config)
    base = LlamaForCausalLM.from_pretrained(init)
    adapted = PeftModel.from_pretrained(base, tmp_path / "adapter")
    torch.testing.assert_close(logits_of(adapted), logits_of(trainee.model))


def test_an_adapter_is_added_to_the_weights_of_the_file_not_to_rounded_ones(init, tmp_path):
    settings = LORA.model_copy(update={"precision": "bfloat16", "epochs": 1})
    trainee = trained(init, settings)
    assert trainee.model.lm_head.weight.dtype == torch.bfloat16
    assert {each.dtype for each in trainee.trained.values()} == {torch.float32}
    save_trained(trainee, str(init), tmp_path, settings)
    saved = load_file(tmp_path / "model" / "model.safetensors")
    given = load_file(init / "model.safetensors")
    assert torch.equal(saved["lm_head.weight"], given["lm_head.weight"])
    name = "model.layers.1.mlp.down_proj"
    a, b = (trainee.trained[f"{name}.lora_{x}.default.weight"].detach() for x in "AB")
    assert b.abs().max() > 0
    expected = given[f"{name}.weight"] + 16 / 4 * (b @ a)
    torch.testing.assert_close(saved[f"{name}.weight"], expected, rtol=0, atol=1e-6)


def test_an_adapter_is_on_every_linear_layer_of_the_body_and_starts_without_effect(init):
    trainee = load_trainee(str(init), LORA, 0)
    assert len(trainee.trained) == 2 * 7 * 2  # A and B of q, k, v, o, gate, up, down; two layers
    before = load_model(str(init), "float32", 0)
    assert torch.equal(logits_of(trainee.model), logits_of(before))


def test_the_seed_decides_the_first_weights_of_an_adapter(init):
    name = "model.layers.0.mlp.up_proj.lora_A.default.weight"
    first = []
    for seed in (0, 0, 1):
        torch.rand(1)
        settings = LORA.model_copy(update={"seed": seed})
        first.append(load_trainee(str(init), settings, 0).trained[name])
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


def test_a_weight_that_is_not_finite_is_not_saved(init, tmp_path):
    trainee = load_trainee(str(init), FULL, 0)
    with torch.no_grad():
        trainee.model.lm_head.weight[5, 5] = torch.inf
    with pytest.raises(TokensieveError, match=r"lm_head\.weight is not finite"):
        save_trained(trainee, str(init), tmp_path, FULL)
    assert list(tmp_path.iterdir()) == []


def test_a_model_directory_that_cannot_be_scored_cannot_be_trained(init, tmp_path):
    with pytest.raises(InputError, match="is not a directory"):
        load_trainee(str(tmp_path / "none"), FULL, 0)


def test_the_saved_tokenizer_writes_the_same_ids(init, tmp_path):
    save_trained(load_trainee(str(init), FULL, 0), str(init), tmp_path, FULL)
    text = "If Anna has 3 apples"
    loaded = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert loaded(text).input_ids == tiny_tokenizer()(text).input_ids


SAVE = """
import resource, signal, sys
from pathlib import Path
import torch
from tests.unit.test_training_saving import FULL, LORA
from tokensieve.errors import ResourceError
from tokensieve.training import TrainingState, load_trainee, save_trained

path, directory, what = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
settings = LORA if what == "adapter" else FULL
trainee = load_trainee(path, settings, 0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    if what == "state":
        TrainingState(trainee.trained, []).write(directory / "state", "")
    else:
        save_trained(trainee, path, directory, settings)
except ResourceError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize("what", ["state", "model", "adapter"])
def test_a_full_disk_is_named_with_what_to_do(init, tmp_path, what):
    failed = run_script(SAVE, init, tmp_path, what)

    assert failed.returncode == 6, failed.stderr
    assert failed.stdout.startswith(f"{tmp_path / what}: could not be written: ")
    assert failed.stdout.endswith(
        "File too large (os error 27). Free some space or check the disk, then run the same "
        "command again; checkpoints are kept.\n"
    )


class CrampedRanks(Ranks):
    """A process whose GPU has no room for a whole tensor."""

    def gathered(self, tensors):
        raise torch.OutOfMemoryError("CUDA out of memory.")


def test_a_memory_that_is_too_small_to_gather_the_weights_names_the_settings(init, tmp_path):
    trainee = load_trainee(str(init), FULL, 0)
    with pytest.raises(ResourceError, match=r"CUDA out of memory.*cluster\.ranks .*cluster\.fsdp"):
        save_trained(trainee, str(init), tmp_path, FULL, CrampedRanks(0, 2))
