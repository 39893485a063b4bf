"""What may be learned now, what a person must look at first, and what waits for the next update.

Trust goes operator, reviewer, customer: the house is always learned, and its word on the very same
input settles it. Of customers' words those are held back that come from a suspected key, that
contradict another customer or the house on the same or nearly the same input, or that would change
a row which the house brought. What is then left of one customer is cut to a share of the update.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from feilun.feedback.alike import fingerprint, neighbours, text_of
from feilun.feedback.to_data import Learned, Unit, examples_of
from feilun.feedback.trust import SURE, Suspect, suspects
from feilun.store.drawn import DRAWN, SOURCE
from feilun.store.ledger import Ledger
from feilun.store.ledger_records import LabelledPrediction
from feilun.types import Item

__all__ = ["NEARLY", "Held", "Known", "Reason", "Triaged", "share_limit", "triage"]

Reason = Literal["suspect", "conflict", "row"]

NEARLY = 0.9
"""Cosine similarity of character trigrams from which two texts may not have different labels
without a person's word."""

Known = Callable[[Item], "tuple[str, str, str] | None"]
"""The label, source and subject of the row that a data version has for this content."""


@dataclass(frozen=True, slots=True)
class Held:
    """Feedback that a person must look at before it is learned, and why: its key is a `suspect`,
    it stands in `conflict` with another word (`against`), or contradicts a `row` of the data."""

    said: LabelledPrediction
    reason: Reason
    suspect: Suspect | None = None
    against: str | None = None


@dataclass(frozen=True, slots=True)
class Triaged:
    """`learned` now; `held` for review; `suspects` among the keys; and `over`: rows that each
    customer has beyond its share, which wait for the next update."""

    learned: tuple[Learned, ...]
    held: tuple[Held, ...]
    suspects: tuple[Suspect, ...]
    over: dict[str, int]


def triage(
    ledger: Ledger,
    project: str,
    *,
    max_share: float = 1.0,
    floor: int = 1,
    train_rows: int = 1 << 31,
    known: Known = lambda item: None,
    unit: Unit = "input",
) -> Triaged:
    """Divides the feedback of `project` that no data version has learned yet.

    See `share_limit` for the share. Only where each different input is the `unit` may one piece
    of feedback contradict another or a row that is there. Deterministic; memory grows with the
    feedback that waits.
    """
    said = list(ledger.feedback(project, unused_only=True))
    since = min((one.prediction.created for one in said if one.prediction.created), default=None)
    found = suspects(*(ledger.annotators(project, since, sure) for sure in SURE)) if said else []
    by_key = {(one.customer, one.key_id): one for one in found}
    held: list[Held] = []
    free: list[LabelledPrediction] = []
    for one in said:
        suspect = by_key.get(
            (one.prediction.customer, one.feedback.key_id or one.prediction.key_id)
        )
        if one.feedback.source == "customer" and suspect is not None:
            held.append(Held(one, "suspect", suspect))
        else:
            free.append(one)
    torn = _conflicts(free) if unit == "input" else {}
    sound = []
    for one in free:
        against = torn.get(one.feedback.id)
        if against is not None:
            held.append(Held(one, "conflict", against=against))
        elif unit == "input" and (label := _changes_row(one, known)) is not None:
            held.append(Held(one, "row", against=label))
        else:
            sound.append(one)
    drawn = ledger.audited_answers(project)
    learned, over = _shared(examples_of(sound, drawn, unit), max_share, floor, train_rows)
    return Triaged(tuple(learned), tuple(held), tuple(found), over)


def _conflicts(said: Sequence[LabelledPrediction]) -> dict[str, str]:
    """Ids of customers' words that somebody else contradicts, with what the other says. A house's
    word on exactly the same input is no conflict: it decides."""
    words: dict[str, list[int]] = {}
    for place, one in enumerate(said):
        words.setdefault(fingerprint(one.prediction.input), []).append(place)
    groups = list(words.values())
    near = neighbours([_wording(said[group[0]].prediction.input) for group in groups], NEARLY)
    found: dict[str, str] = {}
    for place, group in enumerate(groups):
        if all(said[at].feedback.source == "customer" for at in group):
            _tear(said, group, group, found)
        for other in near[place]:
            _tear(said, group, groups[other], found)
    return found


def _wording(item: Item) -> str:
    """The text by which an input is nearly another one; nothing where it holds figures too, whose
    words are like those of many others."""
    values = item.values() if isinstance(item, Mapping) else (item,)
    return text_of(item) if all(isinstance(value, str) for value in values) else ""


def _tear(
    said: Sequence[LabelledPrediction],
    first: Sequence[int],
    second: Sequence[int],
    found: dict[str, str],
) -> None:
    for left in first:
        for right in second:
            one, other = said[left], said[right]
            if one.feedback.label == other.feedback.label or _who(one) == _who(other):
                continue
            for mine, theirs in ((one, other), (other, one)):
                if mine.feedback.source == "customer":
                    found.setdefault(mine.feedback.id, theirs.feedback.label)


def _who(one: LabelledPrediction) -> str | None:
    return one.prediction.customer if one.feedback.source == "customer" else ""


def _changes_row(one: LabelledPrediction, known: Known) -> str | None:
    """The label of the row that a customer's word would change, unless the row is his own."""
    if one.feedback.source != "customer":
        return None
    row = known(one.prediction.input)
    if row is None or row[0] == one.feedback.label:
        return None
    label, source, subject = row
    own = source in (SOURCE, DRAWN)
    return None if own and subject == (one.prediction.customer or "") else label


def _shared(
    learned: list[Learned], max_share: float, floor: int, train_rows: int
) -> tuple[list[Learned], dict[str, int]]:
    """Each customer's oldest rows up to the limit; the number of the others by customer."""
    counts = Counter(one.example.subject for one in learned if one.source == "customer")
    house = len(learned) - counts.total()
    limit = share_limit(list(counts.values()), house, max_share, floor, train_rows)
    taken: Counter[str] = Counter()
    kept = []
    for one in learned:
        if one.source == "customer":
            taken[one.example.subject] += 1
            if taken[one.example.subject] > limit:
                continue
        kept.append(one)
    return kept, {who: count - limit for who, count in sorted(counts.items()) if count > limit}


def share_limit(
    counts: Sequence[int], house: int, max_share: float, floor: int, train_rows: int
) -> int:
    """How many rows each customer may bring to one update, where they have `counts` and the house
    brings `house`.

    From two customers on, `max_share` of the update's rows; where there are too few customers for
    that, half as much again as an equal part (of two: three quarters), since honest customers are
    never equal. A single customer may bring `max_share` of the training rows. In no case fewer
    than `floor`: an update that is worth its while must be possible.
    """
    if len(counts) < 2:
        return max(floor, int(max_share * train_rows))
    share = max_share if len(counts) * max_share > 1 else min(1.0, 1.5 / len(counts))
    limit = max(counts)
    while True:
        total = house + sum(min(count, limit) for count in counts)
        least = max(floor, int(share * total + 1e-9))
        if least >= limit:
            return limit
        limit = least
