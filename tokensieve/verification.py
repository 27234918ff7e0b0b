"""Check everything that a workspace has published, and go on after each damage."""

import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from tokensieve.artifact import KINDS, Artifact, Receipt, load_artifact
from tokensieve.drops import released, required_visit
from tokensieve.errors import DamagedError, ResourceError
from tokensieve.runs import Arm, Round, Run, attempts, load_run
from tokensieve.storage import Storage
from tokensieve.timings import timings

_ID = re.compile("[0-9a-f]{16}")
_Arguments = ParamSpec("_Arguments")
_Found = TypeVar("_Found")


class Verification:
    """Reads every plan, commit, receipt, shard, run, round and visit of a workspace, once.

    What is not named as ours is not looked at. The index is not part of it: it can be made anew.
    """

    def __init__(self, storage: Storage) -> None:
        """Check the whole workspace."""
        self._storage = storage
        self._damages: dict[str, None] = {}
        self.num_files = 0
        """Files of shards that are as they were published."""
        self.num_bytes = 0
        """Bytes of these files."""
        for kind in KINDS:
            for id in filter(_ID.fullmatch, self._filled(kind)):
                self._check_artifact(kind, id)
        for name in self._filled("runs"):
            self._check_run(name)
        for number in range(1, 1 + len(storage.names("drops/visits"))):
            self._tried(required_visit, storage, number)
            self._tried(released, storage, number)

    @property
    def damages(self) -> list[str]:
        """Return a message for each file that is missing, unreadable or altered."""
        return list(self._damages)

    def _filled(self, key: str) -> list[str]:
        """Return the directories below `key` with something of ours in them."""
        names = self._storage.names(key)
        return [name for name in names if any(self._storage.files(f"{key}/{name}"))]

    def _check_artifact(self, kind: str, id: str) -> None:
        artifact = self._tried(load_artifact, self._storage, kind, id)
        if artifact is None:
            return
        self._tried(timings, artifact)
        commit = self._tried(artifact.committed)
        for shard in range(artifact.num_shards):
            self._check_shard(artifact, shard, commit.receipts[shard] if commit else None)

    def _check_shard(self, artifact: Artifact, shard: int, listed: Receipt | None) -> None:
        """Check the receipt on disk, and the files that it or the commit names."""
        receipt = self._tried(artifact.stated_receipt, shard)
        if listed is not None:
            self._tried(artifact.check_listed, listed)
        files = {
            file.sha256: file
            for each in (receipt, listed)
            if each is not None
            for file in each.files.values()
        }
        for file in files.values():
            num_damages = len(self._damages)
            self._tried(artifact.verify_file, shard, file)
            if len(self._damages) == num_damages:
                self.num_files += 1
                self.num_bytes += file.num_bytes

    def _check_run(self, name: str) -> None:
        run = self._tried(_required_run, self._storage, name)
        self._tried(attempts, self._storage, name)
        if run is None:
            return
        for arm in self._tried(run.finished_arms, self._storage) or []:
            self._check_arm(arm)
        self._tried(run.stopped, self._storage)
        planned = self._tried(run.planned_rounds, self._storage) or []
        finished = self._tried(run.finished_rounds, self._storage) or []
        for round in planned:
            self._check_named(round, round in [each.round for each in finished])

    def _check_arm(self, arm: Arm) -> None:
        """Check that what an arm was made of is there, and committed."""
        named = [("selections", id) for id in arm.selections]
        for kind, id in (*named, *(("models", id) for id in arm.models)):
            artifact = self._tried(load_artifact, self._storage, kind, id)
            if artifact is not None:
                self._tried(_check_commit_stands, artifact)

    def _check_named(self, round: Round, finished: bool) -> None:
        """Check that what the round names is there, and committed if the round is finished."""
        for kind, id in round.names().values():
            artifact = self._tried(load_artifact, self._storage, kind, id)
            if artifact is not None and finished:
                self._tried(_check_commit_stands, artifact)

    def _tried(
        self,
        check: Callable[_Arguments, _Found],
        *arguments: _Arguments.args,
        **named: _Arguments.kwargs,
    ) -> _Found | None:
        """Return what the check returns; None after a note of what it found damaged."""
        try:
            return check(*arguments, **named)
        except (DamagedError, ResourceError) as error:
            self._damages[str(error)] = None
            return None


def _required_run(storage: Storage, name: str) -> Run:
    run = load_run(storage, name)
    if run is None:
        raise DamagedError(
            f"{storage.place(f'runs/{name}/RUN.json')}: is missing, but its run was begun. Bring "
            "it back, or run the same command again."
        )
    return run


def _check_commit_stands(artifact: Artifact) -> None:
    key = f"{artifact.key}/COMMIT.json"
    if not artifact.storage.exists(key):
        raise DamagedError(
            f"{artifact.storage.place(key)}: is missing, but a finished round names the artifact. "
            "Bring it back, or run the same command again: it is made anew from the receipts."
        )
