"""torchtune and torchtitan: their loss takes logits and labels place by place, so `labels` are
moved back by one here. The label at a token is the token that follows it.
"""

from collections.abc import Mapping
from textwrap import dedent
from typing import Any

from tokensieve.corpus import Int64s
from tokensieve.exports.format import Destination, Format
from tokensieve.exports.rows import Rows
from tokensieve.exports.tables import PARQUET, loading, moved_back, parquet_writer
from tokensieve.selection import NOT_TRAINED


def _columns(rows: Rows, to: Destination) -> tuple[Int64s, Mapping[str, Any]]:
    offsets_N1 = rows.shard.offsets_N1
    labels_T = moved_back(rows.label_T, offsets_N1, last=NOT_TRAINED)
    return offsets_N1, {"tokens": rows.shard.input_ids_T, "labels": labels_T}


def _recipe(to: Destination) -> dict[str, str]:
    module = '''\
        """This export as a dataset of torchtune.

            dataset:
              _component_: tokensieve_data.train_dataset
              packed: true
            tokenizer:
              max_seq_len: {to.max_length}   # no sample is longer

        In torchtitan, a SampleProcessor hands a row on as
        TextSequence(input_ids=row["tokens"], labels=row["labels"]): both are shifted already.
        """

        {load.imports}from datasets import load_dataset
        from torch.utils.data import Dataset

        DATA = {load.data}
        MODEL = {to.model!r}  # its tokenizer made the rows


        class Rows(Dataset):
            """Rows of `tokens` and of `labels`, one of which is the next token, or -100."""

            def __init__(self):
                self.rows = {load.call}

            def __len__(self):
                return len(self.rows)

            def __getitem__(self, number):
                row = self.rows[number]
                return {{"tokens": row["tokens"], "labels": row["labels"]}}


        def train_dataset(tokenizer, packed=False):
            """Return the rows, packed up to the tokenizer's max_seq_len if asked to."""
            if not packed:
                return Rows()
            from torchtune.datasets import PackedDataset

            return PackedDataset(Rows(), max_seq_len=tokenizer.max_seq_len)
        '''
    load = loading(to, "parquet", PARQUET)
    return {"tokensieve_data.py": dedent(module).format(to=to, load=load)}


PRESHIFTED = Format(
    name="preshifted",
    trainers="torchtune 0.6.1, torchtitan (main)",
    version=1,
    write=parquet_writer(_columns),
    recipe=_recipe,
    table=PARQUET,
)
