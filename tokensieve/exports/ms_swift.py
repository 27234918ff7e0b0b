"""ms-swift. It takes no tokens, but messages whose parts are trained on or not.

A sample's text, with all that the chat template wrote, becomes messages: consecutive ones of the
assistant are the spans of an answer. The recipe registers a template that adds nothing to them, so
that the trainer's tokens are the sample's; of each sample this is checked, and it is left out if
they are not.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from tokensieve.exports.format import Destination, Format
from tokensieve.exports.rows import Rows
from tokensieve.exports.spans import Span, Speller
from tokensieve.exports.tables import json_line, shard_name

_READ_AS_MORE = (
    *("<image>", "<video>", "<audio>", "<bbox>", "<ref-object>", "<cot-process>", "<start-image>"),
    *("{{SYSTEM}}", "{{QUERY}}", "{{ROUND0}}", "{{ROUND1}}"),
)
"""Texts in which the trainer puts something else."""


def _write(shards: Iterator[Rows], directory: Path, to: Destination) -> Mapping[str, int]:
    written = Counter(samples=0, trained_tokens=0, widened_tokens=0)
    written.update(skipped_samples=0, skipped_tokens=0)
    speller = Speller(to.known_base.tokenizer)
    folder = directory / "data"
    folder.mkdir()
    for number, rows in enumerate(shards):
        path = folder / f"train-{shard_name(number, to)}.jsonl"
        with path.open("w", encoding="ascii", newline="\n") as file:
            for line, counts in _lines(rows, speller):
                file.write(line)
                written.update(counts)
    return written


def _lines(rows: Rows, speller: Speller) -> Iterator[tuple[str, Mapping[str, int]]]:
    """Yield the line of each sample, empty if it has to be left out, and what is to be counted."""
    for span, spelt in zip(rows.shard.slices(), speller.spelt(rows), strict=True):
        if spelt is None or any(_is_more(each.text) for each in spelt.spans):
            num_trained = int(rows.trained_T[span].sum())
            yield "", {"skipped_samples": 1, "skipped_tokens": num_trained}
            continue
        yield (
            json_line({"messages": [*messages(spelt.spans)]}),
            {
                "samples": 1,
                "trained_tokens": int(spelt.trained_T.sum()),
                "widened_tokens": spelt.num_widened,
            },
        )


def _is_more(text: str) -> bool:
    return any(each in text for each in _READ_AS_MORE)


def messages(spans: tuple[Span, ...]) -> Iterator[dict[str, Any]]:
    """Yield the messages of a sample. What follows the last answer stands in it, not trained on."""
    last = max(n for n, span in enumerate(spans) if span.is_response)
    for n, span in enumerate(spans):
        if span.is_response or n > last:
            yield {"role": "assistant", "content": span.text, "loss": span.is_trained}
        else:
            yield {"role": "user", "content": span.text}


def _recipe(to: Destination) -> dict[str, str]:
    plugin = '''\
        """The template of this export: the messages hold all that a template writes."""

        from swift.template import TemplateMeta, register_template

        register_template(
            TemplateMeta("tokensieve", prefix=[], prompt=["{{QUERY}}"], chat_sep=[], suffix=[])
        )
        '''
    settings = f"""\
        # Train on this export with ms-swift: swift sft ms_swift.yaml; add how: learning_rate, …
        model: {json.dumps(to.model)}
        dataset: [{json.dumps(str(to.place / "data"))}]
        external_plugins: [{json.dumps(str(to.place / "tokensieve_template.py"))}]
        template: tokensieve
        loss_scale: default
        max_length: {to.max_length}   # no sample is longer
        output_dir: trained
        """
    return {"tokensieve_template.py": dedent(plugin), "ms_swift.yaml": dedent(settings)}


MS_SWIFT = Format(
    name="ms-swift",
    trainers="ms-swift 4.6",
    version=1,
    write=_write,
    recipe=_recipe,
    needs_base=True,
)
