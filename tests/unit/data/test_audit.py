"""The look at the data, of a version and of a file; and what reading holds in memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feilun.data.audit import audit, audit_source
from feilun.data.sources import Source
from feilun.tasks.base import Encoded
from feilun.types import Item
from helpers.builds import build_version, images_task, table_of, texts_task
from helpers.few import few
from helpers.rows import write_reviews


class Words:
    """Counts words and keeps five."""

    def encode(self, items: Sequence[Item]) -> list[Encoded]:
        counts = [len(str(item).split()) for item in items]
        return [Encoded({"ids": np.zeros(min(n, 5))}, min(n, 5), max(0, n - 5)) for n in counts]

    def collate(self, batch: Sequence[Encoded]) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def test_of_a_data_version(tmp_path: Path) -> None:
    data, _ = build_version(tmp_path / "v", write_reviews(tmp_path / "a.csv", 200))
    found = audit(data)
    assert found.rows == 200
    assert [row.label for row in found.labels] == sorted(
        data.schema.labels, key=lambda label: -sum(c[label] for c in data.counts.values())
    )
    assert sum(row.share for row in found.labels) == pytest.approx(1)
    assert found.labels[0].splits == {
        split: data.counts[split][found.labels[0].label] for split in data.counts
    }
    lengths = sorted(len(str(item)) for item in data.items())
    assert (found.lengths["min"], found.lengths["max"]) == (lengths[0], lengths[-1])
    assert list(found.lengths) == ["min", "p50", "mean", "p90", "p99", "max"]
    assert 0.05 < found.chinese < 0.6
    assert (found.tokens, found.truncated) == (None, None)
    assert (found.duplicates, found.conflicts, found.empty, found.bad) == (0, 0, 0, 0)
    assert json.loads(json.dumps(found.to_json("zh")))["rows"] == 200


def test_tokens_are_counted_with_a_processor(tmp_path: Path) -> None:
    data, _ = build_version(tmp_path / "v", write_reviews(tmp_path / "a.csv", 100))
    found = audit(data, processor=Words())
    words = [len(str(item).split()) for item in data.items()]
    assert found.tokens is not None
    assert found.tokens["max"] == max(words)
    assert found.tokens["mean"] == pytest.approx(np.mean(words))
    assert found.truncated == pytest.approx(np.mean([n > 5 for n in words]))
    assert "longer than the model reads" in found.to_json()["warnings"][-1]


def test_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    rows = "".join(f"质量很好 {i % 30},{'好差'[i % 2]}\n" for i in range(60))
    rows += f"质量很好 0,差\n,好\nraw\n{'very long ' * 20_000},好\n"
    file.write_text("text,label\n" + rows, "gb18030")
    found = audit_source(Source(file), task=texts_task())
    assert (found.rows, found.bad, found.empty) == (64, 2, 1)
    assert (found.duplicates, found.conflicts) == (31, 1)
    assert found.chinese == pytest.approx(61 * 4 / (61 * 4 + 800), abs=0.1)
    (source,) = found.sources
    assert (source.rows, source.bad) == (64, 2)
    assert source.details["encoding"] == "gb18030"
    assert source.roles is not None
    assert source.roles.inputs == {"text": "text"}
    assert found.labels[0].example == "质量很好 0"
    assert [notice.code for notice in found.warnings] == [
        "data.has_conflicts", "data.has_duplicates", "data.very_long",
    ]  # fmt: skip


def test_of_pictures(tmp_path: Path) -> None:
    for example in images_task().examples:
        for copy in range(10):
            folder = tmp_path / "d" / str(example.label)
            folder.mkdir(parents=True, exist_ok=True)
            assert isinstance(example.item, bytes)
            (folder / f"{example.row_id}{copy}.png").write_bytes(example.item)
    found = audit_source(Source(tmp_path / "d"), task=images_task())
    assert (found.rows, found.duplicates) == (30, 27)
    assert found.labels[0].example.endswith(" bytes>")
    assert found.lengths["max"] < 200
    assert found.chinese == 0


def test_the_sample_of_a_long_file_is_thinned_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feilun.data.audit.overview._SAMPLE", 10)
    file = tmp_path / "a.csv"
    rows = "".join(f"{'short' if i < 200 else 'a b c d e f g'} {i},{i % 2}\n" for i in range(400))
    file.write_text("text,label\n" + rows)
    found = audit_source(Source(file), task=texts_task(), processor=Words())
    assert found.truncated == pytest.approx(0.5, abs=0.1)


def write_large(file: Path) -> None:
    rows = [{"text": f"row {i} " * 20, "label": "xy"[i % 2]} for i in range(40_000)]
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=5000)
    elif file.suffix == ".json":
        file.write_text(json.dumps(rows))
    elif file.suffix == ".jsonl":
        file.write_text("\n".join(map(json.dumps, rows)))
    else:
        file.write_text("text,label\n" + "".join(f"{r['text']},{r['label']}\n" for r in rows))


@pytest.mark.parametrize("name", few(["a.csv", "a.json", "a.jsonl", "a.parquet"], "a.csv"))
def test_reading_holds_little_of_a_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    write_large(file)
    list(table_of(file).rows())  # imports and caches
    before: Any = pa.total_allocated_bytes()
    tracemalloc.start()
    table = table_of(file)
    table.samples()
    arrow = sum(1 for _ in table.rows()) and pa.total_allocated_bytes() - before
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 << 20  # of 7 MB as text, some 15 MB as rows
    assert arrow < 3 << 20
