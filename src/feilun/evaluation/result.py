"""What an evaluation finds: frozen values that travel as JSON, nothing computed here.

Shares run from 0 to 1. A score that cannot be told (ROC-AUC of a class without rows) is None, in
JSON null: never NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from pydantic import TypeAdapter

from feilun.evaluation.consultations import Consultations
from feilun.families.base import Family
from feilun.messages import has
from feilun.metrics.scores import Score
from feilun.tasks import base as tasks

__all__ = [
    "ROLES",
    "UNSURE",
    "Comparison",
    "Evaluation",
    "Flip",
    "Forgetting",
    "Held",
    "Miss",
    "Modality",
    "Role",
    "Saving",
    "Slice",
]

UNSURE = 0.5
"""Up to this probability of a loss beyond the margin the rows cannot tell; above it the loss is
more likely than not."""
Role = Literal["live", "best", "below", "baseline"]
"""What a candidate is compared with: the version that answers now, the best one that was ever live
where that is another, the stage below it trained on the same rows, the cheap baseline."""
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The candidate beside another version on the same rows.

    `gain` is the paired difference of each metric, candidate minus other, turned so that above 0
    is better. `known` is the gain in the primary metric over the rows whose label the other version
    knows: the same as ``gain[primary]`` unless labels were added; `rows` are those behind it.
    `error` is its standard error and `expected` what a promotion is expected to gain, the luck of
    earlier attempts taken off (None in evaluations of before it was worked out); `grown` by how
    many times the other's training rows have become more. `drawn` is the gain over the `drawn_rows`
    of them that were drawn from what customers ask now, `folds` that over `fold_rows` training rows
    that both answered out of fold, and `weighed` that of all together; None where there are no such
    rows, and `error`, `expected` and `risk` follow from all. `risk` is the
    probability that the candidate is truly worse by more than the margin, `beyond` the same with
    the luck of earlier attempts taken off: what a cheaper version is judged by. `more_rows`
    estimates how many further test rows would prove a gain or a loss, or that it is within the
    margin (0: it is proven, None: no number can be named). `won` rows only the
    candidate has right, `lost` rows only the other. `same` tells that both gave the same
    probabilities to all rows.
    """

    role: Role
    name: str
    method: str
    rows: int
    metrics: Mapping[str, Score | None]
    gain: Mapping[str, Score]
    known: Score
    risk: float
    more_rows: int | None
    won: int
    lost: int
    new_labels: tuple[str, ...] = ()
    same: bool = False
    error: float = 0.0
    expected: float | None = None
    grown: float = 1.0
    folds: Score | None = None
    fold_rows: int = 0
    weighed: Score | None = None
    drawn: Score | None = None
    drawn_rows: int = 0
    beyond: float = 1.0

    @property
    def evidence(self) -> Score:
        """The gain by all rows that can tell it, for what customers ask now."""
        return self.known if self.weighed is None else self.weighed

    @property
    def expected_gain(self) -> float:
        """`expected`, or the gain as it was measured where nothing is taken off it."""
        return self.evidence.value if self.expected is None else self.expected

    @property
    def gains(self) -> bool:
        """Whether a gain is to be expected. Where a loss is proven, or one beyond the margin more
        likely than not by the rows alone, nothing that was held before outweighs that."""
        found = self.expected_gain
        return found > 0 and self.evidence.high >= 0 and self.risk <= UNSURE


@dataclass(frozen=True, slots=True)
class Saving:
    """What 1,000 answers cost of this machine: `cost` of the candidate's, `before` of those of the
    version that is live, both timed in turns on the same rows; in `currency`."""

    cost: float
    before: float
    currency: str

    @property
    def share(self) -> float:
        """The part of the cost that is saved; below 0 where the candidate costs more."""
        return 1 - self.cost / self.before if self.before > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Miss:
    """A row answered wrong. `text` is the input, or `image` its thumbnail as a data URI; `cut` is
    how many letters of the text are not shown. `shades` are (start, end, weight) of its words and
    `heat` the weights of a picture's squares, row by row: above 0 for the answer, below 0 for the
    truth, in log-odds; empty where they were not asked for. `stated` is the probability of the
    wrong answer, `stated_truth` that of the right one."""

    row_id: str
    truth: str
    answer: str
    stated: float
    stated_truth: float
    text: str | None = None
    image: str | None = None
    cut: int = 0
    shades: tuple[tuple[int, int, float], ...] = ()
    heat: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Slice:
    """A metric (of classes the share of right answers) on a part of the test rows: ``short``,
    ``long``, ``chinese``, ``other``, or the rows whose `column` says `name` (a source, a customer,
    a month). `limit` is the number that divides a lower part from an upper one.

    Where there is a version to compare with, `before` is its share, `gain` the paired difference
    and `p` how surprising the loss is if there is truly none, corrected for the number of parts
    (Holm); `worse` tells that it is proven and larger than the part may lose.
    """

    name: str
    rows: int
    score: Score
    limit: int | None = None
    column: str = ""
    before: Score | None = None
    gain: Score | None = None
    p: float | None = None
    worse: bool = False


@dataclass(frozen=True, slots=True)
class Modality:
    """What the candidate owes to its texts, its pictures or its other values (`name`): the primary
    metric of the same method taught by these `columns` `alone`, and what they `add` to all others
    (paired on the same rows, above 0 is better)."""

    name: str
    columns: tuple[str, ...]
    alone: Score | None
    adds: Score


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything measured of one candidate on the test rows. Metrics that `confidence` covers carry
    intervals; `validation` are the same metrics on the validation rows, which chose among models
    and therefore flatter. `is_live` tells that the candidate is the version that answers now.
    `answered_here` is the share of the rows that it answers itself where the live version passes
    them on to another server; None elsewhere. `others_here` is that share of the versions in other
    roles that pass calls on themselves. `saving` is what the candidate saves of what the live
    version's answers cost, measured where it may lose no more than the margin, and `least_saving`
    the share of it that makes up for a gain. `details` is the family's own part
    (`Family.Details`); in JSON its fields stand beside the others."""

    name: str
    method: str
    task: str
    labels: tuple[str, ...]
    primary: str
    higher_is_better: bool
    confidence: float
    margin: float
    rows: int
    unlabelled: int
    metrics: Mapping[str, Score | None]
    validation: Mapping[str, Score | None]
    validation_rows: int
    comparisons: tuple[Comparison, ...]
    misses: tuple[Miss, ...]
    missed: int
    slices: tuple[Slice, ...] = ()
    unsure: Literal["hold", "promote"] = "hold"
    slice_margin: float = 0.03
    forget_margin: float = 0.01
    consultations: Consultations = field(default_factory=Consultations)
    fresh_after: int = 20
    is_live: bool = False
    modalities: tuple[Modality, ...] = ()
    answered_here: float | None = None
    saving: Saving | None = None
    least_saving: float = 1.0
    others_here: Mapping[str, float] = field(default_factory=dict)
    details: Any = None

    @property
    def family(self) -> Family:
        """The family of the task's answers."""
        return tasks.get(self.task).family

    def sentence(self, key: str) -> str:
        """The key of the sentence as the task's family says it."""
        return self.family.sentences.get(key, key)

    def method_key(self, method: str) -> str:
        """The name under which words know `method` for what this task reads: a linear model on the
        columns of a table is called otherwise than one on texts."""
        own = f"{method}_{tasks.get(self.task).modality}"
        return own if has(f"evaluation.method_{own}") else method

    def against(self, role: Role) -> Comparison | None:
        """The comparison with the version of that role; None where there was none."""
        return next((one for one in self.comparisons if one.role == role), None)

    def compared(self) -> tuple[Comparison, ...]:
        """Each other version once, though it may have several roles (live and the stage below)."""
        first: dict[str, Comparison] = {}
        for one in self.comparisons:
            first.setdefault(one.name, one)
        return tuple(first.values())

    @property
    def within(self) -> bool:
        """Whether it is shown that the candidate loses no more than the margin, the whole interval:
        neither against the live version nor against the best one that was ever live, or a row of
        small losses would add up."""
        held = [self.against(role) for role in ("live", "best")]
        return held[0] is not None and all(
            one is None or one.beyond <= (1 - self.confidence) / 2 for one in held
        )

    @property
    def saves(self) -> bool:
        """Whether the candidate is as good as the live version and clearly cheaper."""
        enough = self.saving is not None and self.saving.share >= self.least_saving
        return enough and self.within

    def score(self) -> Score:
        """The primary metric."""
        score = self.metrics[self.primary]
        if score is None:
            raise ValueError(f"{self.primary} could not be told of {self.name}")
        return score

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal evaluation back."""
        plain: dict[str, Any] = TypeAdapter(Evaluation).dump_python(self, mode="json")
        return plain | (plain.pop("details") or {})

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Evaluation:
        """The evaluation that `to_json` wrote. Raises pydantic's `ValidationError` for others."""
        names = {one.name for one in fields(cls)}
        own = {name: value for name, value in raw.items() if name in names}
        kind = tasks.get(raw["task"]).family.Details
        rest = {name: value for name, value in raw.items() if name not in names}
        details = TypeAdapter(kind).validate_python(rest) if kind else None
        return TypeAdapter(Evaluation).validate_python({**own, "details": details})


@dataclass(frozen=True, slots=True)
class Flip:
    """A row that turned wrong: `before` and `after` are the versions' answers."""

    row_id: str
    truth: str
    before: str
    after: str
    text: str | None = None
    image: str | None = None
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """One label over the old test rows: how many the old and the new version have right, and how
    surprising a loss is if there is truly none, corrected for the number of labels."""

    label: str
    rows: int
    before: int
    after: int
    p: float | None = None


@dataclass(frozen=True, slots=True)
class Forgetting:
    """An update seen row by row: the `old` test rows, which the old version was judged on too, and
    the `fresh` ones that came since.

    `gained` rows turned right and `forgotten` rows turned wrong among the old ones. `before` and
    `after` are accuracies on them, `change` their paired difference, `risk` the probability that
    more than what an update may lose was lost, and `p` how surprising such a loss is if there is
    truly none (one-sided). None where there are no rows of the kind. `parts` are the old rows by
    the month they came in, and by the slices of the evaluation.
    """

    before_name: str
    after_name: str
    rows: int
    gained: int
    forgotten: int
    before: Score | None
    after: Score | None
    change: Score | None
    risk: float
    fresh_rows: int
    fresh_before: Score | None
    fresh_after: Score | None
    classes: tuple[Held, ...]
    examples: tuple[Flip, ...]
    parts: tuple[Slice, ...] = ()
    p: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal value back."""
        plain: dict[str, Any] = TypeAdapter(Forgetting).dump_python(self, mode="json")
        return plain

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Forgetting:
        """What `to_json` wrote. Raises pydantic's `ValidationError` for anything else."""
        return TypeAdapter(Forgetting).validate_python(raw)
