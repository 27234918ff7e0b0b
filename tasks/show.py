"""Show one sample in the terminal: each token, what was decided on it, and by which numbers."""

from dataclasses import dataclass

import sql
from tasks.cells import cell
from tokensieve.errors import SettingsError, shortened
from tokensieve.run_order import last_worked_on
from tokensieve.runs import run_and_round
from tokensieve.storage import Storage
from tokensieve.token_maps.terminal import diff_lines, map_lines
from tokensieve.visible_text import visible

MAX_NAMED = 5
"""How many samples or rounds a line names."""
_Place = tuple[str, int]
"""A run and a round of it."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for, by the flags of the command."""

    sample: str
    """Its id, or a beginning that no other id has."""
    run: str | None = None
    round: int | None = None
    column: str | None = None
    diff: str | None = None
    position: int | None = None


def describe_sample(storage: Storage, wanted: Wanted, is_coloured: bool) -> str:
    """Return the sample as one round has it, beside another one, or all that is known of a token.

    Without a run it is the one last worked on, without a round its last. Raises SettingsError if
    there is no such sample, run, round, column or token.
    """
    sample, places = _found(storage, wanted)
    flag = "--run" if wanted.round is None else "--round"
    place = _chosen(storage, places, flag, wanted.run, wanted.round)
    if wanted.position is not None:
        return "\n".join(_token_lines(storage, sample, place, wanted))
    [map] = sql.read_token_maps(storage, *place, [sample])
    if wanted.diff is None:
        lines = map_lines(map, wanted.column, is_coloured)
        return "\n".join([*lines, *_other_rounds(places, place)])
    other = _chosen(storage, places, "--diff", *run_and_round("--diff", wanted.diff))
    if other == place:
        raise SettingsError(
            f"--diff: {_listed([place])} is what is shown. Give another round; these have the "
            f"sample: {_listed(places)}."
        )
    [other_map] = sql.read_token_maps(storage, *other, [sample])
    return "\n".join(diff_lines(map, other_map, is_coloured))


def _found(storage: Storage, wanted: Wanted) -> tuple[str, list[_Place]]:
    """Return the sample's whole id, and every round that has it."""
    with sql.connect_published(storage) as connection:
        asked = {"prefix": wanted.sample, "run": wanted.run, "most": MAX_NAMED + 1}
        ids = [id for (id,) in sql.run(connection, "find_sample_ids", **asked).fetchall()]
        if ids[:1] != [wanted.sample] and len(ids) != 1:
            raise _no_such_sample(storage, wanted, ids)
        rounds = sql.rows(sql.run(connection, "list_rounds_of_sample", sample=ids[0]))
    return ids[0], [(row["run"], row["round"]) for row in rounds]


def _no_such_sample(storage: Storage, wanted: Wanted, ids: list[str]) -> SettingsError:
    named = shortened(wanted.sample)
    if ids:
        some = ", ".join(shortened(id) for id in ids[:MAX_NAMED])
        return SettingsError(
            f"SAMPLE_ID: {named} begins the ids of several samples: {some}"
            f"{', ...' if len(ids) > MAX_NAMED else ''}. Give more of one."
        )
    where = f"run {shortened(wanted.run)}" if wanted.run else "any run"
    return SettingsError(
        f"SAMPLE_ID: {named} begins the id of no sample of {where} in the index of {storage}. "
        '`tokensieve sql "select run, round, sample_id from sample_stats"` lists them.'
    )


def _chosen(
    storage: Storage, places: list[_Place], flag: str, run: str | None, round: int | None
) -> _Place:
    """Return the round that is meant, of those that have the sample."""
    runs = {place[0] for place in places}
    chosen = run or last_worked_on(storage, runs)
    rounds = [place[1] for place in places if place[0] == chosen]
    if not rounds or (round is not None and round not in rounds):
        which = f"round {round} of run" if round is not None else "run"
        raise SettingsError(
            f"{flag}: {which} {shortened(chosen)} does not have the sample, or the index lacks it. "
            f"These have it: {_listed(places)}."
        )
    return chosen, max(rounds) if round is None else round


def _token_lines(storage: Storage, sample: str, place: _Place, wanted: Wanted) -> list[str]:
    """Return everything that is known of one token: by the run's rounds, or by the given one."""
    assert wanted.position is not None, "nobody asked for a token"
    run, round = place
    found = sql.explain_token(storage, run, sample, wanted.position)
    rows = [row for row in found if wanted.round is None or row["round"] == round]
    width = max(len(name) for row in rows for name in row)
    blocks = [
        [f"{name:<{width}}  {cell(value)}" for name, value in row.items() if value is not None]
        for row in rows
    ]
    return "\n\n".join("\n".join(block) for block in blocks).split("\n")


def _other_rounds(places: list[_Place], place: _Place) -> list[str]:
    """Return a line of the other rounds that have the sample; nothing if there is none."""
    others = [each for each in places if each != place]
    return ["", f"also in {_listed(others)}"] if others else []


def _listed(places: list[_Place]) -> str:
    named = [f"{visible(run)}:{round}" for run, round in places]
    more = f" and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
    return ", ".join(named[:MAX_NAMED]) + more
