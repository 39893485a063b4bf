"""What people prefer of two versions, in figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from feilun.messages import t
from feilun.metrics.agreement import cohen_kappa, krippendorff_alpha
from feilun.metrics.intervals import wilson
from feilun.project.results import percent
from feilun.table import Result, Table

__all__ = ["Preference", "figures"]

_PASSED_OVER = 0.05
"""Share of pairs that may be passed over before what is judged is no random sample any more."""


@dataclass(frozen=True)
class Preference(Result):
    """What people said of the answers of `version` and `against` to `prompts` (``calls`` or
    ``test``), drawn at random. To `equal` prompts both answered the same, and nobody is asked;
    `pairs` differ, of which `judged` have as many voices as are wanted (`people`) or more. The
    first version has `wins`, `losses` and `ties` by the mean of a pair's voices; in `bad` ties most
    found both bad. `win_rate` counts a tie half, each pair once. `first_rate` is how often who
    preferred one took what was shown first: near 50 where nobody goes by the place. `alpha` is
    Krippendorff's over pairs of several voices, `kappas` Cohen's by pairs of people. `unbiased`
    tells that the judged pairs are a random sample: hardly one was passed over. `judge` is what a
    larger model said of the same two versions (`Project.judge`). `begun` is when, in UTC."""

    version: str
    against: str
    prompts: str
    begun: str
    people: int
    equal: int
    pairs: int
    judged: int
    wins: int
    losses: int
    ties: int
    bad: int
    win_rate: Mapping[str, float] | None
    first_rate: Mapping[str, float] | None
    passed_over: int
    unbiased: bool
    voices: Mapping[str, int] = field(default_factory=dict)
    alpha: tuple[float, float, float] | None = None
    kappas: Mapping[str, float] = field(default_factory=dict)
    judge: Mapping[str, Any] | None = None

    def tables(self) -> Sequence[Table]:
        names = ("judged", "wins", "losses", "ties", "bad")
        row = [f"{self.judged:,} / {self.pairs:,}", *(f"{getattr(self, n):,}" for n in names[1:])]
        columns = [*(t(f"preference.{name}") for name in names), t("preference.win_rate")]
        title = t(f"preference.of_{self.prompts}", version=self.version, against=self.against)
        return (Table(title, columns, [[*row, percent(self.win_rate)]], self._notes()),)

    def _notes(self) -> list[str]:
        notes = [t("preference.equal", equal=self.equal, rows=self.equal + self.pairs)]
        if self.judged:
            key = "unbiased" if self.unbiased else "biased"
            notes.append(t(f"preference.{key}", passed=self.passed_over))
        if self.first_rate:
            notes.append(t("preference.first_rate", share=percent(self.first_rate)))
        if self.alpha is not None:
            value, low, high = (f"{one:.2f}" for one in self.alpha)
            notes.append(t("preference.alpha", value=value, low=low, high=high))
        for pair, kappa in self.kappas.items():
            notes.append(t("label.kappa", pair=pair) + f": {kappa:.2f}")
        if self.judge:
            rate = percent(self.judge["win_rate"])
            notes.append(t("preference.judge", judge=self.judge["judge"], rate=rate))
            if self.judge.get("agreement"):
                share = percent(self.judge["agreement"])
                notes.append(t("project.judge_agrees", share=share, people=self.judge["people"]))
        return notes


def figures(
    made: Mapping[str, Any],
    votes: Mapping[int, Mapping[str, Mapping[str, Any]]],
    judged: Mapping[str, Any] | None = None,
) -> Preference:
    """The figures of the comparison that was `made`, from what was said by pair and person."""
    done = {place: said for place, said in votes.items() if len(said) >= made["people"]}
    means = [sum(map(_worth, said.values())) / len(said) for said in done.values()]
    people = sorted({who for said in votes.values() for who in said})
    units = [[vote["said"] for vote in said.values()] for said in votes.values()]
    decided = [
        vote["first"]
        for said in votes.values()
        for vote in said.values()
        if vote["said"] in ("one", "other")
    ]
    last = max(votes, default=-1)
    passed = last + 1 - len(votes)
    bad = [
        sum(vote["said"] == "bad" for vote in said.values()) * 2 > len(said)
        for said in done.values()
    ]
    return Preference(
        version=made["version"],
        against=made["against"],
        prompts=made["prompts"],
        begun=made["at"],
        people=made["people"],
        equal=made["equal"],
        pairs=made["pairs"],
        judged=len(done),
        wins=sum(mean > 0.5 for mean in means),
        losses=sum(mean < 0.5 for mean in means),
        ties=sum(mean == 0.5 for mean in means),
        bad=sum(bad),
        win_rate=asdict(wilson(sum(means), len(means))) if means else None,
        first_rate=asdict(wilson(sum(decided), len(decided))) if decided else None,
        passed_over=passed,
        unbiased=passed <= _PASSED_OVER * (last + 1),
        voices={who: sum(who in said for said in votes.values()) for who in people},
        alpha=krippendorff_alpha(units),
        kappas=_kappas(votes, people),
        judge=judged,
    )


def _worth(vote: Mapping[str, Any]) -> float:
    """1 for the first version, 0 for the other, a half for neither."""
    return {"one": 1.0, "other": 0.0}.get(vote["said"], 0.5)


def _kappas(
    votes: Mapping[int, Mapping[str, Mapping[str, Any]]], people: Sequence[str]
) -> dict[str, float]:
    found = {}
    for place, one in enumerate(people[:6]):
        for other in people[place + 1 : 6]:
            both = [said for said in votes.values() if one in said and other in said]
            ours, theirs = ([said[who]["said"] for said in both] for who in (one, other))
            value = cohen_kappa(ours, theirs)
            if value is not None:
                found[f"{_person(one)} – {_person(other)}"] = value
    return found


def _person(who: str) -> str:
    return who.partition(":")[2] or who
