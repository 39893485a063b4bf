"""What each step changed: rows, rows of the test split among them, and three examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from feilun.data.clean.recipe import STEPS
from feilun.messages import t

__all__ = ["StepReport", "Tally", "mended_words", "step_words"]

_EXAMPLES = 3
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step did: `rows` it changed or dropped, `test` of them in the test split, of those
    `test_dropped` ones; how often what (`by`: labels, kinds of personal data), and `examples` as
    (before, after; None: dropped). Examples may hold what was masked: they are never kept."""

    step: str
    rows: int
    test: int = 0
    test_dropped: int = 0
    by: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[tuple[str, str | None], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything but the examples."""
        return {"step": self.step, "rows": self.rows, "test": self.test, "by": dict(self.by)}


class Tally:
    """Counts while rows pass."""

    def __init__(self) -> None:
        self._rows: Counter[str] = Counter()
        self._test: Counter[str] = Counter()
        self._gone: Counter[str] = Counter()
        self._by: dict[str, Counter[str]] = {}
        self._examples: dict[str, list[tuple[str, str | None]]] = {}

    def note(
        self,
        step: str,
        test: bool,
        before: str,
        after: str | None = None,
        by: Mapping[str, int] | None = None,
    ) -> None:
        """One row that `step` changed, or dropped where `after` is None."""
        self._rows[step] += 1
        self._test[step] += test
        self._gone[step] += test and after is None
        if by:
            self._by.setdefault(step, Counter()).update(by)
        shown = self._examples.setdefault(step, [])
        if len(shown) < _EXAMPLES:
            shown.append(_beside(before, after))

    def wants(self, step: str) -> bool:
        """Whether `step` has too few examples yet."""
        return len(self._examples.get(step, ())) < _EXAMPLES

    def reports(self) -> tuple[StepReport, ...]:
        """The steps that changed something, in their order."""
        return tuple(
            StepReport(
                step,
                self._rows[step],
                self._test[step],
                self._gone[step],
                dict(self._by.get(step, Counter()).most_common(20)),
                tuple(self._examples[step]),
            )
            for step in STEPS
            if self._rows[step]
        )


def _beside(before: str, after: str | None) -> tuple[str, str | None]:
    """Both, short; of long ones the part where they begin to differ."""
    before = " ".join(before.split())
    if after is None:
        return _short(before), None
    after = " ".join(after.split())
    pairs = enumerate(zip(before, after, strict=False))
    same = next((place for place, (a, b) in pairs if a != b), min(len(before), len(after)))
    begin = max(0, same - _SHOWN // 3) if max(len(before), len(after)) > _SHOWN else 0
    mark = "…" if begin else ""
    return mark + _short(before[begin:]), mark + _short(after[begin:])


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def mended_words(mended: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the recipe did to rows that came in, as a sentence; none where it did nothing."""
    return [t("clean.again", steps=step_words(mended))] if mended else []


def step_words(mended: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each step of a cleaning with the rows that it changed."""
    return [
        t("clean.again_step", name=t(f"clean.name_{step['step']}"), rows=step["rows"])
        for step in mended
    ]
