"""Labelling from nothing: a file without labels, people who label its rows, rows that are decided.

The rows are a corpus. Which of them are asked first is drawn by a hash of their ids: a sorted file
gives no sorted labels, and the order is the same after a restart. What each person says of a row is
kept by itself, so that agreement can be told and a disagreement seen; a decision settles it.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from feilun.errors import InvalidData, NotFound, UsageError
from feilun.messages import t
from feilun.metrics.agreement import cohen_kappa, krippendorff_alpha
from feilun.project.corpus import corpora, dataset
from feilun.project.scope import Scope
from feilun.table import Result, Table
from feilun.types import Item

if TYPE_CHECKING:
    from feilun.project.results import Added

__all__ = ["LABELS", "LabelItem", "Labelling", "Votes", "forget_votes"]

LABELS = 200
"""Labels that a labelling may be begun with."""
_DRAWN = 5_000
"""Rows of a corpus that are asked."""
_PEOPLE = 9
_SHOWN = 50
_DECISION = ""
"""Who a decision is by: it counts before every voice."""
_RELIABLE, _TENTATIVE = 0.8, 0.667  # Krippendorff's own marks


@dataclass(frozen=True)
class Labelling(Result):
    """How far the labelling of `corpus` has come. `people` voices are wanted for each row;
    `labelled` rows have one, `decided` as many as are wanted and a majority, of `differing` rows
    the voices differ; `open` are the first of them: ``row``, ``input``, ``said`` by person. `alpha`
    is Krippendorff's, with its 95 % interval; `kappas` Cohen's by pairs of people."""

    corpus: str
    labels: Sequence[str]
    people: int
    rows: int
    labelled: int
    decided: int
    differing: int = 0
    open: Sequence[Mapping[str, Any]] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    voices: Mapping[str, int] = field(default_factory=dict)
    alpha: tuple[float, float, float] | None = None
    kappas: Mapping[str, float] = field(default_factory=dict)

    def tables(self) -> Sequence[Table]:
        facts = [
            [t("label.rows"), f"{self.rows:,}"],
            [t("label.labelled"), f"{self.labelled:,}"],
            [t("label.decided"), f"{self.decided:,}"],
            [t("label.open"), f"{self.differing:,}"],
        ]
        notes = []
        if self.alpha is not None:
            value, low, high = self.alpha
            facts.append([t("label.alpha"), f"{value:.2f} [{low:.2f}, {high:.2f}]"])
            key = "reliable" if value >= _RELIABLE else "unreliable"
            key = "tentative" if _TENTATIVE <= value < _RELIABLE else key
            notes.append(t(f"label.{key}"))
        facts += [
            [t("label.kappa", pair=pair), f"{value:.2f}"] for pair, value in self.kappas.items()
        ]
        rows = [[name or t("label.none"), f"{count:,}"] for name, count in self.counts.items()]
        found = [Table(self.corpus, ["", ""], facts, notes)]
        if rows:
            found.append(Table(t("label.counts"), [t("project.label"), t("project.rows")], rows))
        return found


@dataclass
class LabelItem:
    """A row to label, for one person."""

    row: str
    item: Item
    _scope: Scope
    _who: str

    @property
    def place(self) -> tuple[str, int]:
        """What tells it from others."""
        return self.row, 0

    def label(self, label: Any) -> None:
        """Says what is right. Raises `InvalidData` for what cannot be a label."""
        _say(self._scope, self.row, label, self._who)

    def undo(self) -> bool:
        """Takes back what was said; False where nothing was."""
        return _take_back(self._scope, self.row, self._who)


class Votes:
    """The labelling of one project: begun, asked, answered, decided, made data of."""

    def __init__(self, scope: Scope, add: Callable[..., Added]) -> None:
        self._scope = scope
        self._add = add

    def start(
        self, labels: Sequence[str] = (), *, people: int = 1, corpus: str | None = None
    ) -> Labelling:
        """Begins to label `corpus` (default: the latest), or goes on with other `labels` or another
        number of `people`; what was said stays. Raises `NotFound` without a corpus, `UsageError`
        for fewer than two labels where the task needs some, or for nobody."""
        scope, task = self._scope, self._scope.task
        wanted = list(dict.fromkeys(label.strip() for label in labels if label.strip()))
        listed = bool(task.family.names([str(one.label) for one in task.examples]))
        known = corpora(scope)
        if not known:
            raise NotFound("label.no_rows", project=scope.called)
        chosen = next((one for one in known if one.id == corpus), known[-1])
        if listed and not 1 < len(wanted) <= LABELS:
            raise UsageError("label.too_few", given=len(wanted), most=LABELS)
        if not 1 <= people <= _PEOPLE:
            raise UsageError("label.people", given=people, most=_PEOPLE)
        order = {"corpus": chosen.id, "labels": wanted, "people": people}
        scope.store.catalog.set_setting(_key(scope), order)
        scope.store.catalog.note("label.start", scope.name, order)
        return self.state()

    def state(self) -> Labelling:
        """How far it has come. Raises `NotFound` where nothing is labelled."""
        scope, order, votes = self._scope, _order(self._scope), _votes(self._scope)
        rows = next(one.rows for one in corpora(scope) if one.id == order["corpus"])
        decided = _all_decided(order, votes)
        apart = [r for r, said in votes.items() if len(set(said.values())) > 1 and r not in decided]
        voices = Counter(who for said in votes.values() for who in said if who != _DECISION)
        units = [[v for who, v in said.items() if who != _DECISION] for said in votes.values()]
        return Labelling(
            corpus=order["corpus"],
            labels=order["labels"],
            people=order["people"],
            rows=min(rows, _DRAWN),
            labelled=len(votes),
            decided=len(decided),
            differing=len(apart),
            open=[
                {"row": row, "input": item, "said": votes[row]}
                for row, item in _items(scope, apart[:_SHOWN]).items()
            ],
            counts=dict(Counter(decided.values()).most_common()),
            voices=dict(voices),
            alpha=krippendorff_alpha(units),
            kappas=_kappas(votes, sorted(voices)),
        )

    def queue(self, who: str) -> Iterator[LabelItem]:
        """The rows that `who` has not labelled and that still want a voice."""
        order, votes = _order(self._scope), _votes(self._scope)
        for row, item in _drawn(self._scope):
            said = votes.get(row, {})
            if who not in said and not _decided(order, said) and len(said) < order["people"]:
                yield LabelItem(row, item, self._scope, who)

    def say(self, row: str, label: Any, who: str) -> None:
        """Keeps what `who` says of a row of the corpus, in place of what they said before. Raises
        `InvalidData` for what cannot be a label."""
        _say(self._scope, row, label, who)

    def decide(self, row: str, label: Any) -> None:
        """Settles what people differ about. Raises `NotFound` for a row that nobody labelled."""
        if row not in _votes(self._scope):
            raise NotFound("label.no_row", row=row)
        _say(self._scope, row, label, _DECISION)
        self._scope.store.catalog.note("label.decide", self._scope.name, {"row": row})

    def collect(self) -> Added:
        """Adds the decided rows as data; rows that people differ about wait. Raises `InvalidData`
        where none is decided, or as `Project.add` does."""
        scope, order = self._scope, _order(self._scope)
        decided = _all_decided(order, _votes(scope))
        if not decided:
            raise InvalidData("label.none_decided", people=order["people"])
        names = [column.name for column in scope.task.columns]
        rows = []
        for row, item in _items(scope, decided).items():
            fields = dict(item) if isinstance(item, Mapping) else {names[0]: item}
            rows.append({"id": row, **fields, "label": decided[row]})
        roles = {name: name for name in rows[0]}
        added = self._add(rows, columns=roles, relabel=True)
        scope.store.catalog.note("label.collect", scope.name, {"rows": len(rows)})
        return added


def _say(scope: Scope, row: str, label: Any, who: str) -> None:
    order, family = _order(scope), scope.task.family
    target = family.target(label)
    if target is None:
        raise InvalidData("label.nothing", row=row)
    unknown = [name for name in family.names([target]) if name not in order["labels"]]
    if unknown:
        raise InvalidData("label.unknown", given=unknown, options=order["labels"])
    vote = {"row": row, "who": who, "label": target, "at": datetime.now(UTC).isoformat()}
    scope.store.catalog.set_setting(_vote_key(scope, row, who), vote)


def _all_decided(
    order: Mapping[str, Any], votes: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    return {row: label for row, said in votes.items() if (label := _decided(order, said))}


def _decided(order: Mapping[str, Any], said: Mapping[str, str]) -> str | None:
    """What counts for a row: a decision, or what more than half of enough people say."""
    if _DECISION in said:
        return said[_DECISION]
    if len(said) < order["people"]:
        return None
    label, count = Counter(said.values()).most_common(1)[0]
    return label if 2 * count > len(said) else None


def _kappas(votes: Mapping[str, Mapping[str, str]], people: Sequence[str]) -> dict[str, float]:
    found = {}
    for place, one in enumerate(people[:6]):
        for other in people[place + 1 : 6]:
            both = [said for said in votes.values() if one in said and other in said]
            value = cohen_kappa([said[one] for said in both], [said[other] for said in both])
            if value is not None:
                found[f"{_person(one)} – {_person(other)}"] = value
    return found


def _person(who: str) -> str:
    return who.partition(":")[2] or who


def _drawn(scope: Scope) -> list[tuple[str, Item]]:
    data = dataset(scope, _order(scope)["corpus"])
    rows = ((one.row_id, one.item) for one in data.examples())
    return heapq.nsmallest(_DRAWN, rows, key=lambda row: hashlib.sha256(row[0].encode()).digest())


def _items(scope: Scope, rows: Any) -> dict[str, Item]:
    wanted = set(rows)
    if not wanted:
        return {}
    data = dataset(scope, _order(scope)["corpus"])
    return {one.row_id: one.item for one in data.examples() if one.row_id in wanted}


def _votes(scope: Scope) -> dict[str, dict[str, str]]:
    """What was said: by row, by person."""
    found: dict[str, dict[str, str]] = {}
    for vote in scope.store.catalog.settings(_prefix(scope)).values():
        if vote:  # one that was taken back is empty
            found.setdefault(vote["row"], {})[vote["who"]] = vote["label"]
    return found


def forget_votes(scope: Scope, rows: Sequence[str]) -> None:
    """Forgets what was said of these rows, in every corpus: they were erased."""
    gone, catalog = set(rows), scope.store.catalog
    for key, vote in catalog.settings(f"vote:{scope.name}:").items():
        if vote and vote["row"] in gone:
            catalog.set_setting(key, {})


def _take_back(scope: Scope, row: str, who: str) -> bool:
    key, catalog = _vote_key(scope, row, who), scope.store.catalog
    there = bool(catalog.setting(key))
    if there:
        catalog.set_setting(key, {})
    return there


def _order(scope: Scope) -> dict[str, Any]:
    order: dict[str, Any] | None = scope.store.catalog.setting(_key(scope))
    if order is None:
        raise NotFound("label.not_begun", project=scope.called)
    return order


def _key(scope: Scope) -> str:
    return f"labelling:{scope.name}"


def _prefix(scope: Scope) -> str:
    return f"vote:{_order(scope)['corpus']}:"


def _vote_key(scope: Scope, row: str, who: str) -> str:
    return _prefix(scope) + hashlib.sha256(f"{row}\0{who}".encode()).hexdigest()[:32]
