"""The texts of tokens: whole, and with nothing in them that is obeyed or cannot be seen."""

import json
import unicodedata
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tests.tiny_models import tiny_tokenizer
from tokensieve.token_maps import visible_token
from tokensieve.token_maps.texts import is_right_to_left
from tokensieve.visible_text import visible
from tokensieve.vocabulary import vocabulary_table

SHARED = Path(__file__).resolve().parents[2] / "../shared"
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
HARMLESS = st.characters(
    codec="utf-8", categories=["L", "N", "P", "S"], exclude_characters="\u2800"
)
TINY = tiny_tokenizer(512)
FILLERS = {"\u115f", "\u1160", "\u3164", "\uffa0"}


def texts_of(tokenizer, text):
    texts = recorded(tokenizer)
    return [texts[id] for id in tokenizer(text, add_special_tokens=False)["input_ids"]]


@cache
def recorded(tokenizer):
    """Return the text of each token of a tokenizer."""
    return vocabulary_table(tokenizer)["text"].to_pylist()


def pieces():
    """Return a tokenizer like those of SentencePiece, which spells out what it does not know."""
    vocabulary = [("<unk>", 0.0), ("\u2581", -3.0), ("\u2581Anna", -4.0), ("a", -5.0), (",", -5.0)]
    vocabulary += [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, 0, True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def words():
    """Return a tokenizer of words and what goes on with them."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=30, special_tokens=["[UNK]", "[SEP]"], show_progress=False
    )
    tokenizer.train_from_iterator(["anna annas anna and an"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


# --- what is seen


@given(st.text(st.characters()))
@example("a\r\n\tb\x00\x1b[31m\x85\u202e\u2066\u200d\ufeff\U000e0041\ud800\u3164\u2800")
def test_nothing_in_a_visible_token_is_obeyed_or_unseen(text):
    shown = visible_token(text)

    unseen = [ch for ch in shown.replace("\n", "") if unicodedata.category(ch) in UNSEEN]
    assert unseen == []
    assert not FILLERS & set(shown)
    assert "\n" not in visible(text)


@given(st.text(st.sampled_from("ab \n") | HARMLESS.filter(lambda ch: ch not in FILLERS)))
def test_what_can_be_seen_stays_as_it_is_and_a_newline_gets_a_mark(text):
    assert visible_token(text).replace("⏎\n", "\n") == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" two  spaces ", " two  spaces "),
        ("\n\n", "⏎\n⏎\n"),
        ("\r\n", "␍⏎\n"),
        ("\t\x00\x1b[0m", "⇥␀␛[0m"),
        ("\x7f\x9b", "⟨U+007F⟩⟨U+009B⟩"),
        ("\u202eevil\u2069", "⟨U+202E⟩evil⟨U+2069⟩"),
        ("\u200b\u2028\xa0\xad", "⟨U+200B⟩⟨U+2028⟩⟨U+00A0⟩⟨U+00AD⟩"),
        ("\ud83d", "⟨U+D83D⟩"),
        ("❤\ufe0f\U000e0101", "❤⟨U+FE0F⟩⟨U+E0101⟩"),
        ("é日😀", "é日😀"),
        ("e" + "\u0301" * 8, "e" + "\u0301" * 6 + "⟨2 more marks⟩"),
    ],
)
def test_what_cannot_be_seen_is_spelt_out(text, shown):
    assert visible_token(text) == shown


@pytest.mark.parametrize(
    ("text", "right_to_left"),
    [("1 + 1 = שלום", True), ("a שלום", False), ("مرحبا", True), ("", False)],
)
def test_the_first_letter_says_in_which_direction_a_text_is_read(text, right_to_left):
    assert is_right_to_left(text) is right_to_left


# --- what a vocabulary records


@given(st.text(st.characters(codec="utf-8")).filter(lambda text: "<" not in text))
@settings(deadline=None)
@example("Anna says “é”, 日本 😀 \ufffd ⟨0xE2⟩")
def test_bytes_make_the_text_whatever_it_is(text):
    shown = "".join(texts_of(TINY, text))

    as_bytes = b"".join(
        bytes([int(each[2:4], 16)]) + each[5:].encode() if each.startswith("0x") else each.encode()
        for each in shown.replace("⟨0x", "⟨⟨0x").split("⟨⟨")
    )
    assert as_bytes == text.encode()


def test_a_token_that_is_a_part_of_a_character_is_its_bytes():
    quote, letter = ["⟨0xE2⟩", "⟨0x80⟩", "⟨0x9C⟩"], ["⟨0xC3⟩", "⟨0xA9⟩"]

    assert texts_of(TINY, "a \u201cé") == ["a", " ", *quote, *letter]


def test_a_letter_and_the_byte_that_is_named_like_it_are_told_apart():
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(
            models.BPE(vocab={"Ã": 0, "©": 1, "Ã©": 2, "Â": 3, "Ģ": 4}, merges=[("Ã", "©")])
        )
    )
    tokenizer.backend_tokenizer.decoder = decoders.ByteLevel()

    assert recorded(tokenizer) == ["⟨0xC3⟩", "⟨0xA9⟩", "é", "⟨0xC2⟩", "⟨0x80⟩"]


def test_added_tokens_are_called_what_they_say():
    tokenizer = tiny_tokenizer(512)
    tokenizer.add_tokens(["<|é\u2581|>"])

    assert texts_of(tokenizer, "</s>a<|é\u2581|>") == ["</s>", "a", "<|é\u2581|>"]


def test_pieces_have_their_spaces_and_bytes():
    shown = texts_of(pieces(), "Anna, a é\na")

    assert shown == [" Anna", ",", " ", "a", " ", "⟨0xC3⟩", "⟨0xA9⟩", "\n", "a"]


def test_words_have_a_space_before_them_and_what_goes_on_has_none():
    assert "".join(texts_of(words(), "Anna annas an")) == " anna annas an"


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not here")
def test_the_tokens_of_real_samples_are_their_texts():
    tokenizer = AutoTokenizer.from_pretrained(SHARED / "models/base-6m", local_files_only=True)
    texts = recorded(tokenizer)
    lines = (SHARED / "data/gsm8k/sft.jsonl").read_text().splitlines()[:300]
    answers = [json.loads(line)["messages"][-1]["content"] for line in lines]
    ascii_answers = [each for each in answers if each.isascii()]

    made = [
        "".join(texts[id] for id in ids)
        for ids in tokenizer(ascii_answers, add_special_tokens=False)["input_ids"]
    ]

    assert len(ascii_answers) == 276
    assert made == ascii_answers
