"""The verbs of a project that judge by other means than its test rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.errors import UsageError
from feilun.project.base import ProjectBase
from feilun.project.scope import Report

if TYPE_CHECKING:
    from feilun.project.guarding import GuardRates
    from feilun.project.judging import Judged
    from feilun.project.preference import Preferences
    from feilun.project.reviewed import Reviews
    from feilun.project.runs_beside import RunsBeside
    from feilun.project.suites import SuiteScores

__all__ = ["JudgingVerbs"]


class JudgingVerbs(ProjectBase):
    """Public suites, people and a larger model as judges, the guard's rates, runs side by side."""

    @property
    def preference(self) -> Preferences:
        """Two versions' answers to the same prompts before people, who prefer one: begin it with
        `start`, ask people by `queue`, look at `state`."""
        from feilun.project.preference import Preferences

        return Preferences(self.scope)

    def reviews(self) -> Reviews:
        """What people found of each version's answers: how many they accepted, edited and rejected,
        and for which reasons."""
        from feilun.project.reviewed import reviews

        return reviews(self.scope.context())

    def compare_runs(self, *runs: str, baseline: str | None = None) -> RunsBeside:
        """Runs (ids) side by side with `baseline`, by default the pinned one, else the first: time,
        scores with their intervals, settings that differ. Raises `UsageError` for none and for too
        many, `NotFound`."""
        from feilun.project.runs_beside import beside

        return beside(self.scope, runs, baseline)

    def pin_run(self, run: str | None) -> None:
        """Makes a run the baseline of comparisons; None: no run is. Raises `NotFound`."""
        from feilun.project.runs_beside import pin

        pin(self.scope, run)

    def suite(
        self,
        suite: str,
        data: Path | str | None,
        model: str | None = None,
        *,
        method: str | None = None,
        report: Report | None = None,
    ) -> SuiteScores:
        """Runs a public suite on the files of the folder `data`: ``clue`` trains the project's base
        (by `method`, as ``run`` would) on each of CLUE's tasks that are there and judges it by the
        dev file; ``lm`` asks a version for the likelihood of answers (HellaSwag, ARC, PIQA,
        WinoGrande, LAMBADA) or of plain texts, and its base beside it. Nothing of it is kept."""
        from feilun.project import suites

        version = self.scope.version(model) if suite == "lm" else None
        opened = type(self.workspace)
        return suites.run(self.scope.context(report), version, suite, data, method, opened)

    def judge(
        self,
        address: str,
        model: str | None = None,
        *,
        judge_model: str,
        against: str | None = None,
        rows: int = 50,
        price: tuple[float, float] | None = None,
        report: Report | None = None,
    ) -> Judged:
        """Has a larger model compare the answers of two versions (`model`, by default the newest,
        and `against`, by default the live one, or the one before it) to at most `rows` test
        questions, each pair in both orders. `address` is that of any server that speaks OpenAI's
        chat completions, `judge_model` the model's name there; its key stands in the environment
        variable ``FEILUN_JUDGE_KEY``. Answers that people have corrected, or preferred to others
        (`preference`), show how far it agrees with them. `price` is that of a million tokens read
        and written."""
        from feilun.project import judging

        if rows < 1:
            raise UsageError("project.judge_rows", rows=rows)
        one = self.scope.version(model or "latest")
        other = self.scope.version_beside(one.id, against)
        context = self.scope.context(report)
        return judging.judge(self.scope, context, one, other, address, judge_model, rows, price)

    def guard_rates(self, on: Any) -> GuardRates:
        """How much of what has to be stopped ``[guard]`` catches, and how often it stops what may
        pass, on the labelled rows of the file `on` (or rows at hand)."""
        from feilun.project import guarding

        return guarding.guard_rates(self.scope.context(), on)
