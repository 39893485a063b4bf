"""A forecast by a network that was trained on many other series, in torch (TimesFM: Das and others,
2024, "A decoder-only foundation model for time-series forecasting"). Needs the extra `train`.

It reads the values before an origin and nothing else: neither covariates nor the other series.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from feilun.engines.card import Card
from feilun.engines.torch import set_threads
from feilun.modalities import checkpoints
from feilun.modalities.series.frequency import DAY, Frequency
from feilun.modalities.series.network import KINDS, config_of, network_of
from feilun.modalities.series.state import SeriesState

__all__ = ["Foundation", "read_at_most"]

_ROWS = 16


class Foundation:
    """Forecasts by `model`, a network of transformers, from the newest `context` values before an
    origin."""

    def __init__(self, model: Any, context: int) -> None:
        self._model, self._context = model, context
        # What was said from each origin. There are few of them: the end of a series, where a
        # version answers from, and where its evaluation begins anew.
        self._said: dict[tuple[int, int], np.ndarray] = {}

    def __call__(
        self,
        state: SeriesState,
        series: np.ndarray,
        steps: np.ndarray,
        origins: np.ndarray,
        covariates: np.ndarray,
    ) -> np.ndarray:
        """See `Forecaster`."""
        ahead = np.maximum(steps - origins, 0)
        wanted: dict[tuple[int, int], int] = {}
        keys = list(zip(series.tolist(), origins.tolist(), strict=True))
        for key, lead in zip(keys, ahead.tolist(), strict=True):
            wanted[key] = max(wanted.get(key, 0), lead + 1)
        lacking = [key for key, size in wanted.items() if len(self._said.get(key, ())) < size]
        # What is padded to one length is read together, so that an answer is that of a call alone.
        lacking.sort(key=lambda key: (self._padded(key[1]), wanted[key]))
        start = 0
        while start < len(lacking):
            length = self._padded(lacking[start][1])
            part = [key for key in lacking[start : start + _ROWS] if self._padded(key[1]) == length]
            start += len(part)
            values = [self._before(state, *key) for key in part]
            said = self._forecast(values, max(wanted[key] for key in part), state.frequency)
            self._said.update(zip(part, said, strict=True))
        found = [self._said[key][lead] for key, lead in zip(keys, ahead.tolist(), strict=True)]
        return np.array(found, np.float64)

    def of(self, state: SeriesState, place: int) -> Foundation:
        """See `Forecaster`."""
        return Foundation(self._model, self._context)

    @classmethod
    def read(cls, folder: Path, card: Card) -> Foundation:
        """The network of the version in `folder`. Raises `EnvironmentProblem` without torch,
        `InvalidData` where none can be read."""
        set_threads(folder, card, None)
        import transformers

        config = config_of(folder)
        auto = getattr(transformers, KINDS[config["model_type"]])
        model: Any = checkpoints.read(auto, network_of(folder))
        return cls(model.requires_grad_(False), read_at_most(config, card.config.get("context")))

    def _padded(self, values: int) -> int:
        """The length that so many values are padded to: whole patches."""
        patch = int(self._model.config.patch_length)
        return min(-(-values // patch) * patch, self._context)

    def _before(self, state: SeriesState, series: int, origin: int) -> np.ndarray:
        begin = int(state.begins[series])
        return state.values[begin + max(0, origin - self._context) : begin + origin]

    def _forecast(
        self, values: Sequence[np.ndarray], steps: int, frequency: Frequency
    ) -> list[np.ndarray]:
        """`steps` values after each of `values`. Where that is more than the network says at once,
        it goes on after what it said."""
        import torch

        means = np.array([one.mean() for one in values])
        spreads = np.array([one.std() or 1.0 for one in values])
        known = [
            torch.from_numpy((one - mean) / spread).float()
            for one, mean, spread in zip(values, means, spreads, strict=True)
        ]
        said = torch.zeros((len(known), 0))
        with torch.inference_mode():
            while said.shape[1] < steps:
                given = [
                    torch.cat(pair)[-self._context :] for pair in zip(known, said, strict=True)
                ]
                said = torch.cat([said, self._next(given, frequency)], dim=1)
        found = said.double().numpy() * spreads[:, None] + means[:, None]
        # A series that was never below zero is not expected there.
        return [
            np.maximum(after, 0.0) if before.min() >= 0 else after
            for before, after in zip(values, found, strict=True)
        ]

    def _next(self, given: Sequence[Any], frequency: Frequency) -> Any:
        """What the network says after each of `given`, as many values as it says at once."""
        if self._model.config.model_type == "timesfm":
            freq = [_pace(frequency)] * len(given)
            return self._model(past_values=given, freq=freq).mean_predictions
        return self._model(
            past_values=given,
            forecast_context_len=self._padded(len(given[0])),
            truncate_negative=False,  # it would look at all series of a batch for a negative value
        ).mean_predictions


def read_at_most(config: Mapping[str, Any], wanted: int | None) -> int:
    """How many values a network with this configuration reads, of the `wanted` ones (None: all that
    it can): whole patches."""
    patch, most = int(config["patch_length"]), int(config["context_length"])
    return max(1, min(wanted or most, most) // patch) * patch


def _pace(frequency: Frequency) -> int:
    """How TimesFM calls a frequency: 0 up to a day, 1 for weeks and months, 2 for longer."""
    if frequency.unit == "m":
        return 1 if frequency.size < 3 else 2
    return int(frequency.unit == "s" and frequency.size >= 7 * DAY)
