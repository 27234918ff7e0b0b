"""A worker that turns pieces of input files into corpus shards. Plain class, like ModelWorker."""

from dataclasses import dataclass

from tokensieve.artifact import Receipt, load_artifact
from tokensieve.chat import load_encoder
from tokensieve.ingest import InputFile, Piece, RowReader
from tokensieve.ingest.shard import build_shard
from tokensieve.models import ModelPlace
from tokensieve.storage import Storage
from tokensieve.vocabulary import vocabulary_table


@dataclass(frozen=True)
class IngestJob:
    """One shard of a corpus to make."""

    storage: Storage
    corpus: str
    pieces: tuple[Piece, ...]
    shard: int

    def __str__(self) -> str:
        """Return the job's name in messages."""
        return f"corpora/{self.corpus}, shard {self.shard}"


class IngestWorker:
    """Holds one tokenizer and template, and encodes any number of shards with them."""

    def __init__(
        self, files: tuple[InputFile, ...], model: ModelPlace, template: str, max_length: int
    ) -> None:
        """Load the tokenizer and the template once."""
        self._reader = RowReader(files)
        self._encoder = load_encoder(model.path, template, max_length)
        self._tokens_done = 0

    def run(self, job: IngestJob) -> Receipt:
        """Make the job's shard, publish it and return its receipt; a finished shard is kept."""
        corpus = load_artifact(job.storage, "corpora", job.corpus)
        finished = corpus.receipt(job.shard)
        if finished is not None:
            return finished
        built = build_shard(self._reader, job.pieces, self._encoder)
        self._tokens_done += built.counts["tokens"]
        tables = {"shards": built.shard.to_table(), "rows": built.rows, "rejected": built.rejected}
        if job.shard == 0:
            tables["vocabulary"] = vocabulary_table(self._encoder.tokenizer)
        return corpus.publish(job.shard, tables, built.counts)

    def progress(self) -> tuple[int, str]:
        """Return how many tokens were made."""
        return self._tokens_done, ""
