"""What people found of answers: accepted, edited, rejected and why, by version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from feilun.messages import t
from feilun.metrics.intervals import wilson
from feilun.pipeline.context import Context
from feilun.project.results import percent
from feilun.store.ledger_records import Reviewed
from feilun.table import Result, Table

__all__ = ["Reviews", "VersionReviews", "reviews"]


@dataclass(frozen=True)
class VersionReviews:
    """Of `answers` of a version the house looked at `reviewed`: `accepted`, `edited` (another
    answer is right), `rejected` for `reasons`, of which each has its share with a 95 % interval.
    Of those `drawn` at random `drawn_rejected` is the share that was rejected: the others were
    chosen because they were doubtful, and tell nothing of answers at large. `customers` rejected
    answers for these reasons, and said of `customers_edited` what would be right."""

    version: str
    answers: int
    reviewed: int
    accepted: int
    edited: int
    rejected: int
    reasons: Mapping[str, Mapping[str, float]]
    drawn: int
    drawn_rejected: Mapping[str, float] | None
    customers: Mapping[str, int]
    customers_edited: int


@dataclass(frozen=True)
class Reviews(Result):
    """The `versions` whose answers people looked at, and how many `wait` for a right answer: a
    customer rejected them without one."""

    versions: Sequence[VersionReviews]
    waiting: int

    def tables(self) -> Sequence[Table]:
        if not self.versions:
            return (Table(t("review.nothing_yet"), (), ()),)
        names = ("answers", "reviewed", "accepted", "edited", "rejected", "drawn_rejected")
        rows = [
            [
                one.version,
                *(f"{getattr(one, name):,}" for name in names[:-1]),
                percent(one.drawn_rejected),
            ]
            for one in self.versions
        ]
        notes = [t("review.drawn_tell")]
        if self.waiting:
            notes.append(t("review.customers_wait", rows=self.waiting))
        columns = [t("review.version"), *(t(f"review.count_{name}") for name in names)]
        found = [Table(t("review.figures"), columns, rows, notes)]
        reasons = [
            [
                one.version,
                t(f"feedback.fault_{name}"),
                percent(one.reasons.get(name)),
                f"{one.customers.get(name, 0):,}",
            ]
            for one in self.versions
            for name in dict.fromkeys([*one.reasons, *one.customers])
        ]
        if reasons:
            columns = ["version", "reason", "of_reviewed", "customers"]
            found.append(
                Table(t("review.reasons"), [t(f"review.{name}") for name in columns], reasons)
            )
        return found


def reviews(context: Context) -> Reviews:
    """The figures of all versions of the project, the newest last."""
    ledger = context.store.ledger
    said = ledger.reviewed(context.project)
    waiting = len(ledger.rejections_to_answer(context.project, 10_000))
    order = {one.id: one.number for one in context.store.catalog.model_versions(context.project)}
    names = sorted({one.model_version for one in said}, key=lambda name: order.get(name, 0))
    found = [
        _version([one for one in said if one.model_version == name], name, answers)
        for name in names
        for answers in (ledger.answered(context.project, name)[0],)
    ]
    return Reviews(found, waiting)


def _version(said: Sequence[Reviewed], name: str, answers: int) -> VersionReviews:
    house = [one for one in said if not one.by_customer]
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    customers: Counter[str] = Counter()
    for one in house:
        counts[one.what] += one.answers
        if one.reason is not None:
            reasons[one.reason] += one.answers
    for one in said:
        if one.by_customer and one.reason is not None:
            customers[one.reason] += one.answers
    reviewed = counts.total()
    lots = sum(one.answers for one in house if one.drawn)
    bad = sum(one.answers for one in house if one.drawn and one.what == "rejected")
    return VersionReviews(
        name,
        answers,
        reviewed,
        counts["accepted"],
        counts["edited"],
        counts["rejected"],
        {reason: asdict(wilson(count, reviewed)) for reason, count in reasons.most_common()},
        lots,
        asdict(wilson(bad, lots)) if lots else None,
        dict(customers.most_common()),
        sum(one.answers for one in said if one.by_customer and one.what == "edited"),
    )
