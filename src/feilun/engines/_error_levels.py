"""How much a version errs of late in each series, by which the intervals of its forecasts widen and
narrow.

An error is looked at in units of what was usual on the validation rows, and a quantile of such
errors calibrates (locally weighted conformal prediction: Lei and others, 2018,
"Distribution-Free Predictive Inference for Regression"). What is usual is followed from one origin
to the next, as in conformal prediction for time series (Gibbs and Candès, 2021, "Adaptive Conformal
Inference Under Distribution Shift"; Xu and Xie, 2021): at each origin, by the errors of what was
said at the origins before it, whose values are known by then. Nothing after an origin counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from feilun.errors import CorruptArtifact
from feilun.modalities.series.state import SeriesState

__all__ = ["Levels"]

_FILE = "levels.safetensors"
_FADES = 0.6
"""What the errors before the newest origin count beside those after it. On nine other sets than the
benchmark's, .35 to .7 were alike."""
_BOUNDS = (0.5, 10.0)
"""A few good forecasts are no reason for an interval of nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """The level of the errors at each origin of evaluation, as a multiple of the usual one:
    ``values[begins[i] + k]`` at the k-th origin of series i, float64."""

    begins: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, state: SeriesState, errors: np.ndarray, usual: float) -> Levels:
        """From the `errors` of every value in `state`, in units of its series' scale and NaN where
        nothing was forecast, and the `usual` one."""
        values: list[float] = []
        begins = [0]
        for series, (anchor, length) in enumerate(
            zip(state.anchors.tolist(), state.lengths.tolist(), strict=True)
        ):
            begin = int(state.begins[series])
            level = usual
            values.append(level)
            for start in range(anchor, length, state.horizon):
                part = errors[begin + start : begin + min(start + state.horizon, length)]
                known = part[~np.isnan(part)]
                if len(known):
                    level = _FADES * level + (1 - _FADES) * float(known.mean())
                values.append(level)
            begins.append(len(values))
        found = np.array(values) / usual if usual > 0 else np.ones(len(values))
        return cls(np.array(begins, np.int64), np.clip(found, *_BOUNDS))

    def at(self, state: SeriesState, series: np.ndarray, origins: np.ndarray) -> np.ndarray:
        """The levels for forecasts from `origins` in `series` (places in `state`), float64; 1
        before evaluation begins."""
        place = -(-(origins - state.anchors[series]) // state.horizon)
        last = np.diff(self.begins)[series] - 1
        found = self.values[self.begins[series] + np.clip(place, 0, last)]
        return np.where(place < 0, 1.0, found)

    def save(self, folder: Path) -> None:
        """Writes what `read` reads."""
        from safetensors.numpy import save_file

        save_file({"begins": self.begins, "values": self.values}, folder / _FILE)

    @classmethod
    def read(cls, folder: Path, state: SeriesState) -> Levels | None:
        """The levels in `folder`; None of a version from before there were any. Raises
        `CorruptArtifact` where they are not whole."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        file = folder / _FILE
        if not file.exists():
            return None
        try:
            held = load_file(file)
            found = cls(held["begins"], held["values"])
        except (OSError, KeyError, SafetensorError) as error:
            raise CorruptArtifact("engines.bad_weights", file=file, reason=repr(error)) from None
        if len(found.begins) != len(state.names) + 1 or found.begins[-1] != len(found.values):
            reason = f"{len(found.begins)} of {len(state.names)} series"
            raise CorruptArtifact("engines.bad_weights", file=file, reason=reason)
        return found
