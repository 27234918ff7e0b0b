"""What each page shows: a few queries, and nothing that is not on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sql
from tasks.explore.asked import Asked, end_of_page
from tokensieve.errors import SettingsError, shortened
from tokensieve.run_order import last_worked_on
from tokensieve.storage import Storage
from tokensieve.token_maps import visible_token

Row = dict[str, Any]
Found = dict[str, Any]

PAGE_ROWS = 100
TOKENS_AROUND = 6
"""How many tokens are shown before and after a place."""
SAMPLE_ORDERS = {
    "influence": "lowest influence first",
    "-influence": "highest influence first",
    "kept": "least kept first",
    "-kept": "most kept first",
    "-loss": "highest base nll first",
    "loss": "lowest base nll first",
}
TOKEN_ORDERS = {
    "-dropped": "most often not kept first",
    "kept": "least kept first",
    "-kept": "most kept first",
    "influence": "lowest influence first",
    "-influence": "highest influence first",
    "-count": "most frequent first",
}


@dataclass(frozen=True)
class Index:
    """The index, opened for one page."""

    storage: Storage
    connection: Any

    def rows(self, query: str, **values: Any) -> list[Row]:
        """Return what one of our queries finds."""
        return sql.rows(sql.run(self.connection, query, **values))


def find_runs(index: Index, asked: Asked) -> Found:
    """Return every run of the index."""
    return {"runs": index.rows("list_runs")}


def find_round(index: Index, asked: Asked) -> Found:
    """Return what a round found, source by source, why tokens were not kept, and what policies
    changed."""
    found = _place(index, asked)
    policies = index.rows("list_policies", run=found["at"]["run"])
    return found | {
        "policies": [row for row in policies if row["round"] == found["at"]["round"]],
        "sources": index.rows("list_sources", **found["at"]),
        "reasons": index.rows("list_reasons", **found["at"]),
    }


def find_samples(index: Index, asked: Asked) -> Found:
    """Return a page of the samples of a round, or of one of its sources."""
    found = _place(index, asked)
    default = "kept" if found["stats"]["mean_influence"] is None else "influence"
    order = asked.choice("order", SAMPLE_ORDERS, default)
    rank, sample = asked.after(float, str)
    source, prefix = asked.text("source"), asked.text("prefix")
    samples = index.rows(
        "list_samples",
        **found["at"],
        source=source,
        prefix=prefix or "",
        **_ordered(order),
        after_rank=rank,
        after_sample=sample,
    )
    return found | {
        "source": source,
        "sources": index.rows("list_sources", **found["at"]),
        "prefix": prefix,
        "order": order,
        "orders": SAMPLE_ORDERS,
        "is_first": sample is None,
        **_paged("samples", samples, "rank", "sample_id"),
    }


def find_tokens(index: Index, asked: Asked) -> Found:
    """Return a page of the vocabulary tokens of a round."""
    found = _place(index, asked)
    order = asked.choice("order", TOKEN_ORDERS, "-dropped")
    rank, token = asked.after(float, int)
    text = asked.text("text")
    tokens = index.rows(
        "list_tokens",
        **found["at"],
        text=text,
        **_ordered(order),
        after_rank=rank,
        after_token=token,
    )
    return found | {
        "text": text,
        "order": order,
        "orders": TOKEN_ORDERS,
        "is_first": token is None,
        **_paged("tokens", tokens, "rank", "token_id"),
    }


def find_occurrences(index: Index, asked: Asked) -> Found:
    """Return a page of the places of a vocabulary token, each with the text around it."""
    found = _place(index, asked)
    token_id, source = asked.number("token_id"), asked.text("source")
    weight, rank, sample, position = asked.after(float, float, str, int)
    places = index.rows(
        "list_occurrences",
        **found["at"],
        source=source,
        token_id=token_id,
        around=TOKENS_AROUND,
        most=PAGE_ROWS + 1,
        after_weight=weight,
        after_rank=rank,
        after_sample=sample,
        after_position=position,
    )
    texts = _texts(index, found["at"], {token_id}.union(*map(_ids_around, places)))
    return found | {
        "token_id": token_id,
        "texts": texts,
        "source": source,
        "sources": index.rows("list_sources", **found["at"]),
        "is_first": sample is None,
        **_paged("places", places, "weight", "rank", "sample_id", "position"),
    }


def find_sample(index: Index, asked: Asked) -> Found:
    """Return the map of a sample in a round, and if asked for that in another one."""
    sample = asked.required("sample")
    rounds = index.rows("list_rounds_of_sample", sample=sample)
    if not rounds:
        raise SettingsError(
            f"sample: no round of the index has {shortened(sample)}. The samples of a round are "
            "listed under it."
        )
    found = _place(index, _in_a_round(index, asked, rounds))
    other = _in_index(index, *asked.round("with")) if asked.text("with") else None
    maps = [_map(index, at, sample) for at in (found["at"], other) if at]
    return found | {"sample": sample, "maps": maps, "other": other, "others": rounds}


def _place(index: Index, asked: Asked) -> Found:
    """Return the run and round that are asked for, what the round found, and all there are."""
    at = _in_index(index, *asked.round("at"))
    [stats] = index.rows("summarise_round", **at)
    return {"at": at, "stats": stats, "rounds": index.rows("list_rounds")}


def _in_index(index: Index, name: str, round: int | None) -> Row:
    """Return a round of the index, the last one of the run if none is named."""
    known = [row["round"] for row in index.rows("list_rounds") if row["run"] == name]
    if not known or (round is not None and round not in known):
        raise SettingsError(
            f"at: the index has no {'round of' if round is None else f'round {round} of'} run "
            f"{shortened(name)}. Begin with the runs."
        )
    return {"run": name, "round": max(known) if round is None else round}


def _in_a_round(index: Index, asked: Asked, rounds: Sequence[Row]) -> Asked:
    """Return what is asked for with a round that has the sample, if none is named: the last one of
    the run last worked on."""
    if asked.text("at"):
        return asked
    run = last_worked_on(index.storage, {row["run"] for row in rounds})
    last = max(row["round"] for row in rounds if row["run"] == run)
    return Asked({**asked.values, "at": f"{run}:{last}"})


def _map(index: Index, at: Row, sample: str) -> Any:
    [found] = sql.read_token_maps(index.storage, at["run"], at["round"], [sample])
    return found


def _ordered(order: str) -> Row:
    """Return the order of a page as queries take it."""
    sign = -1 if order.startswith("-") else 1
    return {"measure": order.lstrip("-"), "sign": sign, "most": PAGE_ROWS + 1}


def _paged(name: str, rows: Sequence[Row], *keys: str) -> Found:
    """Return a page of rows, and where the next one begins: None after the last."""
    page = rows[:PAGE_ROWS]
    has_more = len(rows) > PAGE_ROWS
    return {name: page, "next": end_of_page(*(page[-1][key] for key in keys)) if has_more else None}


def _ids_around(place: Mapping[str, Any]) -> set[int]:
    return {*place["ids_before"], *place["ids_after"]}


def _texts(index: Index, at: Row, token_ids: set[int]) -> dict[int, str]:
    """Return the text of each token, as it may be shown on one line."""
    [round] = index.rows("find_round", **at)
    rows = index.rows("list_token_texts", corpus=round["whole"], token_ids=sorted(token_ids))
    known = {row["token_id"]: visible_token(row["text"]).replace("\n", "") for row in rows}
    return {id: known.get(id, f"⟨{id}⟩") for id in token_ids}
