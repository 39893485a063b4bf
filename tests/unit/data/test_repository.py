"""Cloned dataset repositories: which file is which part, names of classes, what is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feilun.data.sources import Source, format_of, open_tables
from feilun.errors import InvalidData
from helpers.builds import build_version, images_task
from helpers.pictures import write_digits
from helpers.rows import reviews

HEAD = """---
language: [zh, en]
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: data/test-*
---
# Reviews

---
more: text
---
"""
CLASSES = {"info": {"features": {"label": {"names": ["差评", "好评"], "_type": "ClassLabel"}}}}


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    return [{"text": t, "label": int(label == "great")} for t, label in reviews(count, seed)]


def parquet(file: Path, listed: Sequence[dict[str, Any]], classes: bool = True) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(listed))
    if classes:
        table = table.replace_schema_metadata({"huggingface": json.dumps(CLASSES)})
    pq.write_table(table, file)
    return file


@pytest.fixture
def cloned(tmp_path: Path) -> Path:
    folder = tmp_path / "reviews"
    parquet(folder / "data" / "train-00000-of-00002.parquet", rows(120, 1))
    parquet(folder / "data" / "train-00001-of-00002.parquet", rows(60, 2))
    parquet(folder / "data" / "test-00000-of-00001.parquet", rows(40, 3))
    (folder / ".git").mkdir()
    (folder / ".git" / "train.parquet").write_bytes(b"not one of them")
    (folder / ".gitattributes").write_text("*.parquet filter=lfs\n", "utf-8")
    (folder / "README.md").write_text(HEAD, "utf-8")
    return folder


def parts(folder: Path) -> list[tuple[str, str | None]]:
    tables = open_tables(Source(folder))
    for table in tables:
        table.close()
    return [(table.name, table.split) for table in tables]


def test_a_clone_keeps_its_parts_and_the_names_of_its_classes(tmp_path: Path, cloned: Path) -> None:
    assert format_of(cloned) == "huggingface"
    data, report = build_version(tmp_path / "v1", cloned)
    assert data.schema.labels == ("好评", "差评")
    assert report.read == 220
    assert {e.split for e in data.examples() if "test-0" in e.source} == {"test"}
    assert {e.split for e in data.examples() if "train-0" in e.source} == {"train", "validation"}
    assert [source.details["part"] for source in report.sources] == ["train", "train", "test"]


@pytest.mark.parametrize("readme", [None, "# Reviews without a head\n", "---\nlicense: mit\n---\n"])
def test_without_words_the_names_of_the_files_tell(cloned: Path, readme: str | None) -> None:
    (cloned / "README.md").unlink()
    if readme is not None:
        (cloned / "README.md").write_text(readme, "utf-8")
    assert sorted(split for _, split in parts(cloned) if split) == ["test", "train", "train"]


def test_other_layouts(tmp_path: Path) -> None:
    folder = tmp_path / "flat"
    parquet(folder / "train.parquet", rows(5, 1))
    parquet(folder / "dev.parquet", rows(5, 2))
    assert parts(folder) == [("flat/dev.parquet", "validation"), ("flat/train.parquet", "train")]
    folder = tmp_path / "folders"
    parquet(folder / "train" / "0000.parquet", rows(5, 1))
    parquet(folder / "test" / "0000.parquet", rows(5, 2))
    assert {split for _, split in parts(folder)} == {"train", "test"}
    folder = tmp_path / "one"
    parquet(folder / "latest.parquet", rows(5, 1))
    assert parts(folder) == [("one/latest.parquet", None)]


def test_csv_files_and_numbers_of_classes_in_the_head(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    lines = [f'"{row["text"]}",{row["label"]}\n' for row in rows(90, 1)]
    (folder / "corpus.csv").write_text("text,label\n" + "".join(lines[:70]), "utf-8")
    (folder / "judged.csv").write_text("text,label\n" + "".join(lines[70:]), "utf-8")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n"
        "  - {split: train, path: [corpus.csv]}\n  - {split: test, path: 'judged.csv'}\n"
        "dataset_info:\n  features:\n  - {name: text, dtype: string}\n"
        "  - name: label\n    dtype:\n      class_label:\n"
        "        names: {'0': 差评, '1': 好评}\n---\n",
        "utf-8",
    )
    assert format_of(folder) == "huggingface"
    data, _ = build_version(tmp_path / "v1", folder)
    assert data.schema.labels == ("好评", "差评")
    assert data.size("test") == 20


def test_pictures_in_parquet(tmp_path: Path) -> None:
    write_digits(tmp_path / "d", 50)
    listed = [
        {"image": {"bytes": file.read_bytes(), "path": file.name}, "label": int(file.parent.name)}
        for file in sorted((tmp_path / "d").rglob("*.png"))
    ]
    parquet(tmp_path / "digits" / "data" / "train-0.parquet", listed, classes=False)
    (tmp_path / "digits" / "sample.png").write_bytes(b"\x89PNG")
    data, report = build_version(tmp_path / "v1", tmp_path / "digits", task=images_task())
    assert (len(data), report.bad) == (50, 0)


def test_a_clone_without_its_large_files_says_so(cloned: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    (cloned / "data" / "test-00000-of-00001.parquet").write_text(pointer, "utf-8")
    with pytest.raises(InvalidData) as caught:
        open_tables(Source(cloned))
    assert caught.value.code == "formats.lfs_pointer"
    assert "git lfs pull" in caught.value.hint()
    for file in (cloned / "data").iterdir():
        file.unlink()
    parquet(cloned / "other.parquet", rows(5, 1))
    with pytest.raises(InvalidData) as caught:
        open_tables(Source(cloned))
    assert caught.value.code == "formats.no_data_files"


def test_several_datasets_ask_which(cloned: Path) -> None:
    head = (
        "---\nconfigs:\n- config_name: en\n  data_files: data/train-*\n"
        "- config_name: zh\n  data_files: data/test-*\n---\n"
    )
    (cloned / "README.md").write_text(head, "utf-8")
    with pytest.raises(InvalidData) as caught:
        open_tables(Source(cloned))
    assert (caught.value.code, caught.value.params["options"]) == (
        "formats.which_config",
        ["en", "zh"],
    )
    (cloned / "README.md").write_text(
        head.replace("name: zh\n", "name: zh\n  default: true\n"), "utf-8"
    )
    assert [name for name, _ in parts(cloned)] == ["reviews/data/test-00000-of-00001.parquet"]


@pytest.mark.parametrize("path", ["../secret.csv", "/etc/*", "data/../../secret.csv"])
def test_nothing_outside_the_folder_is_read(tmp_path: Path, cloned: Path, path: str) -> None:
    (tmp_path / "secret.csv").write_text("text,label\na,b\n", "utf-8")
    head = f"---\nconfigs:\n- config_name: default\n  data_files: '{path}'\n---\n"
    (cloned / "README.md").write_text(head, "utf-8")
    with pytest.raises(InvalidData) as caught:
        open_tables(Source(cloned))
    assert caught.value.code == "formats.no_data_files"


def test_a_broken_head_is_told(cloned: Path) -> None:
    (cloned / "README.md").write_text("---\nconfigs: [\n---\n", "utf-8")
    with pytest.raises(InvalidData) as caught:
        open_tables(Source(cloned))
    assert caught.value.code == "formats.bad_card"


def test_links_lead_nowhere_but_to_the_blobs_of_a_cache(tmp_path: Path) -> None:
    rows_file = parquet(tmp_path / "cache" / "blobs" / "00ff", rows(20, 1))
    snapshot = tmp_path / "cache" / "snapshots" / "1a2b"
    (snapshot / "data").mkdir(parents=True)
    (snapshot / "data" / "train.parquet").symlink_to(rows_file)
    assert parts(snapshot) == [("1a2b/data/train.parquet", "train")]
    (tmp_path / "private.csv").write_text("text,label\na,b\n", "utf-8")
    (snapshot / "data" / "test.csv").symlink_to(tmp_path / "private.csv")
    (snapshot / "data" / "train.parquet").unlink()
    with pytest.raises(InvalidData) as caught:
        open_tables(Source(snapshot))
    assert caught.value.code == "data.unknown_folder"
