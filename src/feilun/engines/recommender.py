"""Recommendations from who took what: how much an item of the history speaks for each other one,
summed; what is popular where nothing speaks. Answered inline.

``items.json`` and ``users.json`` list names. ``weights.safetensors`` holds `taken` (items,) int64,
how many users took each item; the histories of all users as `user_ends` (users + 1,) int64 and
`user_items` int32; and, where the method learnt any, what each item speaks for as `ends`
(items + 1,) int64, `places` int32 and `values` float32. Where users are described, ``about.json``
tells what their columns are made of, and `column_items`, `column_shares` and `column_odds` what
these say of items (see `training.likeness`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from feilun.engines._inline import InlineEngine
from feilun.engines.card import Card
from feilun.errors import CorruptArtifact
from feilun.families.ranking import DEPTH, SHOWN, Ranked
from feilun.modalities import askers
from feilun.modalities.askers import Asker
from feilun.modalities.table.described import Described
from feilun.types import Item

__all__ = ["ABOUT", "FORMATS", "ITEMS", "USERS", "WEIGHTS", "Parts", "RecommenderEngine", "load"]

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""What each item of a history speaks for, one after the other: where each ends, for which items,
and how much."""

FORMATS = ("recommender",)
ITEMS, USERS, WEIGHTS = "items.json", "users.json", "weights.safetensors"
ABOUT = "about.json"

_DENSE = 50_000
"""Items up to which a sum for each costs less than finding those that have one."""
_REASONS = 3
"""Items of the history that an answer names as reasons, at most."""


class RecommenderEngine(InlineEngine):
    """Answers from a `recommender` version."""

    name = "recommender"

    def __init__(self, folder: Path, card: Card) -> None:
        super().__init__(card)
        self._repeat = bool(card.schema.settings.get("repeat", False))
        self._told: Described | None = None
        self._about: dict[str, dict[str, Any]] = {}
        try:
            self._items: list[str] = msgspec.json.decode((folder / ITEMS).read_bytes())
            users: list[str] = msgspec.json.decode((folder / USERS).read_bytes())
            held = load_file(folder / WEIGHTS)
            self._taken = held["taken"]
            self._user_ends, self._user_items = held["user_ends"], held["user_items"]
            known = len(self._items), len(users) + 1
            if (len(self._taken), len(self._user_ends)) != known:
                raise ValueError(f"{known} names, {len(self._taken)}, {len(self._user_ends)}")
            if "column_odds" in held:
                about = msgspec.json.decode((folder / ABOUT).read_bytes())
                self._told, self._about = Described(about["columns"]), about["users"]
                self._offered, self._odds = held["column_items"], held["column_odds"]
                self._shares = np.log(np.asarray(held["column_shares"], np.float64))
        except (OSError, KeyError, ValueError, msgspec.DecodeError, SafetensorError) as error:
            raise CorruptArtifact("engines.bad_weights", file=folder, reason=repr(error)) from None
        self._ends, self._places = held.get("ends"), held.get("places")
        self._values = held.get("values")
        self._item_place = {name: place for place, name in enumerate(self._items)}
        self._user_place = {name: place for place, name in enumerate(users)}
        self._popular = np.argsort(-self._taken, kind="stable")
        self._share = self._taken / max(1, int(self._taken.max(initial=0)))

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        found = np.empty(len(items), dtype=object)
        for place, item in enumerate(items):
            found[place] = self._ranked(askers.read(item))
        return found

    def _ranked(self, asker: Asker) -> Ranked:
        history, out, only = self._told_by(asker)
        best, scores, parts = self._speaks(history, out, only)
        best, scores = self._in_order(asker, history, best, scores, parts)
        basis = "history" if len(best) else "popularity"
        shown = asker.k or SHOWN
        reasons = self._because(best[:shown], history, *parts)
        if not len(best) and not len(history):
            best, scores, reasons = self._by_columns(asker, out, only, shown)
            basis = "columns" if len(best) else basis
        if len(best) < DEPTH:
            more = self._fill(best, out, only)
            filler = np.zeros(len(more)) if len(best) else self._share[more]
            best, scores = np.concatenate([best, more]), np.concatenate([scores, filler])
        names = [self._items[place] for place in best.tolist()]
        given = scores.tolist()
        if asker.candidates is not None and len(names) < DEPTH:
            # Items that nobody has taken yet come last: nothing speaks for them.
            left_out = set(asker.exclude)
            new = [
                one
                for one in asker.candidates
                if one not in self._item_place and one not in left_out
            ][: DEPTH - len(names)]
            names, given = names + new, given + [0.0] * len(new)
        return Ranked(names, given, reasons, len(self._items), shown, basis)

    def _told_by(self, asker: Asker) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """The places of the history, of what is left out, and of what alone may be answered."""
        history = self._history(asker)
        out = self._found(asker.exclude)
        if not self._repeat:
            out = np.union1d(out, history)
        only = None if asker.candidates is None else self._found(asker.candidates)
        return history, out, only

    def _in_order(
        self,
        asker: Asker,
        history: np.ndarray,
        best: np.ndarray,
        scores: np.ndarray,
        parts: Parts,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The items that the history speaks for in the order in which they are answered, with
        their scores: here as they come, the best first."""
        return best, scores

    def _parts_of(self, asker: Asker) -> list[tuple[int, int, int]]:
        """The parts of the user's columns: which column, which of its features, and the place
        among all features; none where nothing is known."""
        row = {**self._about.get(asker.user or "", {}), **asker.columns}
        if self._told is None or not row:
            return []
        parts, begin = [], 0
        for column, block in enumerate(self._told.blocks([row])):
            parts += [(column, place, begin + place) for place in block.indices.tolist()]
            begin += block.shape[1]
        return parts

    def _by_columns(
        self, asker: Asker, out: np.ndarray, only: np.ndarray | None, shown: int
    ) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
        """What users with such columns take, the likeliest first; the parts of the columns that
        speak most for each are its reasons."""
        nothing = np.zeros(0, np.int64), np.zeros(0), list[list[str]]()
        parts = self._parts_of(asker)
        if self._told is None or not parts:
            return nothing
        odds = np.asarray(self._odds[[place for _, _, place in parts]], np.float64)
        # Columns say the same more than once: as many of them count as their root.
        columns = len({column for column, _, _ in parts})
        scores = np.exp(self._shares + odds.sum(axis=0) / np.sqrt(columns))
        able = ~self._marks(out)[self._offered]
        if only is not None:
            able &= self._marks(only)[self._offered]
        places = np.flatnonzero(able)
        places = places[np.lexsort((places, -scores[places]))][:DEPTH]
        reasons = []
        for place in places[:shown].tolist():
            order = np.argsort(-odds[:, place], kind="stable")[:_REASONS]
            strong = [parts[n] for n in order.tolist() if odds[n, place] > 0]
            reasons.append([self._told.words(column, feature) for column, feature, _ in strong])
        return self._offered[places].astype(np.int64), scores[places], reasons

    def _history(self, asker: Asker) -> np.ndarray:
        """The places of what the user has taken and of what the call says he has."""
        told = self._found(asker.history)
        place = None if asker.user is None else self._user_place.get(asker.user)
        if place is None:
            return told
        begin, end = self._user_ends[place : place + 2].tolist()
        return np.union1d(told, self._user_items[begin:end])

    def _marks(self, places: np.ndarray) -> np.ndarray:
        marks = np.zeros(len(self._items), dtype=bool)
        marks[places] = True
        return marks

    def _found(self, names: Sequence[str]) -> np.ndarray:
        places = {self._item_place[one] for one in names if one in self._item_place}
        return np.array(sorted(places), np.int64)

    def _speaks(
        self, history: np.ndarray, out: np.ndarray, only: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, Parts]:
        """The items that the history speaks for, the best first, with their scores, and of what
        these are made."""
        nothing = np.zeros(0, np.int64)
        if self._ends is None or self._places is None or self._values is None or not len(history):
            return nothing, np.zeros(0), (nothing, nothing, np.zeros(0))
        begins, stops = self._ends[history], self._ends[history + 1]
        spans = list(zip(begins.tolist(), stops.tolist(), strict=True))
        targets = np.concatenate([self._places[begin:stop] for begin, stop in spans])
        values = np.concatenate([self._values[begin:stop] for begin, stop in spans])
        if len(self._items) <= _DENSE:
            sums = np.bincount(targets, values, len(self._items))
            found = np.flatnonzero(sums > 0)
            scores = sums[found]
        else:
            found, place = np.unique(targets, return_inverse=True)
            scores = np.bincount(place, values, len(found))
        able = (scores > 0) & ~self._marks(out)[found]
        if only is not None:
            able &= self._marks(only)[found]
        found, scores = found[able], scores[able]
        if len(found) > DEPTH:  # all ties of the last one stay until they are put in order
            least = np.partition(scores, len(scores) - DEPTH)[len(scores) - DEPTH]
            found, scores = found[scores >= least], scores[scores >= least]
        order = np.lexsort((found, -scores))[:DEPTH]
        return found[order], scores[order], ((stops - begins).cumsum(), targets, values)

    def _because(
        self,
        items: np.ndarray,
        history: np.ndarray,
        ends: np.ndarray,
        targets: np.ndarray,
        values: np.ndarray,
    ) -> list[list[str]]:
        """For each of `items` those of the history that speak most for it."""
        if not len(items):
            return []
        wanted = np.flatnonzero(self._marks(items)[targets] & (values > 0))
        sources = history[np.searchsorted(ends, wanted, side="right")]
        order = np.lexsort((sources, -values[wanted]))
        sources, targets = sources[order], targets[wanted[order]]
        found: dict[int, list[str]] = {item: [] for item in items.tolist()}
        pairs = zip(sources.tolist(), targets.tolist(), strict=True)
        for source, target in pairs:
            if len(found[target]) < _REASONS:
                found[target].append(self._items[source])
        return list(found.values())

    def _fill(self, best: np.ndarray, out: np.ndarray, only: np.ndarray | None) -> np.ndarray:
        """What is popular beside `best`, up to `DEPTH` items in all."""
        wanted = DEPTH - len(best)
        if only is None:
            # As many of the most popular as there can be others among them.
            able = self._popular[: wanted + len(best) + len(out)]
        else:
            able = only[np.lexsort((only, -self._taken[only]))]
        able = able[~(self._marks(out) | self._marks(best))[able]]
        return np.asarray(able[:wanted])


def load(
    folder: Path, card: Card, *, streams: int | None, threads: int | None
) -> RecommenderEngine:
    """Opens a `recommender` version; it answers in its caller's thread, so it takes no streams."""
    return RecommenderEngine(folder, card)
