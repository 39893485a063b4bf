"""A look ahead: how many more labels a gain would take, to learn it and to prove it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from feilun.errors import UsageError
from feilun.evaluation.forecast import FARTHEST
from feilun.messages import t
from feilun.pipeline.context import Context
from feilun.pipeline.steps.forecast import Ahead, forecast
from feilun.table import Result, Table, to_jsonable

if TYPE_CHECKING:
    from feilun.store.records import ModelVersion

__all__ = ["ForecastView", "look"]


@dataclass(frozen=True)
class ForecastView(Result):
    """What was found for a project; `version` is the one that the gain is counted from."""

    project: str
    version: str | None
    found: Ahead

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = to_jsonable(asdict(self.found))
        return {"project": self.project, "version": self.version, **plain}

    def tables(self) -> Sequence[Table]:
        found = self.found
        rows = [[f"{rows:,}", f"{100 * right:.1f}%"] for rows, right in found.curve]
        title = t("forecast.title", project=self.project, rows=found.rows)
        columns = [t("forecast.rows"), t("forecast.accuracy")]
        return (Table(title, columns, rows, [*_training(found), *_test(found)]),)


def look(
    context: Context, version: ModelVersion | None, gain: float | None, target: float | None
) -> ForecastView:
    """Raises `UsageError` unless exactly one of `gain` and `target`, shares from 0 to 1, is
    given."""
    aims = [aim for aim in (gain, target) if aim is not None]
    if len(aims) != 1 or not 0 < aims[0] < 1:
        raise UsageError("forecast.one_aim")
    found = forecast(context, version, gain=gain, target=target)
    return ForecastView(context.project, version.id if version else None, found)


def _training(found: Ahead) -> list[str]:
    points = f"{100 * found.gain:.1f}"
    ahead = found.found
    if found.gain <= 0:
        return [t("forecast.reached")]
    if ahead.more is None:
        return [
            t(
                "forecast.far",
                gain=points,
                times=FARTHEST,
                ceiling=f"{100 * (ahead.ceiling - ahead.now):.1f}",
            )
        ]
    said = t(
        "forecast.more",
        gain=points,
        more=f"{ahead.more:,}",
        low=f"{ahead.low or 0:,}",
        high=t("forecast.beyond") if ahead.high is None else f"{ahead.high:,}",
    )
    return [said, t("forecast.of_baseline")]


def _test(found: Ahead) -> list[str]:
    if found.test_wanted is None:
        return []
    missing = max(0, found.test_wanted - found.test_rows)
    key = "forecast.test_enough" if not missing else "forecast.test_more"
    said = t(
        key,
        gain=f"{100 * found.gain:.1f}",
        have=f"{found.test_rows:,}",
        wanted=f"{found.test_wanted:,}",
        missing=f"{missing:,}",
        apart=f"{100 * found.apart:.0f}%",
    )
    return [said, t("forecast.assumed")] if found.assumed else [said]
