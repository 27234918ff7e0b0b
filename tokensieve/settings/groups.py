"""The groups of settings: each field written, documented and given its default once."""

import re
from typing import Any, Literal

from pydantic import Field, field_validator

from tokensieve.addresses import check_endpoint
from tokensieve.settings.tree import Settings

Scope = Literal["dataset", "source", "sample"]
Dtype = Literal["auto", "float32", "bfloat16"]
Normaliser = Literal["kept-in-step", "kept-in-batch", "all-tokens", "sample-share"]


class CorpusSettings(Settings):
    """How rows become samples."""

    template: str = "model"
    """`model` (the model's own chat template), a built-in name, or the path of a Jinja file."""
    max_length: int | None = Field(default=None, ge=2)
    """Tokens of a sample that are kept; what is longer is cut at the end and counted.
    Unset: 2048, or the context of the models if that is shorter."""
    split: str = "train"
    """Which split of a dataset that has several."""
    max_quarantine: float = Field(default=0.01, ge=0, le=1)
    """Largest share of bad rows a run accepts. If every row is bad, it always stops."""


class ScoringSettings(Settings):
    """How a model is run over the corpus."""

    dtype: Dtype = "auto"
    """`auto`: bfloat16 where the device multiplies matrices faster in it, else float32."""
    batch_tokens: int = Field(default=16384, ge=1)
    """Largest number of tokens in a batch, padding included. A CPU never takes more than 1024."""
    max_non_finite: float = Field(default=0.001, ge=0, le=1)
    """Share of response tokens with a non-finite score above which a model is refused."""
    attention_layer: int = -1
    """Layer whose attention is scored, for methods that look at it: from 0, or from the end if
    below 0."""


class SelectionSettings(Settings):
    """Which tokens are kept."""

    method: str = "fixed-model"
    """A name from `tokensieve methods`."""
    parameters: dict[str, Any] = Field(default={})
    """Of the method itself, where its own defaults are not wanted; `tokensieve methods` shows
    them."""
    keep: float | None = Field(default=None, gt=0, le=1)
    """Share of the scored response tokens to keep. Unset: the method's own, mostly 0.6. Refused for
    methods that keep no share: those that test or weigh each token, and most of combine."""
    scope: Scope | None = None
    """Where the share is counted, of combine that of its members. Unset: the method's own scope.
    Refused where no share is counted."""
    seed: int = 0
    """Seed of methods that draw."""
    keep_empty: bool = False
    """Leave samples without a trained token in the training view and in the steps of a training;
    a step of nothing else is skipped and counted."""


class LoraSettings(Settings):
    """The low-rank adapter on every linear layer of the model's body."""

    rank: int = Field(default=64, ge=1)
    """Width of the adapter."""
    alpha: int = Field(default=16, ge=1)
    """Its output is scaled by alpha / rank."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of its inputs that is dropped while training."""


class TrainingSettings(Settings):
    """How a model is trained. The defaults are those of Token Cleaning (arXiv 2502.01968)."""

    tuning: Literal["lora", "full"] = "lora"
    """`lora`: train an adapter and merge it; `full`: train every weight."""
    lora: LoraSettings = LoraSettings()
    learning_rate: float | None = Field(default=None, gt=0)
    """Of AdamW, at its highest: after the warm-up. Unset: 1e-4 for `lora`, 2e-5 for `full`."""
    schedule: Literal["linear", "cosine"] = "linear"
    """How the learning rate falls to 0 after the warm-up."""
    warmup: float = Field(default=0.03, ge=0, le=1)
    """Share of the optimizer steps in which the learning rate rises."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Largest norm of a step's gradient; a longer one is scaled down to it. Unset: never."""
    epochs: int = Field(default=1, ge=1)
    """How often each sample is trained on."""
    step_samples: int = Field(default=48, ge=1)
    """Samples of one optimizer step."""
    batch_tokens: int = Field(default=8192, ge=1)
    """Largest number of tokens in a forward pass, padding included; a CPU never takes more than
    2048. Changes no result beyond rounding, unless the normaliser is `kept-in-batch`. Passes are
    what several ranks share."""
    normaliser: Normaliser = "kept-in-step"
    """What the weighted loss is divided by: the kept tokens of the whole optimizer step, of each
    forward pass, all response tokens, or each sample's own share."""
    precision: Dtype = "auto"
    """Of the matrix multiplications; weights that are trained stay in float32. `auto`: bfloat16
    where the device multiplies matrices faster in it."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of holding them: less memory, a third more time."""
    seed: int = Field(default=0, ge=0)
    """Seed of the order of the samples, of the adapter's first weights and of dropout."""
    checkpoint_minutes: float = Field(default=10.0, ge=0)
    """How much training a crash may cost."""

    @property
    def peak_rate(self) -> float:
        """Return the highest learning rate."""
        return self.learning_rate or {"lora": 1e-4, "full": 2e-5}[self.tuning]


class RoundsSettings(Settings):
    """How the reference evolves, round after round."""

    rounds: int = Field(default=4, ge=1)
    """Rounds after the warm-up; of toss, how often the harmful model is trained again."""
    select_from: Literal["part", "corpus"] = "part"
    """Where a round scores and selects: in its own part of the corpus, or in all of it again, as
    toss always does."""
    tolerance: float = Field(default=0.0, ge=0)
    """Nats by which a new reference's held-out loss may be worse than the former's."""
    patience: int | None = Field(default=2, ge=1)
    """Stop after so many rounds in a row without a better held-out loss. Unset: never."""


class EvaluationSettings(Settings):
    """What a trained model is asked, beside its loss on held-out responses."""

    answer_pattern: str | None = Field(default=None, min_length=1)
    """Regular expression that finds the answer in a response: its last match that is not blank, or
    the first group of that match. `(?s).+` is the whole response. Unset: nothing is generated."""
    max_new_tokens: int = Field(default=256, ge=1)
    """Longest response that is generated."""
    tasks: tuple[str, ...] = ()
    """lm-eval tasks, groups or tags (needs the extra `eval`)."""
    task_path: str | None = None
    """Directory of further lm-eval tasks. Relative data files of tasks are looked for in it, and
    Python code that a task names is run: give only what you trust as you trust your own code."""
    task_limit: int | None = Field(default=None, ge=1)
    """Documents of each task. Unset: all."""


class ClusterSettings(Settings):
    """Where the work runs."""

    address: str | None = None
    """A running Ray cluster: HOST:PORT of its head, or `auto` for the one that this machine is in.
    Unset: one is started on this machine, on loopback."""
    workers: int | None = Field(default=None, ge=1)
    """Workers that hold a model. Unset: as many as the GPUs hold; without a GPU one per core, at
    most 4."""
    gpus_per_worker: float | None = Field(default=None, ge=0)
    """GPUs of one worker: a fraction shares one, more than 1 spreads the model. Unset: 1 if any."""
    ranks: int = Field(default=1, ge=1)
    """Processes that train one model together, each with its own GPU."""
    fsdp: bool = False
    """Shard weights, gradients and optimizer over the ranks, for models that fill a GPU."""

    @field_validator("address")
    @classmethod
    def _head_address(cls, address: str | None) -> str | None:
        if address is not None and not re.fullmatch(r"auto|[^/\s]+:\d{1,5}", address):
            raise ValueError(
                "has to be HOST:PORT of a cluster's head, or auto. Ray Client (ray://) would lose "
                "the run with its connection: start the command on a machine of the cluster"
            )
        return address

    @field_validator("gpus_per_worker")
    @classmethod
    def _whole_gpus(cls, gpus: float | None) -> float | None:
        if gpus is not None and gpus > 1 and not gpus.is_integer():
            raise ValueError("has to be a whole number above 1")
        return gpus


class S3Settings(Settings):
    """How s3:// addresses are reached. Names only: the secrets are in the environment, or where the
    profile says."""

    endpoint: str | None = None
    """Address of a store other than Amazon's, such as `http://127.0.0.1:9000`. Unset: what
    AWS_ENDPOINT_URL or the profile says."""
    profile: str | None = None
    """Name of a profile in the AWS configuration files. Unset: AWS_PROFILE, or what the machine's
    role says."""
    region: str | None = None
    """Unset: what AWS_REGION or the profile says."""

    @field_validator("endpoint")
    @classmethod
    def _endpoint_of_a_store(cls, endpoint: str | None) -> str | None:
        if endpoint is not None:
            check_endpoint(endpoint)
        return endpoint


class DriftSettings(Settings):
    """When a drop counts as unlike the drops before it. Limits of sources are those of drops."""

    kept_share: float = Field(default=0.1, ge=0, le=1)
    """How far the kept share of the response tokens may be from its median over earlier drops."""
    mean_base_nll: float = Field(default=0.1, gt=0)
    """How many nats the mean loss of the base may be from its median; what four standard errors
    explain is no alarm either."""
    psi: float = Field(default=0.1, gt=0)
    """Largest population stability index of the influences, against those of all earlier drops
    together. Siddiqi, Credit Risk Scorecards (2006): below 0.1 nothing has changed, above 0.25 very
    much."""
    truncated: float = Field(default=0.05, ge=0, le=1)
    """How far the share of rows cut at max_length may be above its median."""
    quarantined: float = Field(default=0.02, ge=0, le=1)
    """How far the share of quarantined rows may be above its median."""
    masked_samples: float = Field(default=0.05, ge=0, le=1)
    """How far the share of samples without a kept token may be above its median."""
    min_history: int = Field(default=3, ge=1)
    """Earlier drops without which nothing is compared. That nothing is kept, that no EOS is
    trained, and a reference worse than the base, are alarms from the first drop on."""
    min_tokens: int = Field(default=10_000, ge=1)
    """Response tokens of a source without which it is not judged by itself."""
    hold: bool = False
    """Hold a drop with an alarm back until somebody approves it."""
