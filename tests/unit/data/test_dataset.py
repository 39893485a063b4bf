"""The data version on disk: what is written comes back, equal rows give equal bytes."""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from feilun.errors import CorruptArtifact
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.types import Example, Schema

SCHEMA = Schema("text-classification", ("bad", "good"), {"max_length": 128})


def texts(n: int = 5) -> list[Example]:
    splits = ["train", "train", "validation", "test"]
    return [
        Example(f"r{i}", f"文本 {i}", ["good", "bad", None][i % 3], splits[i % 4], source="a.csv")
        for i in range(n)
    ]


def write(folder: Path, rows: list[Example], columns: dict[str, str]) -> Dataset:
    writer = DatasetWriter(folder, columns)
    for row in rows:
        writer.add(row)
    writer.close(SCHEMA, {"seed": 0})
    return Dataset(folder)


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(folder.rglob("*"))
        if f.is_file()
    }


def test_texts_come_back(tmp_path: Path) -> None:
    rows = texts(9)
    data = write(tmp_path / "a", rows, {"text": "text"})
    assert list(data.examples()) == rows
    assert [e.row_id for e in data.examples("test")] == ["r3", "r7"] == data.row_ids("test")
    assert data.items("validation") == ["文本 2", "文本 6"]
    assert data.labels("train").tolist() == [1, 0, 0, -1, -1]
    assert data.labels("train").dtype == np.int64
    assert data.schema == SCHEMA
    assert data.info == {"seed": 0}
    assert len(data) == 9
    assert data.size("train") == 5
    assert data.counts["train"] == {"bad": 2, "good": 1, "": 2}
    assert list(data.counts["train"]) == ["bad", "good", ""]


def test_images_lie_beside_the_rows_once(tmp_path: Path) -> None:
    rows = [Example(str(i), b"png" + bytes([i % 2]), "good") for i in range(4)]
    data = write(tmp_path / "a", rows, {"image": "image"})
    assert len(list((tmp_path / "a" / "media").rglob("*/*"))) == 2
    assert list(data.examples()) == rows
    items = data.items()
    assert items[1] == b"png\x01"
    assert list(items[2:]) == [b"png\x00", b"png\x01"]


def test_rows_of_several_columns_are_mappings(tmp_path: Path) -> None:
    item = {"label": "a column may be called label", "photo": b"x", "age": 3.0}
    rows = [Example("1", item, "good")]
    data = write(tmp_path / "a", rows, {"label": "text", "photo": "image", "age": "number"})
    assert list(data.examples()) == rows
    assert data.items()[0] == item
    assert data.values("input:label") == ["a column may be called label"]


def test_equal_rows_are_equal_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a", texts(50), {"text": "text"})
    write(tmp_path / "b", texts(50), {"text": "text"})
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")


def test_a_value_of_the_wrong_kind_is_told(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path, {"image": "image"})
    with pytest.raises(TypeError, match="column image takes bytes"):
        writer.add(Example("1", "text", "good"))
    writer = DatasetWriter(tmp_path, {"text": "text"})
    writer.add(Example("1", b"bytes", "good"))
    with pytest.raises(TypeError, match="column input:text: expected text, not bytes"):
        writer.close(SCHEMA)


def test_an_unfinished_folder_is_no_data_version(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path, {"text": "text"})
    writer.add(texts()[0])
    with pytest.raises(CorruptArtifact):
        Dataset(tmp_path)


def test_damage_is_told(tmp_path: Path) -> None:
    data = write(tmp_path, [Example("1", b"x", "good")], {"image": "image"})
    next(p for p in (tmp_path / "media").rglob("*") if p.is_file()).unlink()
    with pytest.raises(CorruptArtifact) as caught:
        list(data.examples())
    assert caught.value.code == "dataset.no_media"
    rows = tmp_path / "rows.parquet"
    rows.write_bytes(rows.read_bytes()[:-20])
    with pytest.raises(CorruptArtifact) as caught:
        data.row_ids()
    assert caught.value.code == "dataset.unreadable"
    (tmp_path / "dataset.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(CorruptArtifact):
        Dataset(tmp_path)


def test_a_full_disk_is_an_environment_problem(tmp_path: Path) -> None:
    program = f"""
import os, resource
from feilun.store.dataset import DatasetWriter
from feilun.errors import EnvironmentProblem
from feilun.types import Example, Schema
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    with DatasetWriter({str(tmp_path / "a")!r}, {{"text": "text"}}) as writer:
        for i in range(40):
            writer.add(Example(str(i), os.urandom(50_000).hex(), "good"))
        writer.close(Schema("t", ("good",)))
except EnvironmentProblem as error:
    print(error.code, "/", error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("dataset.disk_full / no room left"), done.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_pandas_stays_out(tmp_path: Path) -> None:
    """It is installed beside the training libraries, and its import would cost a second."""
    program = f"""
import sys
from feilun.store.dataset import Dataset, DatasetWriter
from feilun.types import Example, Schema
with DatasetWriter({str(tmp_path)!r}, {{"text": "text", "age": "number"}}) as writer:
    writer.add(Example("1", {{"text": "x", "age": None}}, "good"))
    writer.add(Example("2", {{"text": None, "age": 2.5}}, None))
    writer.close(Schema("t", ("good",)))
data = Dataset({str(tmp_path)!r})
print([e.item for e in data.examples("train")], data.labels("train").tolist(), data.items())
assert "pandas" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [{"text": "x", "age": None}, {"text": None, "age": 2.5}]
    assert done.stdout.strip() == f"{rows} [0, -1] {rows}"


def test_rows_are_searched_in_order_and_page_by_page(tmp_path: Path) -> None:
    rows = [
        Example(f"r{i}", {"text": f"Tea {i}", "grams": float(i)}, "good", "train", source="a.csv")
        for i in range(9_000)
    ]
    rows[8_500] = Example("odd", {"text": "coffee", "grams": 1.0}, "bad", "test", source="b.csv")
    data = write(tmp_path / "a", rows, {"text": "text", "grams": "number"})
    assert data.search("COFFEE") == ([rows[8_500]], False)
    assert data.search("odd", split="test", label="bad", source="b.csv")[0] == [rows[8_500]]
    assert data.search("odd", split="train") == ([], False)
    assert data.search("tea", offset=8_497, limit=2) == ([rows[8_497], rows[8_498]], True)
    assert data.search("tea", offset=8_499, limit=2)[0] == [rows[8_499], rows[8_501]]
    assert data.search(source="a.csv", offset=8_998)[0] == [rows[8_999]]
    assert data.search("", limit=3) == (rows[:3], True)
