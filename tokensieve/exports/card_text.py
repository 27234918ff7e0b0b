"""The card of an export as people read it: Markdown, with a head for the hub.

Names of files, sources and tokens are those of users' data: they are shown as text, whatever marks
they hold.
"""

import json
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tokensieve.visible_text import visible

_MAX_SHOWN = 200
_PLAIN = set(string.ascii_letters + string.digits + " .,:/()%+-")
_READ = {
    "samples": "samples of the selection",
    "masked_samples": "of them without a token to train on, left out",
    "tokens": "tokens",
    "response_tokens": "response tokens",
    "trained_tokens": "of them with a weight above 0",
    "fractional_tokens": "of those with another weight than 1",
    "unlearned_tokens": "response tokens with a weight below 0",
    "answers": "answers",
    "ended_answers": "of them with their last token trained on",
}
_WRITTEN = {
    "samples": "samples here",
    "trained_tokens": "tokens trained on here",
    "widened_tokens": "of them dropped by the selection, but part of a character trained on",
    "skipped_samples": "samples left out: as text they would become other tokens",
    "skipped_tokens": "tokens to train on in those",
}
_TOTALS = {
    "dropped_tokens": "response tokens dropped",
    "unscorable_tokens": "response tokens without a score, never trained on",
}


def card_text(card: Mapping[str, Any]) -> str:
    """Return the card as Markdown."""
    weights = "\n".join(f"* {_plain(line)}" for line in card["weights"])
    sections = [
        _head(card["export"]),
        _title(card),
        _table("How it was cleaned", ("what", "value"), _how(card)),
        _table("Models", ("role", "fingerprint", "precision"), _models(card["models"])),
        _table("Input", ("file", "source", "bytes", "sha256"), _inputs(card["corpus"]["inputs"])),
        _table("Counts", ("what", "number"), _counts(card)),
        f"## Weights\n\n{weights}\n",
        _table("Special tokens in responses", ("token", "there", "trained on"), _specials(card)),
        _table("Files", ("file", "bytes", "sha256"), _files(card["files"])),
        _table("Versions", ("package", "version"), card["versions"].items()),
    ]
    return "\n".join(filter(None, sections))


def _head(export: Mapping[str, Any]) -> str:
    """Return what the hub reads."""
    lines = ["---", f"pretty_name: {json.dumps('tokensieve ' + export['id'])}"]
    lines += ["task_categories: [text-generation]", "tags: [tokensieve, sft, token-cleaning]"]
    if export["data"]:
        lines += ["configs:", "- config_name: default", "  data_files:"]
        lines += ["  - split: train", f"    path: {export['data']}"]
    return "\n".join([*lines, "---", ""])


def _title(card: Mapping[str, Any]) -> str:
    read, written = card["read"], card["written"]
    share = 100 * read["trained_tokens"] / max(read["response_tokens"], 1)
    files = " and ".join(f"`{name}`" for name in card["export"]["recipe"])
    return (
        f"# Selection {card['selection']['id']} for {_plain(card['export']['trainers'])}\n\n"
        f"{written['samples']:,} samples, cleaned token by token: {read['trained_tokens']:,} of "
        f"{read['response_tokens']:,} response tokens ({share:.1f} %) are worth training on. "
        f"How to train on them: {files}. The same in JSON: `card.json`.\n"
    )


def _how(card: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    selection, corpus, base = card["selection"], card["corpus"], card["export"]["base"]
    yield "selection", selection["id"]
    yield "made by the runs", ", ".join(selection["runs"])
    yield "which began at", selection["made"]
    yield from _settings(selection["settings"])
    yield "corpus", corpus["id"]
    yield "template", f"{corpus['template']['name']} ({corpus['template']['fingerprint']})"
    yield "tokenizer", corpus["tokenizer"][:16]
    yield "tokens of a sample at most", corpus["max_length"]
    if base:
        yield "tokenizer and templates of the model to train", base["companions"][:16]


def _settings(settings: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    """Yield each setting that is of account; of a group, such as policies, each by itself."""
    for key, value in settings.items():
        name = key.replace("_", " ")
        if isinstance(value, dict):
            yield from ((f"{name}: {inner}", each) for inner, each in value.items())
        elif value is not None:
            yield name, value


def _models(models: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    for role, model in models.items():
        yield role, model.get("model", "")[:16], model.get("dtype", "")


def _inputs(inputs: Iterable[Mapping[str, Any]]) -> Iterable[tuple[Any, ...]]:
    for each in inputs:
        yield each["name"], each["source"], each["num_bytes"], each["sha256"][:16]


def _counts(card: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    told = (
        (_READ, card["read"]),
        (_TOTALS, card["selection"]["totals"]),
        (_WRITTEN, card["written"]),
    )
    for names, counts in told:
        yield from ((text, counts[name]) for name, text in names.items() if name in counts)


def _specials(card: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    for row in card["special_tokens"]:
        share = 100 * row["trained_tokens"] / row["response_tokens"]
        yield row["text"], row["response_tokens"], f"{row['trained_tokens']:,} ({share:.1f} %)"


def _files(files: Iterable[Mapping[str, Any]]) -> Iterable[tuple[Any, ...]]:
    for file in files:
        yield file["path"], file["num_bytes"], file["sha256"]


def _table(title: str, names: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a section with a table, or nothing if it has no row."""
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    if not lines:
        return ""
    heading = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    return "\n".join([f"## {title}", "", *heading, *lines, ""])


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        return _plain(value if isinstance(value, str) else json.dumps(value))
    return f"{value:,}"


def _plain(text: str) -> str:
    """Return text that Markdown and HTML take for nothing but text, shortened."""
    shown = visible(text)
    shown = shown if len(shown) <= _MAX_SHOWN else f"{shown[: _MAX_SHOWN - 1]}…"
    return "".join(ch if ch in _PLAIN else f"&#{ord(ch)};" for ch in shown)
