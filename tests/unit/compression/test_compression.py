"""From a version to the variant that answers: what is built, measured, chosen, and told."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feilun import messages
from feilun.compression.compress import Compression, compress
from feilun.compression.exporters.openvino import VARIANTS
from feilun.compression.measure import Sample, flips
from feilun.compression.result import Flip, VariantResult, choose
from feilun.config import CompressionConfig
from feilun.engines.base import open_engine
from feilun.engines.card import read_card, write_card
from feilun.errors import EnvironmentProblem, UsageError
from feilun.families.classes import CLASSES
from feilun.metrics.scores import Score
from feilun.types import EngineRequest, Progress
from helpers.tiny import LABELS, dataset, head_version, linear_version, schema, texts

ITEMS = texts(260)
TRAIN = 140


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return head_version(tmp_path_factory.mktemp("compress") / "version")


@pytest.fixture(scope="module")
def data(version: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels are what the float answers, but for one row in ten."""
    engine = open_engine(version)
    answers = engine.raw(ITEMS).argmax(axis=1)
    engine.close()
    labels = [LABELS[a if row % 10 else 1 - a] for row, a in enumerate(answers.tolist())]
    return dataset(tmp_path_factory.mktemp("data") / "version", ITEMS, labels, TRAIN)


@pytest.fixture(scope="module")
def told() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def made(
    version: Path, data: Path, told: list[Progress], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Compression]:
    settings = CompressionConfig(max_loss=0.05, calibration_rows=64)
    out = tmp_path_factory.mktemp("out")
    yield compress(version, data, out, settings, told.append)
    shutil.rmtree(out)


def test_builds_and_measures_every_variant(made: Compression, told: list[Progress]) -> None:
    names = [variant.name for variant in made.variants]
    assert names[0] == "fp32"
    assert "int8" in names
    float32 = made.variant("fp32")
    assert float32.score.value == pytest.approx(0.9)
    assert float32.loss == 0
    assert float32.flipped == ()
    for variant in made.variants:
        assert variant.rows == len(ITEMS) - TRAIN
        assert variant.score.low <= variant.score.value <= variant.score.high
        assert variant.latency_ms > 0
        assert variant.throughput > 0
        assert variant.bytes > 0
    weights = {name: (made.folder(name) / "model.bin").stat().st_size for name in names}
    assert weights["int8"] < weights["fp32"] / 3
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert done[-1] == 100
    assert all(progress.note for progress in told)


def test_every_variant_stands_alone(made: Compression, version: Path) -> None:
    reference = open_engine(version).raw(ITEMS)
    for variant in made.variants:
        folder = made.folder(variant.name)
        card = read_card(folder)
        assert card.format == "openvino"
        assert card.precision == variant.name
        assert card.schema == schema()
        assert card.config == {"strength": 0.1}
        engine = open_engine(folder)
        got = engine.raw(ITEMS)
        assert (got.argmax(axis=1) == reference.argmax(axis=1)).mean() > 0.9
        engine.close()


def test_int8_agrees_with_itself_under_any_batching(made: Compression) -> None:
    engine = open_engine(made.folder("int8"))
    expected = engine.predict(ITEMS)

    async def main() -> list[dict[str, object]]:
        async def one(item: str) -> dict[str, object]:
            (chunk,) = [chunk async for chunk in engine.submit(EngineRequest([item]))]
            return chunk.outputs[0]

        return await asyncio.gather(*map(one, ITEMS))

    got = asyncio.run(main())
    engine.close()
    assert [one["label"] for one in got] == [one["label"] for one in expected]
    assert all(
        one["score"] == pytest.approx(wanted["score"], abs=0.03)
        for one, wanted in zip(got, expected, strict=True)
    )


def test_the_result_is_plain_json(made: Compression) -> None:
    raw = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert raw["chosen"] == made.chosen
    assert raw["reasons"]
    int8 = raw["variants"]["int8"]
    assert int8["flips"] == len(int8["flipped"])
    assert int8["faults"] == sum(flip["fault"] for flip in int8["flipped"])
    assert int8["accuracy_score"]["value"] == int8["accuracy"]


@pytest.mark.slow
def test_prints_nothing_and_builds_the_same_bytes_again(
    version: Path, data: Path, made: Compression, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = CompressionConfig(max_loss=0.05, calibration_rows=64)
    again = compress(version, data, tmp_path, settings, lambda progress: None)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == ""
    assert again.chosen == made.chosen
    for variant in made.variants:
        first, second = (_digests(one.folder(variant.name)) for one in (made, again))
        assert first == second


def _digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def test_a_linear_version_is_its_own_variant(data: Path, tmp_path: Path) -> None:
    version = linear_version(tmp_path / "version")
    before = _digests(version)
    out = tmp_path / "out"
    out.mkdir()
    found = compress(version, data, out, CompressionConfig(), lambda progress: None)
    assert found.chosen == "linear"
    assert [variant.name for variant in found.variants] == ["linear"]
    # The pipeline writes a temperature into the chosen folder: the version must not change.
    folder = found.folder("linear")
    write_card(folder, replace(read_card(folder), point={"temperature": 2.0}))
    assert _digests(version) == before


def test_refuses_what_it_cannot_measure_or_compress(
    version: Path, made: Compression, data: Path, tmp_path: Path
) -> None:
    empty = dataset(tmp_path / "empty", ["w1"], [None], 0)
    for folder, rows in ((version, empty), (made.folder("fp32"), data)):
        with pytest.raises(UsageError):
            compress(folder, rows, tmp_path / "out", CompressionConfig(), lambda progress: None)


def test_a_version_that_cannot_be_converted_says_so(
    version: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino as ov

    def refuses(*args: object, **kwargs: object) -> None:
        raise RuntimeError("long trace\nno such operation")

    monkeypatch.setattr(ov, "convert_model", refuses)
    with pytest.raises(EnvironmentProblem, match="no such operation"):
        compress(version, data, tmp_path, CompressionConfig(), lambda progress: None)


def test_what_is_not_installed_is_named(
    version: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(EnvironmentProblem, match="NNCF"):
        compress(version, data, tmp_path / "a", CompressionConfig(), lambda progress: None)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EnvironmentProblem, match="torch"):
        compress(version, data, tmp_path / "b", CompressionConfig(), lambda progress: None)


def result(name: str, loss: float, throughput: float, size: int) -> VariantResult:
    return VariantResult(
        name, "accuracy", Score(0.9 - loss, 0, 1), loss, 1.0, throughput, size, 1000
    )


FP32 = result("fp32", 0.0, 100, 90)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ([result("int8", 0.004, 500, 23), result("bf16", 0.0, 300, 45)], "int8"),
        ([result("int8", 0.006, 500, 23), result("bf16", 0.0, 300, 45)], "bf16"),
        ([result("int8", 0.0, 220, 23), result("bf16", 0.0, 300, 45)], "int8"),
        ([result("int8", 0.0, 150, 23), result("bf16", 0.0, 300, 45)], "int8"),
        ([result("int8", 0.2, 500, 23)], "fp32"),
        ([result("int8", -0.01, 500, 23)], "int8"),
    ],
)
def test_the_cheapest_within_the_loss_is_chosen(others: list[VariantResult], chosen: str) -> None:
    name, reasons = choose([FP32, *others], 0.005, VARIANTS)
    assert name == chosen
    assert any(chosen in reason for reason in reasons)
    refused = sum(one.loss > 0.005 for one in others)
    faster = any(one.throughput > 1.25 * 150 and one.name == "bf16" for one in others)
    assert refused < len(reasons) <= refused + 1 + faster


def test_the_most_accurate_is_chosen_when_all_lose_too_much() -> None:
    variants = [result("int8", 0.2, 500, 23), result("bf16", 0.1, 300, 45)]
    name, reasons = choose(variants, 0.005, VARIANTS)
    assert name == "bf16"
    assert len(reasons) == 3
    messages.use("zh")
    assert "bf16" in choose(variants, 0.005, VARIANTS)[1][-1]


def test_flips_are_faults_only_where_the_float_was_sure() -> None:
    expected = np.array([[0.0, 0.1], [0.0, 3.0], [2.0, 0.0]], np.float32)
    got = np.array([[0.1, 0.0], [3.0, 0.0], [2.0, 0.0]], np.float32)
    found = flips(CLASSES, ["a", "b", "c"], expected, got, LABELS)
    assert [(one.row_id, one.float_label, one.label) for one in found] == [
        ("b", "good", "bad"),
        ("a", "good", "bad"),
    ]
    assert [one.fault for one in found] == [True, False]
    assert not Flip("x", "a", "b", 0.2).fault


def test_a_thinned_sample_is_spread_evenly() -> None:
    whole = Sample([str(n) for n in range(1000)], list(range(1000)), np.arange(1000))
    part = whole.thinned(101)
    assert len(part) == 101
    assert part.ids[0] == "0"
    assert part.ids[-1] == "999"
    assert list(part.items) == part.truth.tolist()
    assert max(np.diff(part.truth)) <= 11
    assert whole.thinned(5000) is whole
