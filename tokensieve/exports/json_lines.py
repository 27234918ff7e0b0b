"""JSON lines for whatever has no format of its own: everything a loader can want of a sample."""

from collections.abc import Iterator, Mapping
from textwrap import dedent
from typing import Any

from tokensieve.exports.format import Destination, Format
from tokensieve.exports.rows import Rows
from tokensieve.exports.tables import line_writer, loading

LINES = "data/train-*.jsonl"


def _lines(rows: Rows) -> Iterator[Mapping[str, Any]]:
    shard, label_T = rows.shard, rows.label_T
    for n, span in enumerate(shard.slices()):
        yield {
            "sample_id": shard.sample_ids[n],
            "source": shard.sources[n],
            "input_ids": shard.input_ids_T[span].tolist(),
            "labels": label_T[span].tolist(),
            "weights": [round(weight, 7) for weight in rows.weight_T[span].tolist()],
        }


def _recipe(to: Destination) -> dict[str, str]:
    script = '''\
        """Read this export. A label of -100 is not trained on, a weight below 0 is unlearned."""

        {load.imports}from datasets import load_dataset

        DATA = {load.data}
        MODEL = {to.model!r}  # its tokenizer made the rows

        rows = {load.call}
        print(rows)
        '''
    load = loading(to, "json", LINES)
    return {"read.py": dedent(script).format(to=to, load=load)}


JSON_LINES = Format(
    name="jsonl",
    trainers="any loader",
    version=1,
    write=line_writer(_lines),
    recipe=_recipe,
    signed=True,
    table=LINES,
)
