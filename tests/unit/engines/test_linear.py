"""The linear engine: what training and serving share, and how it fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_matrix

from feilun.engines.base import Engine, open_engine
from feilun.engines.linear import weigh
from feilun.errors import CorruptArtifact, EnvironmentProblem
from feilun.tasks.base import get
from feilun.types import Chunk, EngineRequest
from helpers.tiny import LABELS, linear_version, texts


@pytest.fixture
def version(tmp_path: Path) -> Path:
    return linear_version(tmp_path / "version")


def chunks(engine: Engine, request: EngineRequest) -> list[Chunk]:
    async def main() -> list[Chunk]:
        return [chunk async for chunk in engine.submit(request)]

    return asyncio.run(main())


@pytest.mark.parametrize("sparse", [True, False])
def test_weigh_multiplies_by_idf_and_gives_rows_of_length_one(sparse: bool) -> None:
    rows = np.array([[1, 0, 2], [0, 0, 0], [0, 3, 0]], np.float32)
    idf = np.array([1.0, 2.0, 3.0], np.float32)
    given = csr_matrix(rows) if sparse else rows
    weighed = weigh(given, idf)
    dense = weighed.toarray() if sparse else weighed
    expected = rows * idf
    expected[0] /= np.sqrt((expected[0] ** 2).sum())
    expected[2] /= 6
    assert np.allclose(dense, expected)
    assert dense.dtype == np.float32
    assert np.array_equal(given.toarray() if sparse else given, rows)


def test_weigh_bears_empty_rows_anywhere() -> None:
    rows = csr_matrix(([2.0], ([2], [1])), shape=(5, 4), dtype=np.float32)
    assert weigh(rows, None).toarray().sum() == 1.0
    assert weigh(csr_matrix((3, 4), dtype=np.float32), None).nnz == 0


def test_logits_are_features_times_weights(version: Path) -> None:
    engine = open_engine(version)
    items = texts(20)
    tensors = load_file(version / "weights.safetensors")
    rows = weigh(get("text-classification").features({}).transform(items), tensors["idf"])
    expected = rows @ tensors["coef"].T + tensors["intercept"]
    assert np.allclose(engine.raw(items), expected, atol=1e-5)
    assert engine.raw([]).shape == (0, 2)
    assert engine.predict([]) == []


def test_kept_columns_answer_as_all_of_them(version: Path, tmp_path: Path) -> None:
    items = texts(30)
    whole = open_engine(version).raw(items)
    tensors = load_file(version / "weights.safetensors")
    rows = get("text-classification").features({}).transform(items)
    columns = np.unique(rows.indices)
    kept = {
        "coef": np.ascontiguousarray(tensors["coef"][:, columns]),
        "idf": tensors["idf"][columns],
        "intercept": tensors["intercept"],
        "columns": columns.astype(np.int32),
    }
    small = tmp_path / "small"
    small.mkdir()
    save_file(kept, small / "weights.safetensors")
    (small / "feilun.json").write_bytes((version / "feilun.json").read_bytes())
    assert np.allclose(open_engine(small).raw(items), whole, atol=1e-5)


def test_submit_answers_as_predict_with_usage(version: Path) -> None:
    engine = open_engine(version)
    items = texts(100)
    expected = engine.predict(items, all_scores=True)
    (chunk,) = chunks(engine, EngineRequest(items, all_scores=True))
    assert [output["label"] for output in chunk.outputs] == [one["label"] for one in expected]
    assert all(set(output["scores"]) == set(LABELS) for output in chunk.outputs)
    assert chunk.usage is not None
    assert chunk.usage.inputs == 100
    assert engine.usage.inputs == 200
    assert "scores" not in chunks(engine, EngineRequest(["w1"]))[0].outputs[0]


def test_a_long_call_lets_others_through(version: Path) -> None:
    engine = open_engine(version)
    order: list[str] = []

    async def call(name: str, items: list[str]) -> None:
        async for _ in engine.submit(EngineRequest(items)):
            order.append(name)

    async def main() -> None:
        await asyncio.gather(call("long", texts(200)), call("short", ["w1 w2"]))

    asyncio.run(main())
    assert order == ["short", "long"]


def test_takes_no_call_once_closed(version: Path) -> None:
    engine = open_engine(version)
    engine.warm_up()
    engine.close()
    engine.close()
    with pytest.raises(EnvironmentProblem):
        chunks(engine, EngineRequest(["w1"]))


def test_weights_that_do_not_fit_are_named(version: Path) -> None:
    file = version / "weights.safetensors"
    tensors = load_file(file)
    save_file(tensors | {"intercept": np.zeros(3, np.float32)}, file)
    with pytest.raises(CorruptArtifact, match="2 labels"):
        open_engine(version)
    del tensors["coef"]
    save_file(tensors, file)
    with pytest.raises(CorruptArtifact, match="coef"):
        open_engine(version)
    file.write_bytes(b"not weights")
    with pytest.raises(CorruptArtifact, match=r"weights\.safetensors"):
        open_engine(version)
