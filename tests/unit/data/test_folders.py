"""Folders as people have them: texts, partitions, parts, and what systems leave behind."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from feilun.data.litter import is_litter
from feilun.data.sources import Source, format_of, open_tables
from feilun.data.sources.base import Options
from feilun.errors import InvalidData
from feilun.types import Row
from helpers.builds import bad_rows, build_version, images_task, rows_of, table_of
from helpers.pictures import write_digits
from helpers.rows import reviews

LITTER = (
    "@eaDir/1.txt/SYNOFILE_THUMB_M.jpg", ".DS_Store", "Thumbs.db", "desktop.ini", "._1.txt",
    "~$1.docx", ".~lock.1.txt#", "2.txt.part", "3.tmp", "__MACOSX/._x.png", ".git/config",
)  # fmt: skip


def put(file: Path, content: bytes = b"x") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def texts(folder: Path, count: int = 40, encoding: str = "utf-8", suffix: str = ".txt") -> Path:
    for number, (text, label) in enumerate(reviews(count)):
        put(folder / f"is {label}" / f"{number}{suffix}", text.encode(encoding, "ignore"))
    return folder


# Texts


@pytest.mark.parametrize("suffix", [".txt", ".TXT", ".md", ""])
def test_a_file_an_example(tmp_path: Path, suffix: str) -> None:
    folder = texts(tmp_path / "mails", suffix=suffix)
    assert format_of(folder) == "texts"
    data, report = build_version(tmp_path / "v1", folder)
    expected = {text.strip(): f"is {label}" for text, label in reviews(40)}
    assert {example.item: example.label for example in data.examples()} == expected
    assert (report.rows, report.bad) == (40, 0)


def test_parts_of_texts(tmp_path: Path) -> None:
    texts(tmp_path / "d" / "Train", 40)
    for number in range(12):
        put(tmp_path / "d" / "dev" / "is bad" / f"{number}.txt", b"dev %d" % number)
        put(tmp_path / "d" / "test" / "is bad" / f"{number}.txt", b"test %d" % number)
    put(tmp_path / "d" / "docs" / "about.pdf")
    data, _ = build_version(tmp_path / "v1", tmp_path / "d")
    assert (data.size("validation"), data.size("test"), data.size("train")) == (12, 12, 40)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for label in ("train", "bus", "test"):
        for number in range(12):
            put(tmp_path / "d" / label / f"{number}.txt", f"{label} {number}".encode())
    assert build_version(tmp_path / "v1", tmp_path / "d")[0].schema.labels == (
        "bus", "test", "train",
    )  # fmt: skip


def test_files_that_hold_no_text_are_bad_rows(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    for number in range(30):
        put(folder / ("a", "b")[number % 2] / f"{number}.txt", f"很好 {number}".encode())
    put(folder / "a" / "deep" / "empty.txt", b" \n")
    put(folder / "a" / "half.txt", "很好".encode()[:-1])
    put(folder / "b" / "scan.pdf", b"%PDF")
    put(folder / "b" / "binary.txt", bytes(range(256)))
    put(folder / "stray.txt", b"no class")
    put(folder / "a" / "wide.txt", "很宽 wide".encode("utf-16"))
    data, _ = build_version(tmp_path / "v1", folder)
    assert {(row["values"]["file"], row["code"]) for row in bad_rows(tmp_path / "v1")} == {
        ("a/deep/empty.txt", "formats.empty_text_file"),
        ("a/half.txt", "formats.undecodable_file"),
        ("b/scan.pdf", "formats.not_a_text_file"),
        ("b/binary.txt", "data.binary"),
        ("stray.txt", "data.no_class_folder"),
    }
    assert "很宽 wide" in {example.item for example in data.examples()}


@pytest.mark.parametrize("told", [False, True])
def test_files_of_another_encoding(tmp_path: Path, told: bool) -> None:
    said = "这家店的服务很好，菜也不错，下次还会再来"
    for number in range(40):
        text = f"{said}，第 {number} 次"
        encoding = "utf-8" if number == 7 and not told else "gb18030"
        put(tmp_path / "d" / ("好", "差")[number % 2] / f"{number}.txt", text.encode(encoding))
    options = Options(encoding="gbk" if told else None)
    data, report = build_version(tmp_path / "v1", Source(tmp_path / "d", options))
    assert {e.item for e in data.examples()} == {f"{said}，第 {n} 次" for n in range(40)}
    assert report.sources[0].details["encoding"] == ("gbk" if told else "gb18030")


def test_an_encoding_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(InvalidData) as caught:
        open_tables(Source(texts(tmp_path / "d"), Options(encoding="klingon")))
    assert caught.value.code == "data.no_such_encoding"


# Partitions


def frame(rows: list[tuple[str, str]]) -> pa.Table:
    return pa.table({"review": [r[0] for r in rows], "label": [r[1] for r in rows]})


def test_a_partition_is_a_column(tmp_path: Path) -> None:
    rows = [(text, ("so/so 好", label)[n % 3 > 0]) for n, (text, label) in enumerate(reviews(60))]
    folder = tmp_path / "hive"
    pads.write_dataset(
        frame(rows), folder, format="parquet", partitioning=["label"], partitioning_flavor="hive"
    )
    put(folder / "_SUCCESS", b"")
    put(folder / "label=bad" / ".part-0.parquet.crc")
    data, report = build_version(tmp_path / "v1", folder)
    assert {example.item: example.label for example in data.examples()} == dict(rows)
    assert report.sources[0].details["files"] == 3
    assert report.sources[0].name == "hive"


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_partitions_of_other_formats_and_none(tmp_path: Path, form: str) -> None:
    for year in ("2024", "__HIVE_DEFAULT_PARTITION__"):
        for label in ("good", "bad"):
            rows = [{"text": f"{label} {year[:4]} {n}", "n": "1"} for n in range(3)]
            lines = [json.dumps(row) for row in rows]
            if form == "csv":
                lines = ["text,n", *(",".join(row.values()) for row in rows), "a,b,c"]
            folder = tmp_path / "d" / f"year={year}" / f"label={label}"
            put(folder / f"part-0.{form}", "\n".join(lines).encode())
    table = table_of(tmp_path / "d")
    assert table.columns == ("text", "n", "year", "label")
    rows_found = list(table.rows())
    good = [row.values for row in rows_found if isinstance(row, Row)]
    assert Counter((r["year"], r["label"]) for r in good) == {
        ("2024", "good"): 3, ("2024", "bad"): 3, (None, "good"): 3, (None, "bad"): 3,
    }  # fmt: skip
    bad = [row.values["file"] for row in rows_found if not isinstance(row, Row)]
    assert len(bad) == (4 if form == "csv" else 0)
    assert "year=2024/label=bad/part-0.csv" in bad or form != "csv"
    assert [row.number for row in rows_found] == list(range(1, len(rows_found) + 1))


def test_partitions_further_down_and_files_named_one_by_one(tmp_path: Path) -> None:
    rows = list(reviews(40))
    files = []
    for label in ("great", "bad"):
        place = tmp_path / "d" / "reviews" / "2026" / f"label={label}"
        table = pa.table({"review": [text for text, own in rows if own == label]})
        files.append(put(place / "0.parquet"))
        pq.write_table(table, files[-1])
    assert format_of(tmp_path / "d") == "hive"
    for number, sources in enumerate(([tmp_path / "d"], files)):
        data, _ = build_version(tmp_path / f"v{number}", *sources)
        assert {example.item: example.label for example in data.examples()} == dict(rows)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("_delta_log/0.json", "Delta Lake"),
        (".hoodie/hoodie.properties", "Hudi"),
        ("metadata/v1.metadata.json", "Iceberg"),
    ],
)
def test_tables_that_keep_old_rows_in_their_files(tmp_path: Path, name: str, kind: str) -> None:
    pq.write_table(frame(list(reviews(40))), put(tmp_path / "d" / "label=x" / "0.parquet"))
    put(tmp_path / "d" / name)
    with pytest.raises(InvalidData) as caught:
        format_of(tmp_path / "d")
    assert caught.value.code == "formats.versioned_table"
    assert kind in caught.value.message()


def test_links_that_go_round(tmp_path: Path) -> None:
    folder = texts(tmp_path / "d")
    (folder / "is great" / "again").symlink_to(folder / "is great")
    (folder / "is bad" / "up").symlink_to(folder)
    data, report = build_version(tmp_path / "v1", folder)
    assert (len(data), report.duplicates, report.bad) == (40, 0, 0)


def test_a_partition_of_parts(tmp_path: Path) -> None:
    for part, count in (("train", 40), ("val", 10), ("test", 10)):
        rows = [(f"{part}: {text}", label) for text, label in reviews(count)]
        put(tmp_path / "d" / f"split={part}" / "0.parquet")
        pq.write_table(frame(rows), tmp_path / "d" / f"split={part}" / "0.parquet")
    data, report = build_version(tmp_path / "v1", tmp_path / "d")
    assert {name: data.size(name) for name in ("train", "validation", "test")} == {
        "train": 40, "validation": 10, "test": 10,
    }  # fmt: skip
    assert len(report.sources) == 3


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_texts_written_as_bytes(tmp_path: Path, kind: Any) -> None:
    values = [None, b"", *("好 %d".__mod__(n).encode() for n in range(2000)), b"\xff\xfe", b"last"]
    photo = [b"\x89PNG\r\n\x1a\n\0"] * len(values)
    table = pa.table({"text": pa.array(values, kind), "photo": pa.array(photo, pa.binary())})
    pq.write_table(table, tmp_path / "a.parquet")
    found = rows_of(table_of(tmp_path / "a.parquet"))
    assert found[-2] == "data.bad_bytes"
    texts_found = [row["text"] for row in found if isinstance(row, dict)]
    assert texts_found == [None, "", *(f"好 {n}" for n in range(2000)), "last"]
    assert isinstance(found[0], dict)
    assert found[0]["photo"] == photo[0]


def test_texts_that_are_none(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"\xff\xfe", "好".encode()], pa.binary())
    strings = pa.StringArray.from_buffers(3, raw.buffers()[1], raw.buffers()[2])
    pq.write_table(pa.table({"text": strings, "n": [1, 2, 3]}), tmp_path / "a.parquet")
    assert rows_of(table_of(tmp_path / "a.parquet")) == [
        {"text": "good", "n": 1}, "data.bad_bytes", {"text": "好", "n": 3},
    ]  # fmt: skip


# Parts of pictures


def parts_of(folder: Path) -> Path:
    pictures = sorted(write_digits(folder / "all", 52).rglob("*.png"), key=lambda path: path.name)
    for part, count in (("train", 30), ("val", 10), ("test", 12)):
        lines = ["file_name,label"]
        for path in pictures[:count]:
            label = path.parent.name
            put(folder / part / label / path.name, path.read_bytes())
            lines.append(f"{label}/{path.name},is {label}")
            path.unlink()
        (folder / part / "metadata.csv").write_text("\n".join(lines) + "\n")
        del pictures[:count]
    return folder


def test_a_manifest_in_each_part(tmp_path: Path) -> None:
    folder = parts_of(tmp_path / "d")
    data, report = build_version(tmp_path / "v1", folder, task=images_task())
    assert report.bad == 0
    assert data.size("test") == 12
    assert data.size("validation") == 10
    assert all(label.startswith("is ") for label in data.schema.labels)
    assert [source.name for source in report.sources] == ["d/test", "d/train", "d/val"]


@pytest.mark.parametrize("mark", ["/", "\\"])
def test_one_manifest_above_the_parts(tmp_path: Path, mark: str) -> None:
    folder = parts_of(tmp_path / "d")
    lines = ["label,path"]
    for part in ("train", "val", "test"):
        for path in sorted((folder / part).rglob("*.png")):
            name = path.relative_to(folder).as_posix().replace("/", mark)
            lines.append(f"is {path.parent.name},{name}")
        (folder / part / "metadata.csv").unlink()
    (folder / "metadata.csv").write_text("\n".join([*lines, "ragged"]) + "\n")
    data, report = build_version(tmp_path / "v1", folder, task=images_task())
    assert {name: data.size(name) for name in ("train", "validation", "test")} == {
        "train": 30, "validation": 10, "test": 12,
    }  # fmt: skip
    assert report.bad == 1


# Litter


def test_what_systems_leave_is_no_data(tmp_path: Path) -> None:
    folder = texts(tmp_path / "d")
    for name in LITTER:
        put(folder / "is great" / name, b"thumbnail")
    data, report = build_version(tmp_path / "v1", folder)
    assert (len(data), report.bad) == (40, 0)
    (said,) = [notice for notice in report.warnings if notice.code == "formats.litter"]
    assert said.params == {"file": "d", "rows": len(LITTER)}
    assert "11" in said.text("zh")


def test_thumbnails_of_a_store_are_no_pictures(tmp_path: Path) -> None:
    folder = write_digits(tmp_path / "d", 40)
    pictures = sorted(folder.rglob("*.png"))
    for path in pictures:
        place = path.parent / "@eaDir" / path.name
        put(place / "SYNOPHOTO_THUMB_M.jpg", path.read_bytes())
    put(folder / "@eaDir" / "x.png", pictures[0].read_bytes())
    put(folder / "#recycle" / "old" / "x.png", pictures[0].read_bytes())
    data, report = build_version(tmp_path / "v1", folder, task=images_task())
    assert (len(data), report.bad) == (len(pictures), 0)
    assert "@eaDir" not in data.schema.labels
    litter = [n.params["rows"] for n in report.warnings if n.code == "formats.litter"]
    assert litter == [len(pictures) + 2]


@pytest.mark.parametrize("name", ["~$a.xlsx", ".~lock.a.csv#", "._a.csv"])
def test_a_lock_file_says_what_it_is(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidData) as caught:
        format_of(put(tmp_path / name))
    assert caught.value.code == "formats.lock_file"


def test_usual_names_are_no_litter() -> None:
    for name in ("a.csv", "parts", "temp.txt", "thumbs", "desktop.png", "$5 off.txt", "~a.txt"):
        assert not is_litter(Path(name)), name


def test_pictures_of_phones(tmp_path: Path) -> None:
    folder = write_digits(tmp_path / "d", 40)
    first = next((folder / "1").glob("*.png"))
    put(folder / "1" / "photo.jfif", first.read_bytes())
    put(folder / "1" / "IMG_0001.HEIC", b"\0\0\0\x18ftypheic")
    data, _ = build_version(tmp_path / "v1", folder, task=images_task())
    assert len(data) == 40, "the same bytes twice are one"
    (bad,) = bad_rows(tmp_path / "v1")
    assert (bad["code"], bad["values"]["file"]) == ("formats.unread_image", "1/IMG_0001.HEIC")
    for label in ("cat", "dog"):
        put(tmp_path / "phone" / label / "IMG_1.HEIC", b"\0\0\0\x18ftypheic")
    with pytest.raises(InvalidData) as caught:
        build_version(tmp_path / "v2", tmp_path / "phone", task=images_task())
    assert "HEIC" in caught.value.message()


def test_a_class_whose_name_cannot_be_read(tmp_path: Path) -> None:
    folder = texts(tmp_path / "d")
    Path(os.fsdecode(os.fsencode(folder) + "/好".encode("gbk"))).mkdir()
    with pytest.raises(InvalidData) as caught:
        open_tables(Source(folder))
    assert caught.value.code == "formats.folder_name"
    caught.value.message().encode()


def test_folders_that_are_added_otherwise(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "~$c.xlsx", "c.xlsx", "about.pdf"):
        put(tmp_path / "my tables" / name)
    put(tmp_path / "flat" / "a.txt", b"hello")
    with pytest.raises(InvalidData) as caught:
        format_of(tmp_path / "my tables")
    assert caught.value.code == "formats.folder_of_tables"
    folder = tmp_path / "my tables"
    assert (
        caught.value.hint("en") == f"add them: feilun data add '{folder}'/*.csv '{folder}'/*.xlsx"
    )
    with pytest.raises(InvalidData) as caught:
        format_of(tmp_path / "flat")
    assert caught.value.code == "data.no_classes"
