"""Search over very many documents: indexes that stay on disk, terms that are not gone through, and
vectors that are rounded before they are compared as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from feilun.engines import _index, _vectors
from feilun.engines._index import Index, best
from feilun.engines._mapped import mapped
from feilun.engines._vectors import Vectors, rounded
from feilun.engines.base import open_engine
from feilun.store.dataset import DatasetWriter
from feilun.tasks import base as tasks
from feilun.training.job import TrainJob
from feilun.types import Example, Schema
from helpers.jobs import train
from helpers.tiny import head_version

WORDS = [f"w{n}" for n in range(300)]


def _corpus(documents: int = 3000) -> list[list[str]]:
    draw = np.random.default_rng(0)
    shares = 1 / np.arange(1, len(WORDS) + 1)
    shares /= shares.sum()
    return [draw.choice(WORDS, 12, p=shares).tolist() for _ in range(documents)]


@pytest.fixture(scope="module")
def index() -> Index:
    return Index.of(" ".join(words) for words in _corpus())


@pytest.mark.parametrize("with_base", [False, True])
def test_the_nearest_are_found_without_going_through_frequent_terms(
    index: Index, monkeypatch: pytest.MonkeyPatch, with_base: bool
) -> None:
    found: list[bool] = []
    able = Index._able

    def noted(self: Index, *given: Any) -> np.ndarray | None:
        kept = able(self, *given)
        found.append(kept is not None)
        return kept

    monkeypatch.setattr(Index, "_able", noted)
    draw = np.random.default_rng(1)
    for _ in range(40):
        query = [*draw.choice(WORDS, 6).tolist(), "w0", "w0", "unknown"]
        scores = index.search(query)
        base = draw.random(index.size, dtype=np.float32) * np.float32(0.3) if with_base else None
        wanted = scores if base is None else base + np.float32(0.7) * scores
        given = (query, 5) if base is None else (query, 5, base, 0.7, -np.inf)
        places, values = index.nearest(*given)  # type: ignore[arg-type]
        assert values == pytest.approx(np.sort(wanted)[::-1][:5], abs=1e-6)
        assert wanted[places] == pytest.approx(values, abs=1e-6)
    assert sum(found) > 10


def test_nothing_is_near_to_a_query_without_known_terms(index: Index) -> None:
    places, scores = index.nearest(["unknown"], 5)
    assert len(places) == len(scores) == 0
    assert (
        index.nearest([], 5, np.ones(index.size, np.float32), 0.5, -np.inf)[1].tolist() == [1] * 5
    )


def test_an_index_is_made_in_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    texts = [" ".join(words) for words in _corpus(500)] + ["", "w1"]
    whole = Index.of(texts)
    monkeypatch.setattr(_index, "_CHUNK", 7)
    parts = Index.of(texts)
    for name, one in (("whole", whole), ("parts", parts)):
        (tmp_path / name).mkdir()
        one.write(tmp_path / name)
    first, second = ((tmp_path / n / _index.INDEX).read_bytes() for n in ("whole", "parts"))
    assert first == second


# On disk


def test_mapped_tensors_are_those_of_the_file(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    kinds = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1")
    tensors = {kind: (draw.random((3, 5)) * 100).astype(kind) for kind in kinds}
    tensors |= {"none": np.zeros((0, 4), np.float32), "yes": np.array([True, False])}
    save_file(tensors, tmp_path / "x", {"made": "here"})
    found = mapped(tmp_path / "x")
    assert set(found) == set(tensors)
    for name, wanted in tensors.items():
        assert found[name].dtype == wanted.dtype
        assert (found[name] == wanted).all()
    with pytest.raises(ValueError, match="read-only"):
        found["f4"][0, 0] = 1


@pytest.mark.parametrize("fault", ["short", "cut", "no json", "beyond", "other size"])
def test_what_is_no_file_of_tensors_is_refused(tmp_path: Path, fault: str) -> None:
    save_file({"x": np.arange(4, dtype=np.int32)}, tmp_path / "x")
    raw = (tmp_path / "x").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    head = json.loads(raw[8 : 8 + length])
    if fault == "beyond":
        head["x"]["data_offsets"] = [16, 32]
    elif fault == "other size":
        head["x"]["shape"] = [5]
    text = json.dumps(head).encode()
    made = {
        "short": raw[:5],
        "cut": raw[:-1],
        "no json": raw[:8] + b"?" * length + raw[8 + length :],
    }.get(fault, len(text).to_bytes(8, "little") + text + raw[8 + length :])
    (tmp_path / "y").write_bytes(made)
    with pytest.raises(ValueError):  # noqa: PT011  (of json, or of numpy, or our own)
        mapped(tmp_path / "y")


# Vectors


def _unit(rows: int, width: int = 48) -> np.ndarray:
    made = np.random.default_rng(2).normal(size=(rows, width)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_rounded_vectors_are_near_and_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, query = _unit(2000).astype(np.float16), _unit(1)[0]
    exact = Vectors(vectors)
    monkeypatch.setattr(_vectors, "EXACT", 100)
    for many in (Vectors(vectors), Vectors(vectors, *rounded(vectors))):
        assert many.rounds
        assert not exact.rounds
        assert np.abs(many.cosine(query) - exact.cosine(query)).max() < 0.01
        places = best(exact.cosine(query), 50, -np.inf)
        assert many.exact(places, query) == pytest.approx(exact.cosine(query)[places], abs=1e-5)


def test_a_vector_of_nothing_stays_nothing() -> None:
    codes, units = rounded(np.zeros((2, 8), np.float16))
    assert not codes.any()
    assert not units.any()


@pytest.mark.slow
def test_a_version_of_many_documents_answers_as_one_of_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = Schema("text-similarity", (), {"max_length": 32, "feature_bits": 12})
    with DatasetWriter(tmp_path / "data", {"text": "text"}) as writer:
        for n in range(400):
            words = f"w{n} w{n + 1} w{n % 7}"
            split = "validation" if n % 20 == 0 else "train"
            writer.add(Example(str(n), f"w{n} w{n + 1}", words, split))  # type: ignore[arg-type]
        writer.close(schema)
    base = head_version(tmp_path / "base") / "encoder"
    answers = []
    for name, exact in (("few", 20_000), ("many", 50)):
        monkeypatch.setattr(_vectors, "EXACT", exact)
        for part in ("out", "scratch"):
            (tmp_path / name / part).mkdir(parents=True)
        folders = (tmp_path / name / "out", tmp_path / name / "scratch")
        task = tasks.get("text-similarity").name
        train(TrainJob("dense", task, tmp_path / "data", base, *folders, threads=1, seed=7))
        engine = open_engine(folders[0], threads=1)
        answers.append(engine.predict([f"w{n} w{n + 1}" for n in range(0, 400, 40)]))
        engine.close()
    for few, many in zip(*answers, strict=True):
        pairs = list(zip(few["items"], many["items"], strict=True))
        assert [a["score"] for a, _ in pairs] == pytest.approx(
            [b["score"] for _, b in pairs], abs=1e-4
        )
        assert pairs[0][0]["item"] == pairs[0][1]["item"]
