"""LLaMA-Factory. It reads tokenised data from a directory of `Dataset.save_to_disk` and nowhere
else, hands every column on to the model, and cuts and packs nothing.

The directory is written here, since that method keeps its rows in a cache first and gives the
same data another fingerprint each time.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pyarrow as pa

from tokensieve.corpus import list_array
from tokensieve.documents import content_id
from tokensieve.exports.axolotl import labelled_columns
from tokensieve.exports.format import Destination, Format
from tokensieve.exports.rows import Rows
from tokensieve.exports.tables import num_trained, shard_name

_TYPES = {"input_ids": pa.int32(), "attention_mask": pa.int8(), "labels": pa.int32()}
_FEATURES = {
    name: {"feature": {"dtype": str(type), "_type": "Value"}, "_type": "Sequence"}
    for name, type in _TYPES.items()
}
"""Every version of datasets knows `Sequence`; `List`, which took its place, only those from 4.0."""
_SCHEMA = pa.schema(
    [pa.field(name, pa.list_(type)) for name, type in _TYPES.items()],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)


def _write(shards: Iterator[Rows], directory: Path, to: Destination) -> Mapping[str, int]:
    written: Counter[str] = Counter()
    folder = directory / "data"
    folder.mkdir()
    for number, rows in enumerate(shards):
        offsets_N1, values = labelled_columns(rows, to)
        arrays = [list_array(offsets_N1, values[name]) for name in _TYPES]
        table = pa.Table.from_arrays(arrays, schema=_SCHEMA)
        path = str(folder / _file_name(number, to))
        with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, _SCHEMA) as stream:
            stream.write_table(table)
        written.update(samples=table.num_rows, trained_tokens=num_trained(values))
    _describe(folder, to)
    return written


def _describe(folder: Path, to: Destination) -> None:
    """Write what says which files are the dataset, and what its columns are."""
    files = [{"filename": _file_name(number, to)} for number in range(to.num_shards)]
    state: dict[str, Any] = {
        "_data_files": files,
        "_fingerprint": content_id({"export": to.place.name}),
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": "train",
    }
    info = {"citation": "", "description": "", "features": _FEATURES, "homepage": "", "license": ""}
    (folder / "state.json").write_text(json.dumps(state, indent=2))
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2))


def _file_name(number: int, to: Destination) -> str:
    return f"data-{shard_name(number, to)}.arrow"


def _recipe(to: Destination) -> dict[str, str]:
    settings = f"""\
        # Train on this export with LLaMA-Factory; add how: finetuning_type, learning_rate, …
        model_name_or_path: {json.dumps(to.model)}
        stage: sft
        do_train: true
        tokenized_path: {json.dumps(str(to.place / "data"))}
        dataset: tokensieve            # has to stand here, and is not read
        template: empty                # not used: rows are tokenised, and neither cut nor packed
        output_dir: trained
        """
    return {"llama_factory.yaml": dedent(settings)}


LLAMA_FACTORY = Format(
    name="llama-factory",
    trainers="LLaMA-Factory 0.9.5",
    version=1,
    write=_write,
    recipe=_recipe,
)
