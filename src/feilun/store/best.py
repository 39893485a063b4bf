"""Which of the versions that were ever live is the best one, as far as the gate's decisions tell.

A version that went live for being cheaper may lose a little. Were the next one compared with it
alone, small losses would add up. So what may be lost is counted from the version that was last
expected to gain over the best one before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from feilun.store.records import Deployment, ModelVersion

__all__ = ["ARTIFACT", "BEST", "DECISIONS", "GAIN", "OVER_BEST", "best_ever", "key"]

DECISIONS = "decisions"
"""In a version's metrics: each time that it was decided whether the version goes live, the oldest
first, with the ``report`` that says why."""
GAIN = "expected_gain"
"""In a decision: what was to be expected of the version over the live one."""
ARTIFACT = "artifact"
"""In a decision: the `key` of what was judged, the version's variant of that time."""
BEST = "best"
"""In a decision: the `key` of the best version that was ever live, None before any."""
OVER_BEST = "over_best"
"""In a decision: whether a gain over that one was to be expected, too."""


def key(artifact: str | None) -> str:
    """What decisions name an artifact by. It is no reference: a decision keeps nothing from gc."""
    return (artifact or "").partition(":")[2][:16]


def best_ever(
    history: Iterable[Deployment], versions: Mapping[str, ModelVersion]
) -> Deployment | None:
    """The best of the live deployments in `history`, the oldest first; None without any. One that
    somebody forced, or that no gate has looked at, takes the place: nothing else is known of it,
    and somebody answers for it."""
    best: Deployment | None = None
    for one in history:
        if one.role != "live" or one.version not in versions:
            continue
        decided = versions[one.version].metrics.get(DECISIONS, ())
        if best is None or one.forced or not decided or _gained(decided, one, best):
            best = one
    return best


def _gained(decided: Iterable[Mapping[str, object]], one: Deployment, best: Deployment) -> bool:
    """Whether a gate expected a gain of it over `best`. Decisions of before that was written down
    compared with the live version, which was the best one."""
    if one.artifact == best.artifact:
        return False
    for decision in decided:
        if not decision["promote"] or decision.get(ARTIFACT, key(one.artifact)) != key(
            one.artifact
        ):
            continue
        if OVER_BEST not in decision:
            if float(decision.get(GAIN) or 0.0) > 0:  # type: ignore[arg-type]
                return True
        elif decision[OVER_BEST] and decision.get(BEST) == key(best.artifact):
            return True
    return False
