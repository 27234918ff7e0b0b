"""OLMo-core and open-instruct: arrays of all tokens, which of them are trained on, and where each
document begins and ends.

Without `use_array_if_local=False` OLMo-core ends a document at every EOS: a conversation of several
turns would fall apart, and an answer that was cut off would take the next sample along.
"""

import gzip
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import numpy as np

from tokensieve.exports.format import Destination, Format
from tokensieve.exports.rows import Rows


def _write(shards: Iterator[Rows], directory: Path, to: Destination) -> Mapping[str, int]:
    written: Counter[str] = Counter()
    dtype = np.dtype(_dtype(to.vocabulary_size))
    folder = directory / "data"
    folder.mkdir()
    for number, rows in enumerate(shards):
        if not rows.num_rows:
            continue  # an empty file cannot be mapped
        ids = folder / f"token_ids_part_{number:05d}.npy"
        rows.shard.input_ids_T.astype(dtype).tofile(ids)
        rows.trained_T.tofile(folder / f"labels_mask_part_{number:05d}.npy")
        ids.with_suffix(".csv.gz").write_bytes(_documents(rows))
        written.update(samples=rows.num_rows, trained_tokens=int(rows.trained_T.sum()))
    to.known_base.tokenizer.save_pretrained(directory / "tokenizer")
    return written


def _dtype(vocabulary_size: int) -> str:
    """Return the smallest type that holds every token id, as OLMo-core chooses it."""
    sizes = ("uint8", "uint16", "uint32")
    return next(name for name in sizes if vocabulary_size - 1 <= np.iinfo(name).max)


def _documents(rows: Rows) -> bytes:
    """Return start,end of each sample in the file's tokens; the same bytes at any time."""
    spans = zip(rows.shard.offsets_N1[:-1], rows.shard.offsets_N1[1:], strict=True)
    lines = "".join(f"{start},{end}\n" for start, end in spans)
    return gzip.compress(lines.encode(), mtime=0)


def _length(max_length: int) -> int:
    """Return a length that no sample exceeds and that OLMo-core packs to: a power of 2."""
    return 1 << (max_length - 1).bit_length()


def _recipe(to: Destination) -> dict[str, str]:
    tokenizer = to.known_base.tokenizer
    eos = tokenizer.eos_token_id
    pad = eos if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    module = f'''\
        """This export as a dataset of OLMo-core."""

        from pathlib import Path

        from olmo_core.data import NumpyDatasetDType, NumpyPackedFSLDatasetConfig, TokenizerConfig
        from olmo_core.data.types import LongDocStrategy

        DIRECTORY = Path(__file__).resolve().parent
        MODEL = {to.model!r}

        dataset = NumpyPackedFSLDatasetConfig(
            paths=[f"{{DIRECTORY}}/data/token_ids_part_*.npy"],
            label_mask_paths=[f"{{DIRECTORY}}/data/labels_mask_part_*.npy"],
            expand_glob=True,
            tokenizer=TokenizerConfig(
                vocab_size={to.vocabulary_size},
                eos_token_id={eos},
                pad_token_id={pad},
                identifier=f"{{DIRECTORY}}/tokenizer",
            ),
            dtype=NumpyDatasetDType.{_dtype(to.vocabulary_size)},
            sequence_length={_length(to.max_length)},  # no sample is longer, so none is cut
            generate_doc_lengths=True,
            long_doc_strategy=LongDocStrategy.truncate,
            use_array_if_local=False,  # a document is a sample, not what ends with an EOS
            work_dir="olmo-work",
        )
        '''
    return {"olmo_data.py": dedent(module)}


OLMO = Format(
    name="olmo",
    trainers="OLMo-core 3.0, open-instruct 0.3",
    version=1,
    write=_write,
    recipe=_recipe,
    needs_base=True,
)
