"""A forecast from lags: a linear model and boosted trees on what `Asked` shows, and how much each
counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feilun.engines.trees import lightgbm, model_file
from feilun.errors import CorruptArtifact
from feilun.modalities.series.lags import Asked
from feilun.modalities.series.state import SeriesState

__all__ = ["Lags", "standard"]

_FILE = "lags.json"
_FAR = 6.0  # spreads from the middle beyond which a number says no more to the linear model


@dataclass(frozen=True, slots=True, eq=False)
class Lags:
    """`weights` (columns + 1,) of the linear model on columns with these `means` and `spreads`,
    `boosters` whose mean counts by `share` (0 to 1), the linear model by the rest. `numeric` tells
    which covariates are amounts."""

    means: np.ndarray
    spreads: np.ndarray
    weights: np.ndarray
    boosters: Sequence[Any]
    share: float
    numeric: np.ndarray

    def __call__(
        self,
        state: SeriesState,
        series: np.ndarray,
        steps: np.ndarray,
        origins: np.ndarray,
        covariates: np.ndarray,
    ) -> np.ndarray:
        """See `Forecaster`."""
        asked = Asked(state, series, steps, origins, covariates)
        linear, trees = self.parts(asked)
        found = (1 - self.share) * linear + self.share * trees
        return np.asarray(asked.base + asked.scale * found, np.float64)

    def of(self, state: SeriesState, place: int) -> Lags:
        """See `Forecaster`: what all series taught holds for any."""
        return self

    def parts(self, asked: Asked) -> tuple[np.ndarray, np.ndarray]:
        """What the linear model and the trees say, as differences to the naive forecast."""
        if not len(asked.steps):
            return np.zeros(0), np.zeros(0)
        linear = standard(asked.linear(self.numeric), self.means, self.spreads) @ self.weights
        if not self.share or not self.boosters:
            return linear, linear
        rows = asked.rows(self.numeric)
        return linear, np.mean([one.predict(rows, num_threads=1) for one in self.boosters], axis=0)

    def save(self, folder: Path) -> None:
        """Writes ``lags.json`` and a file for each booster."""
        kept = {
            "means": self.means.tolist(),
            "spreads": self.spreads.tolist(),
            "weights": self.weights.tolist(),
            "share": self.share,
            "numeric": self.numeric.tolist(),
            "boosters": len(self.boosters),
        }
        (folder / _FILE).write_text(json.dumps(kept, sort_keys=True) + "\n", "utf-8")
        for number, booster in enumerate(self.boosters):
            booster.save_model(str(folder / model_file(number)))

    @classmethod
    def read(cls, folder: Path) -> Lags:
        """What `save` wrote. Raises `CorruptArtifact` where it is not whole."""
        package = lightgbm()
        try:
            kept = json.loads((folder / _FILE).read_text("utf-8"))
            files = [folder / model_file(number) for number in range(int(kept["boosters"]))]
            boosters = [package.Booster(model_str=file.read_text("utf-8")) for file in files]
            means, spreads, weights = (
                np.array(kept[name], np.float64) for name in ("means", "spreads", "weights")
            )
            numeric = np.array(kept["numeric"], bool)
            return cls(means, spreads, weights, boosters, float(kept["share"]), numeric)
        except (OSError, ValueError, KeyError, package.basic.LightGBMError) as error:
            raise CorruptArtifact("engines.bad_weights", file=folder, reason=repr(error)) from None


def standard(rows: np.ndarray, means: np.ndarray, spreads: np.ndarray) -> np.ndarray:
    """`rows` in units of their spread, what is missing in the middle, and a column of ones."""
    scaled = np.clip(np.nan_to_num((rows - means) / spreads), -_FAR, _FAR)
    return np.hstack([scaled, np.ones((len(rows), 1))])
