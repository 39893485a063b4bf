"""Several versions as one: the weighted mean of what they state."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feilun.engines.base import open_engine
from feilun.engines.card import read_card, write_card
from feilun.engines.ensemble import EnsembleEngine
from feilun.errors import UsageError
from feilun.families.classes import CLASSES
from feilun.families.numbers import NUMBERS
from feilun.metrics.probabilities import softmax
from feilun.store.dataset import Dataset
from feilun.training import out_of_fold
from feilun.training.methods import ensemble
from feilun.types import EngineRequest
from helpers.jobs import job_for, train, write_dataset


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two linear models of different strength, the second at a temperature of its own, and what is
    made of them."""
    folder = tmp_path_factory.mktemp("ensemble")
    data = write_dataset(folder / "data")
    parts = []
    for name, strength in (("weak", 0.001), ("strong", 10.0)):
        settings = {"strength": strength, "augment": "off"}
        job = job_for("linear", data, folder / name, settings=settings)
        train(job)
        parts.append(job.out)
        rows = Dataset(data)
        engine = open_engine(job.out, threads=1)
        # A strength that is given is not looked for in folds, so that none were kept.
        out_of_fold.keep(job.out, rows.row_ids("train"), engine.raw(rows.items("train")))
        engine.close()
    write_card(parts[1], replace(read_card(parts[1]), method="other", point={"temperature": 2.0}))
    job = job_for("ensemble", data, folder / "both", members=tuple(parts))
    result = train(job)
    assert "30 validation rows and, out of fold, to 180 training rows" in result.notes[0]
    return job.out, data


def test_it_answers_with_the_mean(version: tuple[Path, Path]) -> None:
    out, data = version
    items = Dataset(data).items("test")
    engine = open_engine(out)
    assert isinstance(engine, EnsembleEngine)
    weights = engine.card.extra["weights"]
    assert sum(weights) == pytest.approx(1)
    stated = [
        softmax(one.raw(items), one.card.point.get("temperature", 1.0)) for one in engine.stages
    ]
    wanted = sum(weight * one for weight, one in zip(weights, stated, strict=True))
    assert np.allclose(softmax(engine.raw(items)), wanted, atol=1e-6)

    async def main() -> list[dict[str, object]]:
        (chunk,) = [one async for one in engine.submit(EngineRequest(items, all_scores=True))]
        assert chunk.usage is not None
        assert chunk.usage.inputs == len(items)
        return list(chunk.outputs)

    for one, other in zip(asyncio.run(main()), engine.predict(items, True), strict=True):
        assert CLASSES.differ(one, other).size < 1e-5
    engine.close()


def test_weights_follow_what_each_is_worth() -> None:
    draw = np.random.default_rng(0)
    truth = draw.normal(size=400)
    raws = [(truth + draw.normal(0, noise, 400))[:, None] for noise in (0.5, 0.5, 5.0)]
    weights = ensemble.weigh(NUMBERS, raws, truth, ())
    assert weights[0] == pytest.approx(0.5, abs=0.1)
    assert weights[1] == pytest.approx(0.5, abs=0.1)
    assert weights[2] < 0.05
    mean = NUMBERS.mean(raws, weights)[:, 0]
    assert ((mean - truth) ** 2).mean() < 0.7 * ((raws[0][:, 0] - truth) ** 2).mean()


def test_one_member_is_too_few(version: tuple[Path, Path], tmp_path: Path) -> None:
    job = job_for("ensemble", version[1], tmp_path, members=(version[0],))
    with pytest.raises(UsageError, match="two versions"):
        train(job)
