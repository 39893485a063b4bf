"""Whose corrections look wrong: keys that contradict, or label, far more than can be explained.

An honest customer corrects wrong answers. So of the answers that the model was sure of, he should
contradict about as many as are wrong: what the calibrated scores say, or what the others find. A
key that contradicts far more is either hostile or asks about something that the model never
learned; both want a person's eye before anything is trained on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from feilun.store.ledger_records import AnnotatorStatistics

__all__ = ["SURE", "Suspect", "suspects"]

SURE = (0.8, 0.95)
"""The scores from which an answer counts as sure: the first has more answers, the second fewer that
are honestly wrong, so that a key which turns only a part of its labels round stands out."""

_RISK = 0.001  # that any honest key is suspected in an update, divided among the keys
_FLOOR = 0.03  # no model is righter than this about its sure answers
_MORE = 2.5  # times what was expected; less is not "far more", however certain
_MORE_THAN_OTHERS = 1.5
_MOST = 3.0  # how far the others can raise what is expected: they may be hostile too
_SPREAD = 0.02  # how much honest customers differ (the correlation of a beta-binomial)
_LEAST_AGAINST = 8
_LEAST_SURE = 20
_LEAST_LABELS = 50
_BURST = 3.0
_PAST_LABELS = 20


@dataclass(frozen=True, slots=True)
class Suspect:
    """A key whose corrections go to review: why (``contradicts``, ``turned`` against its own
    history, ``burst`` of labels), the share that was seen and the one that was expected, both of
    `of` answers, and the chance of it."""

    customer: str | None
    key_id: str | None
    why: Literal["contradicts", "turned", "burst"]
    labels: int
    count: int
    of: int
    expected: float
    chance: float


def suspects(*tiers: Sequence[AnnotatorStatistics]) -> list[Suspect]:
    """The keys to suspect, in the order of the voices. The same figures give the same answer.

    Each of `tiers` holds the same voices, counted with another score for a sure answer.

    The chance that any honest key is among them is kept at 1 in 1,000 by Bonferroni's correction,
    as long as honest customers differ no more than a beta-binomial with correlation .02 allows.
    """
    speaking = [voice for voice in tiers[0] if voice.labels]
    if not speaking:
        return []
    risk = _RISK / ((len(tiers) + 2) * len(speaking))
    found = []
    for voice in speaking:
        others = [other for other in tiers[0] if other.customer != voice.customer]
        one = next(filter(None, (_contradicts(voice, tier, risk) for tier in tiers)), None)
        one = one or _turned(voice, risk) or _burst(voice, others, risk)
        if one is not None:
            found.append(one)
    return found


def _contradicts(
    who: AnnotatorStatistics, tier: Sequence[AnnotatorStatistics], risk: float
) -> Suspect | None:
    """Contradicts more sure answers than their scores and the other customers explain."""
    mine = [other for other in tier if other.customer == who.customer]
    others = [other for other in tier if other.customer != who.customer]
    voice = next(other for other in mine if other.key_id == who.key_id)
    count = voice.contradicted
    # A key may label what another key of its customer asked.
    base = voice if voice.sure >= count else None
    of = base.sure if base else max(count, sum(one.sure for one in mine))
    if count < _LEAST_AGAINST or not of:
        return None
    doubt = base.expected if base else sum(one.expected for one in mine)
    own = max(_FLOOR, doubt / of)
    heard = [other for other in others if other.labels and other.sure >= _LEAST_SURE]
    theirs = sum(o.contradicted for o in heard) / max(1, sum(o.sure for o in heard))
    expected = min(max(own, theirs), _MOST * own)
    if count / of < max(_MORE * own, _MORE_THAN_OTHERS * expected):
        return None
    chance = _tail(count, of, expected)
    if chance > risk:
        return None
    return _suspect(voice, "contradicts", count, of, expected, chance)


def _turned(voice: AnnotatorStatistics, risk: float) -> Suspect | None:
    """Contradicts sure answers far more than it used to."""
    if (
        voice.past_sure < _LEAST_SURE
        or voice.contradicted < _LEAST_AGAINST
        or not voice.past_labels
    ):
        return None
    of = max(voice.sure, voice.contradicted)
    before = voice.past_contradicted / max(voice.past_sure, voice.past_contradicted)
    expected = max(before, voice.expected / max(1, voice.sure), _FLOOR)
    if voice.contradicted / of < _MORE * expected:
        return None
    chance = _fisher(
        voice.contradicted,
        of,
        voice.past_contradicted,
        max(voice.past_sure, voice.past_contradicted),
    )
    if chance > risk:
        return None
    return _suspect(voice, "turned", voice.contradicted, of, expected, chance)


def _burst(
    voice: AnnotatorStatistics, others: Sequence[AnnotatorStatistics], risk: float
) -> Suspect | None:
    """Labels a far larger share of its answers than before; without a history, than the most
    diligent of at least two others."""
    of = max(voice.answers, voice.labels)
    if voice.labels < _LEAST_LABELS:
        return None
    if voice.past_labels >= _PAST_LABELS:
        count, total = voice.past_labels, max(voice.past_answers, voice.past_labels)
    else:
        heard = [o for o in others if o.answers >= _LEAST_LABELS and o.labels]
        if len({other.customer for other in heard}) < 2:
            return None
        most = max(heard, key=lambda o: (o.labels / o.answers, o.labels))
        count, total = most.labels, max(most.answers, most.labels)
    expected = count / total
    if voice.labels / of < _BURST * expected:
        return None
    chance = _fisher(voice.labels, of, count, total)
    if chance > risk:
        return None
    return _suspect(voice, "burst", voice.labels, of, expected, chance)


def _suspect(
    voice: AnnotatorStatistics,
    why: Literal["contradicts", "turned", "burst"],
    count: int,
    of: int,
    expected: float,
    chance: float,
) -> Suspect:
    return Suspect(
        voice.customer, voice.key_id, why, voice.labels, count, of, float(expected), float(chance)
    )


def _tail(count: int, of: int, expected: float) -> float:
    """The chance of `count` or more of `of`, where customers differ."""
    from scipy.stats import betabinom

    share = min(0.99, expected)
    strength = 1 / _SPREAD - 1
    return float(betabinom.sf(count - 1, of, share * strength, (1 - share) * strength))


def _fisher(count: int, of: int, past: int, past_of: int) -> float:
    """Fisher's exact test, one-sided: the first share is not larger than the second."""
    from scipy.stats import hypergeom

    return float(hypergeom.sf(count - 1, of + past_of, count + past, of))
