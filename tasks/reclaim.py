"""Tell what nothing in a workspace needs, and remove it if asked to."""

from collections.abc import Collection, Sequence
from socket import gethostname

from rich.filesize import decimal

from sql.index import update_index
from tasks.status import is_alive
from tokensieve.drops import read_log
from tokensieve.errors import ConflictError, shortened
from tokensieve.garbage import MIN_AGE_SECONDS, Garbage, find_garbage, forgettable
from tokensieve.runs import Run, attempts, named_run
from tokensieve.storage import Storage

_SHOWN = 40


def describe_garbage(storage: Storage, older_than_days: float, forgotten: Collection[str]) -> str:
    """Return what `remove_garbage` would remove, and what is too young for it."""
    going, young = _sorted_out(storage, older_than_days, forgotten)
    advice = "Nothing was removed; the same command with --delete removes them."
    return "\n".join([*_lines(storage, going, young), *([advice] if going else [])])


def remove_garbage(storage: Storage, older_than_days: float, forgotten: Collection[str]) -> str:
    """Remove what nothing needs, and say what it was. The index is brought up to what is left.

    Raises ConflictError for a run that is to be forgotten while it runs, or that cleaned a drop.
    """
    going, young = _sorted_out(storage, older_than_days, forgotten)
    for each in going:
        each.remove(storage)
    if forgotten:
        update_index(storage)
    return "\n".join([*_lines(storage, going, young), *(["They are removed."] if going else [])])


def _sorted_out(
    storage: Storage, older_than_days: float, forgotten: Collection[str]
) -> tuple[list[Garbage], list[Garbage]]:
    """Return what is old enough to go, and what is not. Runs are forgotten at any age."""
    for name in forgotten:
        _check_forgettable(storage, named_run(storage, name))
    min_age = max(MIN_AGE_SECONDS, older_than_days * 24 * 3600)
    found = find_garbage(storage, forgotten)
    going = [forgettable(storage, name) for name in forgotten]
    going += [each for each in found if each.age >= min_age]
    return going, [each for each in found if each.age < min_age]


def _check_forgettable(storage: Storage, run: Run) -> None:
    """Raise ConflictError if somebody works on the run, or if it is the memory of a drop."""
    tried = attempts(storage, run.name)
    if any(map(is_alive, tried)):
        raise ConflictError(f"{run.name}: is running. End it first, or forget it later.")
    if tried and tried[-1].host != gethostname() and not run.is_finished(storage):
        raise ConflictError(
            f"{run.name}: was last worked on by {shortened(tried[-1].host)}, perhaps still is. "
            "Forget it there."
        )
    for visit in read_log(storage).visits:
        if visit.run == run.name:
            raise ConflictError(
                f"{run.name}: cleaned the drop {visit.drop}. Without it nobody could tell what was "
                "kept of files that are not cleaned again; it stays."
            )


def _lines(storage: Storage, going: Sequence[Garbage], young: Sequence[Garbage]) -> list[str]:
    if not going and not young:
        return [f"{storage}: everything in it is needed"]
    lines = [f"{storage}: {_total(going)} that nothing needs"]
    lines += [
        f"  {each.key:<38} {decimal(each.num_bytes):>10} {_days(each.age):>10}  {each.why}"
        for each in going[:_SHOWN]
    ]
    if len(going) > _SHOWN:
        lines.append(f"  and {len(going) - _SHOWN} more")
    if young:
        lines.append(f"  {_total(young)} more are too young to be sure of, and stay")
    return lines


def _total(garbage: Sequence[Garbage]) -> str:
    num_files = sum(len(each.files) for each in garbage)
    return f"{num_files:,} files, {decimal(sum(each.num_bytes for each in garbage))}"


def _days(seconds: float) -> str:
    return f"{seconds / 86400:,.1f} days"
