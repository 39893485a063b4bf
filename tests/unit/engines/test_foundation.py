"""Forecasts by a pretrained network: what transformers says, from whatever origin it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun import messages
from feilun.config import DataConfig
from feilun.data.sources.base import Held, Source
from feilun.data.versions import build
from feilun.engines.base import open_engine
from feilun.engines.card import read_card
from feilun.engines.forecasts import Forecaster, forecaster
from feilun.errors import FeilunError, InvalidData
from feilun.modalities.series.state import SeriesState, build_series
from feilun.project import Workspace
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.training.job import TrainJob
from feilun.training.settings import method
from helpers.bert import write_bert

KINDS = ("timesfm", "timesfm2_5")
READS, SAYS = 64, 16
LENGTHS = {"a": 200, "b": 90}
SHAPE: dict[str, Any] = {
    "patch_length": 8,
    "context_length": READS,
    "horizon_length": SAYS,
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "intermediate_size": 16,
    "head_dim": 8,
    "num_attention_heads": 2,
    "initializer_range": 0.3,
}


def _network(kind: str) -> Any:
    import torch
    from transformers import (
        TimesFm2_5Config,
        TimesFm2_5ModelForPrediction,
        TimesFmConfig,
        TimesFmModelForPrediction,
    )

    torch.manual_seed(0)
    if kind == "timesfm":
        return TimesFmModelForPrediction(TimesFmConfig(**SHAPE)).eval()
    more = {"output_quantile_len": SAYS, "num_key_value_heads": 2, "max_position_embeddings": READS}
    return TimesFm2_5ModelForPrediction(TimesFm2_5Config(**SHAPE, **more)).eval()


@pytest.fixture(scope="module")
def rows() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {
        name: 300 + 40 * np.sin(np.arange(size) / 3) + draw.normal(0, 5, size)
        for name, size in LENGTHS.items()
    }


@pytest.fixture(scope="module")
def data(rows: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    first = np.datetime64("2025-01-06")
    held = [
        {"shop": name, "day": str(first + step), "sales": float(value)}
        for name, values in rows.items()
        for step, value in enumerate(values)
    ]
    out = tmp_path_factory.mktemp("rows") / "data"
    build([Source(Held(held))], task=tasks.get("forecasting"), settings=DataConfig(), out=out)
    return Dataset(out)


def _trained(data: Dataset, folder: Path, given: Path, previous: Path | None = None) -> Path:
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir(parents=True)
    scratch.mkdir()
    job = TrainJob("foundation", "forecasting", data.folder, given, out, scratch, previous=previous,
                   task_settings=data.schema.settings)  # fmt: skip
    chosen = method("foundation")
    chosen.train(job, chosen.Settings(), lambda progress: None)
    return out


@pytest.fixture(scope="module", params=KINDS)
def version(
    request: pytest.FixtureRequest, data: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Path]:
    """A network, and a version that was made with it."""
    folder = tmp_path_factory.mktemp(request.param)
    network = _network(request.param)
    network.save_pretrained(folder / "base")
    return network, _trained(data, folder, folder / "base")


def _said(network: Any, values: np.ndarray) -> np.ndarray:
    """The next values by transformers alone, in the units of the data."""
    import torch

    given = torch.from_numpy(values[-READS:]).float()
    with torch.inference_mode():
        found = network(past_values=[given]).mean_predictions[0]
    return np.asarray(found.double().numpy())


def _asked(folder: Path, data: Dataset, *given: dict[str, Any]) -> list[float]:
    task = tasks.of(data.schema)
    items = [item for one in given for item in task.expand(task.check(one))]
    engine = open_engine(folder)
    try:
        return [one["value"] for one in engine.predict(items)]
    finally:
        engine.close()


def test_it_says_what_the_network_says_and_goes_on_after_it(
    version: tuple[Any, Path], data: Dataset, rows: dict[str, np.ndarray]
) -> None:
    network, folder = version
    steps = SAYS + 5
    found = _asked(folder, data, *({"series": name, "horizon": steps} for name in LENGTHS))
    for place, name in enumerate(LENGTHS):
        mine = np.array(found[place * steps : (place + 1) * steps])
        first = _said(network, rows[name])
        then = _said(network, np.concatenate([rows[name], first]))
        wanted = np.maximum(np.concatenate([first, then])[:steps], 0)  # never below, as its values
        assert np.ptp(wanted) > 1
        assert mine == pytest.approx(wanted, abs=0.02)


def test_values_that_come_with_a_call_are_read_alone(
    version: tuple[Any, Path], data: Dataset, rows: dict[str, np.ndarray]
) -> None:
    network, folder = version
    brought = [float(value) for value in rows["a"][:21]]
    new = {"series": "new", "horizon": 4, "history": brought, "start": "2025-01-06"}
    said = _asked(folder, data, {"series": "b", "horizon": 4}, new)
    assert said[4:] == pytest.approx(_said(network, rows["a"][:21])[:4], abs=0.02)
    assert said[:4] == pytest.approx(_asked(folder, data, {"series": "b", "horizon": 4}), abs=1e-6)


def _opened(folder: Path, state: SeriesState) -> Forecaster:
    return forecaster(folder, read_card(folder), state)


def test_nothing_after_an_origin_is_read_and_nothing_below_zero_is_said(
    version: tuple[Any, Path],
) -> None:
    _, folder = version
    values = np.abs(np.random.default_rng(1).normal(0, 1, 80)) ** 3
    said = []
    for end in (1.0, 50.0):
        given = np.concatenate([values[:72], values[72:] * end])
        state = build_series(["a"] * 80, np.arange(80) * 86_400.0, given, np.arange(80) < 64,
                             frequency="day", season=1, horizon=8).state  # fmt: skip
        steps = np.arange(72, 80)
        series = np.zeros(8, np.int64)
        origins = state.origins(series, steps)
        assert origins.tolist() == [72] * 8
        said.append(_opened(folder, state)(state, series, steps, origins, np.zeros((8, 0))))
    assert (said[0] == said[1]).all()
    assert said[0].min() >= 0.0


def test_an_update_goes_on_with_the_copy_that_a_version_holds(
    version: tuple[Any, Path], data: Dataset, tmp_path: Path
) -> None:
    _, folder = version
    assert method("foundation").supports(tasks.get("forecasting"), folder) is None
    newer = _trained(data, tmp_path, tmp_path / "gone", previous=folder)
    asked = {"series": "a", "horizon": 3}
    assert _asked(newer, data, asked) == _asked(folder, data, asked)


def test_a_base_that_forecasts_nothing_is_refused_by_its_kind(
    data: Dataset, tmp_path: Path
) -> None:
    base = write_bert(tmp_path / "bert")
    for lang in ("en", "zh"):
        messages.use(lang)  # type: ignore[arg-type]
        assert "bert" in str(method("foundation").supports(tasks.get("forecasting"), base))
    messages.use("en")
    with Workspace(tmp_path / "w") as workspace:
        project = workspace.init("p", task="forecasting", base=str(base))
        project.add([{"day": f"2025-01-{1 + n:02}", "sales": n % 7} for n in range(30)])
        for named in ("auto", "foundation"):
            with pytest.raises(FeilunError) as refused:
                project.run(method=named)
            assert isinstance(refused.value, InvalidData)
            assert refused.value.code == "forecasts.no_network"
            assert "bert" in refused.value.message()
            assert "timesfm2_5" in refused.value.hint()
