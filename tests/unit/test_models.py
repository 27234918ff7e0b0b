"""What is accepted as a model, what is refused and why, and what two models must share."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny_models import build_tiny_model, tiny_tokenizer
from tokensieve.errors import InputError, ResourceError
from tokensieve.models import (
    check_model_directory,
    check_same_tokenizer,
    companions,
    companions_fingerprint,
    load_model,
    load_tokenizer,
    loading,
    model_fingerprint,
    resolved_dtype,
    tokenizer_fingerprint,
)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("built"))


@pytest.fixture
def model(built, tmp_path) -> Path:
    """A fresh copy that a test may spoil."""
    return Path(shutil.copytree(built, tmp_path / "model"))


def edit_json(file: Path, **changes: object) -> None:
    document = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in document.items() if v is not None}))


def edit_weights(model: Path, **changes: torch.Tensor | None) -> None:
    file = model / "model.safetensors"
    weights = load_file(file) | {name.replace("__", "."): w for name, w in changes.items()}
    save_file({k: w for k, w in weights.items() if w is not None}, file, {"format": "pt"})


def refusal(path: Path, check=check_model_directory) -> str:
    with pytest.raises(InputError) as caught:
        check(str(path))
    return str(caught.value)


def test_a_saved_model_is_accepted(model):
    check_model_directory(str(model))


def test_papers_and_the_notes_of_a_download_are_accepted(model):
    for name in ("LICENSE", "README.md", ".gitattributes", "merge.yaml", "chat_template.jinja"):
        (model / name).write_text("x")
    notes = model / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True)
    (notes / "config.json.metadata").write_text("x")
    check_model_directory(str(model))


def test_a_link_that_stays_inside_is_accepted(model):
    (model / "model.safetensors").rename(model / "model-1.safetensors")
    (model / "model.safetensors").symlink_to("model-1.safetensors")
    check_model_directory(str(model))


def test_a_name_instead_of_a_directory_is_refused_with_the_command_that_fetches_it():
    assert "hf download" in refusal(Path("meta-llama/Llama-3.2-3B"))


# M01
@pytest.mark.parametrize(
    "content", [None, "", "{", "[1]", "[" * 100_000, "version https://git-lfs"]
)
def test_a_config_that_is_missing_or_not_an_object_is_refused_by_name(model, content):
    (model / "config.json").unlink()
    if content is not None:
        (model / "config.json").write_text(content)
    assert f"{model}/config.json: is" in refusal(model)


def test_a_kind_of_model_that_transformers_does_not_know_is_refused(model):
    edit_json(model / "config.json", model_type="llama-from-the-future")
    assert "config.json:model_type: 'llama-from-the-future'" in refusal(model)


# M02, M03, M04
@pytest.mark.parametrize("name", ["pytorch_model.bin", "a.PT", "deep/er/optimizer.pt", "rng.pth"])
def test_a_pickle_anywhere_is_refused_by_its_name(model, name):
    (model / name).parent.mkdir(parents=True, exist_ok=True)
    (model / name).write_bytes(b"")
    assert f"{model / name}: may hold a pickle" in refusal(model)


def test_a_pickle_that_would_run_a_command_is_refused_and_told_how_to_convert(model, tmp_path):
    canary = tmp_path / "canary"
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(f"cos\nsystem\n(S'touch {canary}'\ntR.".encode())
    assert "convert them to safetensors" in refusal(model)
    assert "convert them to safetensors" in refusal(model, lambda p: load_model(p, "float32", 0))
    assert not canary.exists()


def test_code_is_refused_and_never_imported(model, tmp_path):
    canary = tmp_path / "canary"
    (model / "modeling_x.py").write_text(f"open({str(canary)!r}, 'w')")
    edit_json(model / "config.json", auto_map={"AutoModelForCausalLM": "modeling_x.X"})
    assert "modeling_x.py: is code" in refusal(model)
    (model / "modeling_x.py").unlink()
    assert "config.json:auto_map: " in refusal(model, lambda p: load_model(p, "float32", 0))
    assert not canary.exists()


@pytest.mark.parametrize("name", ["weights.gguf", "run.sh", "model.safetensors.exe"])
def test_files_of_unknown_kinds_are_refused(model, name):
    (model / name).write_text("x")
    assert f"{name}: is not a kind of file" in refusal(model)


# M05
@pytest.mark.parametrize(
    ("file", "content", "key"),
    [
        ("config.json", {"_attn_implementation_internal": "evil/kernel"}, "_attn_implementation"),
        ("config.json", {"text": [{"x": {"trust_remote_code": True}}]}, "trust_remote_code"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["a", None]}}, "auto_map"),
        ("generation_config.json", {"trust_remote_code": 1}, "trust_remote_code"),
    ],
)
def test_a_setting_that_runs_code_is_refused_in_any_json_at_any_depth(model, file, content, key):
    edit_json(model / file, **content)
    assert f"{model / file}:{key}" in refusal(model)


def test_a_token_called_like_such_a_setting_is_accepted(model):
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["auto_map"] = 400
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    (model / "vocab.json").write_text(json.dumps({"auto_map": 400}))
    check_model_directory(str(model))


# M06
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "header too small (it has 0 bytes"),
        (b"\x00" * 4, "header too small (it has 4 bytes"),
        ((2**60).to_bytes(8, "little"), f"announce a header of {2**60}"),
        (b"<!DOCTYPE html><html>Not found</html>", "not a whole safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ],
)
def test_weights_that_are_something_else_are_refused(model, content, words):
    (model / "model.safetensors").write_bytes(content)
    message = refusal(model)
    assert f"{model}/model.safetensors: is" in message
    assert words in message


@pytest.mark.parametrize("change", [-1, 1])
def test_weights_cut_or_longer_than_their_header_says_are_refused(model, change):
    data = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(data[:change] if change < 0 else data + b"x")
    assert f"it has {len(data) + change} bytes" in refusal(model)


# M07
def test_an_index_that_lists_a_missing_shard_is_refused_with_the_shard(model):
    (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert f"{model}/model-00002-of-00002.safetensors: is missing" in refusal(model)
    (model / "model.safetensors.index.json").write_text("{}")
    assert "index.json:weight_map: is missing" in refusal(model)


def test_a_directory_without_weights_is_refused(model):
    (model / "model.safetensors").unlink()
    assert "has no model.safetensors" in refusal(model)


def test_links_out_of_the_directory_broken_links_and_pipes_are_refused(model, tmp_path):
    (tmp_path / "secret.json").write_text("{}")
    (model / "extra.json").symlink_to(tmp_path / "secret.json")
    assert "extra.json: is a link that leaves" in refusal(model)
    (model / "extra.json").unlink()
    (model / "folder").symlink_to(tmp_path)
    assert "folder: is a link that leaves" in refusal(model)
    (model / "folder").unlink()
    (model / "gone.json").symlink_to("nowhere.json")
    assert "gone.json: is not a regular file" in refusal(model)
    (model / "gone.json").unlink()
    os.mkfifo(model / "pipe.json")
    assert "pipe.json: is not a regular file" in refusal(model)


# M16, M19
def test_an_adapter_and_a_quantised_model_are_refused(model):
    edit_json(model / "config.json", quantization_config={"load_in_4bit": True})
    assert "config.json:quantization_config: the model is quantised" in refusal(model)
    (model / "adapter_config.json").write_text("{}")
    assert "Merge it into its base first" in refusal(model)


# M09, M18
def test_the_fingerprint_follows_the_content_and_not_the_path(model, built):
    before = model_fingerprint(str(model))
    assert len(before) == 64
    assert before == model_fingerprint(str(built))
    (model / "README.md").write_text("other papers, same numbers")
    assert before == model_fingerprint(str(model))
    data = bytearray((model / "model.safetensors").read_bytes())
    data[-1000] ^= 1
    (model / "model.safetensors").write_bytes(data)
    assert before != model_fingerprint(str(model))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_the_fingerprint_covers_config_and_index(model, name):
    before = model_fingerprint(str(model))
    with (model / name).open("a") as file:
        file.write(" ")
    assert before != model_fingerprint(str(model))


def test_companions_are_the_files_that_say_how_a_model_is_spoken_to(model):
    fingerprint, numbers = companions_fingerprint(str(model)), model_fingerprint(str(model))
    (model / "additional_chat_templates").mkdir()
    for name in ("README.md", "MANIFEST.json", "model.safetensors.index.json"):
        (model / name).write_text("{}")
    assert companions_fingerprint(str(model)) == fingerprint

    (model / "additional_chat_templates" / "tools.jinja").write_text("{{ messages }}")
    (model / "generation_config.json").write_text("{}")
    assert companions(str(model)) == [
        "additional_chat_templates/tools.jinja",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert companions_fingerprint(str(model)) != fingerprint
    (model / "model.safetensors.index.json").unlink()
    assert model_fingerprint(str(model)) == numbers


def test_a_model_is_loaded_in_eval_mode_without_gradients_in_the_dtype_asked_for(model):
    loaded = load_model(str(model), "bfloat16", 0)
    assert not loaded.training
    assert {(w.dtype, w.requires_grad) for w in loaded.parameters()} == {(torch.bfloat16, False)}
    assert loaded.config._attn_implementation == "sdpa"


def test_a_gpu_that_is_not_there_is_a_clear_error(model):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ResourceError, match="sees none"):
        load_model(str(model), "float32", 0.5)


def test_a_model_goes_to_the_gpu_that_the_process_was_told_is_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert [loading._device_map(num_gpus) for num_gpus in (0, 0.5, 1, 2)] == [
        None,
        {"": 3},
        {"": 3},
        "auto",
    ]


def test_a_model_that_does_not_fit_names_the_settings_that_spread_it(model, monkeypatch):
    def fail(model):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(loading, "check_forward", fail)
    with pytest.raises(ResourceError, match=r"gpus_per_worker above 1; .*ranks .*fsdp") as error:
        load_model(str(model), "float32", 0)
    assert str(error.value).startswith(f"{model}: does not fit")


# M08
def test_missing_left_over_and_misshapen_weights_are_listed_and_refused(model):
    edit_weights(
        model,
        model__norm__weight=None,
        model__extra=torch.ones(3),
        lm_head__weight=torch.ones(512, 63),
    )
    message = refusal(model, lambda path: load_model(path, "float32", 0))
    assert "missing_keys: ['model.norm.weight']" in message
    assert "unexpected_keys: ['model.extra']" in message
    assert "mismatched_keys: " in message
    assert "lm_head.weight" in message


# M10, F40
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused_with_their_name(model, value):
    norm = torch.ones(64)
    norm[7] = value
    edit_weights(model, model__norm__weight=norm)
    message = refusal(model, lambda path: load_model(path, "float32", 0))
    assert "the weight model.norm.weight holds NaN or infinity" in message


def test_finite_weights_that_overflow_in_the_forward_are_refused_by_the_trial_batch(model):
    edit_weights(model, model__norm__weight=torch.full((64,), 3e38))
    assert "trial batch" in refusal(model, lambda path: load_model(path, "float32", 0))


# M14
def test_a_tokenizer_with_more_ids_than_the_model_has_rows_is_refused(tmp_path):
    path = build_tiny_model(tmp_path, vocab_size=320)
    tokenizer = tiny_tokenizer(320)
    tokenizer.add_tokens([f"new{i}" for i in range(320 - len(tokenizer) + 1)])
    tokenizer.save_pretrained(path)
    message = refusal(path, lambda path: load_model(path, "float32", 0))
    assert "has id 320, but the model has embeddings for 320 tokens" in message


def test_a_model_without_a_tokenizer_is_refused(model):
    (model / "tokenizer.json").unlink()
    assert "the model has no tokenizer" in refusal(model, load_tokenizer)


@pytest.mark.parametrize(
    "content", ["{}", "[]", '{"added_tokens": 5}', '{"added_tokens": [], "model": {}}']
)
def test_a_tokenizer_that_cannot_be_read_is_refused(model, content):
    (model / "tokenizer.json").write_text(content)
    assert "tokenizer.json: cannot be read as a tokenizer" in refusal(model, load_tokenizer)


# M17
def test_a_tokenizer_without_eos_and_padding_token_is_accepted_as_it_is(model):
    edit_json(model / "tokenizer_config.json", eos_token=None, pad_token=None)
    tokenizer = load_tokenizer(str(model))
    assert (tokenizer.eos_token, tokenizer.pad_token) == (None, None)


# M11, M12, M13
def test_equal_tokenizers_of_different_models_are_accepted(built, tmp_path):
    other = build_tiny_model(tmp_path, seed=1)
    check_same_tokenizer(str(built), str(other), with_chat_template=True)


def difference(base: Path, reference: Path, with_chat_template: bool = True) -> str:
    return refusal(
        reference, lambda path: check_same_tokenizer(str(base), path, with_chat_template)
    )


def test_vocabularies_of_different_size_are_refused_with_both_sizes(built, model):
    tokenizer = tiny_tokenizer()
    size = len(tokenizer)
    tokenizer.add_tokens(["new"])
    tokenizer.save_pretrained(model)
    assert f"it has {size + 1} tokens, the base has {size}" in difference(built, model)


def test_a_token_that_differs_is_named_with_its_id(built, model):
    document = json.loads((model / "tokenizer.json").read_text())
    vocabulary = document["model"]["vocab"]
    vocabulary["Y"], vocabulary["Z"] = vocabulary["Z"], vocabulary["Y"]
    (model / "tokenizer.json").write_text(json.dumps(document))
    words = f"token {vocabulary['Z']} is 'Z', in the base token {vocabulary['Z']} is 'Y'"
    assert words in difference(built, model)


def test_other_merges_special_tokens_and_templates_are_refused(built, model):
    document = json.loads((model / "tokenizer.json").read_text())
    document["model"]["merges"].reverse()
    (model / "tokenizer.json").write_text(json.dumps(document))
    assert "model merges 0 " in difference(built, model)
    shutil.copy(built / "tokenizer.json", model)
    edit_json(model / "tokenizer_config.json", eos_token="<pad>")
    words = "special tokens eos_token is '<pad>', in the base '</s>'"
    assert words in difference(built, model)
    shutil.copy(built / "tokenizer_config.json", model)
    (model / "chat_template.jinja").write_text("{{ messages }}")
    words = "chat template is '{{ messages }}', in the base None"
    assert words in difference(built, model)
    check_same_tokenizer(str(built), str(model), with_chat_template=False)


def test_the_tokenizer_fingerprint_ignores_truncation_and_padding():
    tokenizer = tiny_tokenizer()
    before = tokenizer_fingerprint(tokenizer, with_chat_template=False)
    tokenizer(["a", "bb cc"], truncation=True, max_length=1, padding=True)
    assert tokenizer_fingerprint(tokenizer, with_chat_template=False) == before
    tokenizer.chat_template = "{{ messages }}"
    assert tokenizer_fingerprint(tokenizer, with_chat_template=False) == before
    assert tokenizer_fingerprint(tokenizer, with_chat_template=True) != before


def test_the_dtype_is_the_setting_or_what_the_device_is_good_at():
    assert resolved_dtype("float32", on_gpu=True) == "float32"
    assert resolved_dtype("bfloat16", on_gpu=False) == "bfloat16"
    abilities = torch.cpu.get_capabilities()
    fast = abilities.get("avx512_bf16") or abilities.get("amx_bf16")
    assert resolved_dtype("auto", on_gpu=False) == ("bfloat16" if fast else "float32")
