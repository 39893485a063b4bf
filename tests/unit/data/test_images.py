"""Image folders and manifests, and pictures that are damaged, odd or meant to harm."""

from __future__ import annotations

import base64
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from feilun.data.sources import Source, open_tables
from feilun.errors import InvalidData
from helpers.builds import bad_rows, build_version, images_task, rows_of


def picture(seed: int, mode: str = "RGB", size: int = 8) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    return image if mode == "RGB" else image.convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def classes(folder: Path, count: int = 8, first: int = 0) -> Path:
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            seed = first + 2 * i + (label == "dog")
            (folder / label / f"{i:03}.png").write_bytes(encoded(picture(seed)))
    return folder


def test_a_sub_folder_a_class(tmp_path: Path) -> None:
    folder = classes(tmp_path / "pets")
    (folder / "cat" / "deep").mkdir()
    (folder / "cat" / "deep" / "a.JPG").write_bytes(encoded(picture(99), "JPEG"))
    for litter in (".DS_Store", "Thumbs.db"):
        (folder / "cat" / litter).write_bytes(b"x")
    (folder / ".git").mkdir()
    (folder / "README.txt").write_text("hello")
    (folder / "cat" / "notes.txt").write_text("hello")
    (folder / "stray.png").write_bytes(encoded(picture(98)))
    data, report = build_version(tmp_path / "v", folder, task=images_task())
    assert data.schema.labels == ("cat", "dog")
    assert len(data) == 17
    assert data.columns == {"image": "image"}
    assert {e.source for e in data.examples()} == {"pets"}
    first = next(data.examples())
    assert first.item == (folder / "cat" / "000.png").read_bytes()
    assert [(row["code"], row["values"]["file"]) for row in bad_rows(tmp_path / "v")] == [
        ("data.not_an_image", "cat/notes.txt"), ("data.no_class_folder", "stray.png"),
    ]  # fmt: skip
    assert report.sources[0].details == {"format": "images", "left_out": {"formats.litter": 2}}


def test_equal_pictures_are_one_row_and_one_file(tmp_path: Path) -> None:
    folder = classes(tmp_path / "pets")
    copy = (folder / "cat" / "000.png").read_bytes()
    (folder / "cat" / "copy.png").write_bytes(copy)
    (folder / "dog" / "copy.png").write_bytes((folder / "cat" / "001.png").read_bytes())
    data, report = build_version(tmp_path / "v", folder, task=images_task())
    assert (len(data), report.duplicates, report.undecided) == (15, 2, 1)
    media = [f for f in (tmp_path / "v" / "media").rglob("*") if f.is_file()]
    assert len(media) == 15  # the undecided one's file is gone too


def test_the_next_version_shares_the_files_of_the_previous(tmp_path: Path) -> None:
    first, _ = build_version(tmp_path / "v1", classes(tmp_path / "a"), task=images_task())
    more = classes(tmp_path / "b", 4, first=100)
    second, report = build_version(tmp_path / "v2", more, task=images_task(), previous=first)
    assert (len(second), report.new) == (24, 8)
    assert list(second.items())[:16] == list(first.items())
    name = first.values("input:image")[0]
    paths = [tmp_path / v / "media" / name[:2] / name for v in ("v1", "v2")]
    assert paths[0].samefile(paths[1])


def test_folders_called_train_and_test_are_splits(tmp_path: Path) -> None:
    classes(tmp_path / "d" / "train", 20)
    classes(tmp_path / "d" / "test", 5, first=1000)
    data, report = build_version(tmp_path / "v", tmp_path / "d", task=images_task())
    assert data.size("test") == 10
    assert data.size("validation") >= 2
    assert [s.name for s in report.sources] == ["d/test", "d/train"]


@pytest.mark.parametrize("name", ["manifest.csv", "metadata.jsonl"])
def test_a_manifest(tmp_path: Path, name: str) -> None:
    folder = classes(tmp_path / "pets")
    paths = [f"{label}/{i:03}.png" for label in ("cat", "dog") for i in range(8)]
    if name.endswith("csv"):
        lines = ["file_name,label", *(f"{p},is {p[:3]}" for p in paths), "cat/none.png,is cat"]
    else:
        lines = [f'{{"file_name": "{p}", "label": "is {p[:3]}"}}' for p in paths]
        lines += ['{"file_name": "cat/none.png", "label": "is cat"}']
    (folder / name).write_text("\n".join(lines))
    data, _ = build_version(tmp_path / "v", folder, task=images_task())
    assert data.schema.labels == ("is cat", "is dog")
    assert len(data) == 16
    assert bad_rows(tmp_path / "v")[0]["code"] == "data.no_image"
    again, _ = build_version(tmp_path / "w", folder / name, task=images_task())
    assert again.row_ids() == data.row_ids()


def test_pictures_inside_a_table(tmp_path: Path) -> None:
    lines = ["image,label"]
    for i in range(12):
        text = base64.b64encode(encoded(picture(i))).decode()
        lines.append(f'"data:image/png;base64,{text}",{"ab"[i % 2]}')
    lines += ['"data:image/png;base64,!!",a', "https://example.com/cat.png,a", "a.txt,b", ",b"]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    source = Source(tmp_path / "a.csv", columns={"image": "image"})
    data, _ = build_version(tmp_path / "v", source, task=images_task())
    assert len(data) == 12
    assert [row["code"] for row in bad_rows(tmp_path / "v")] == [
        "data.not_an_image", "data.image_address", "data.not_an_image", "data.empty_input",
    ]  # fmt: skip


def test_a_folder_without_classes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture(0)))
    with pytest.raises(InvalidData) as caught:
        open_tables(Source(tmp_path))
    assert caught.value.code == "data.no_classes"


def test_samples_of_a_large_folder_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feilun.data.sources.base._SAMPLE_BYTES", 1000)
    (table,) = open_tables(Source(classes(tmp_path / "pets", 30)))
    assert len(table.samples()[0].values) < 10
    assert len(rows_of(table)) == 60


# Each is kept as it is; what the task makes of it is the task's: RGB, the first frame.
ODD = {
    "cmyk.jpg": lambda: encoded(picture(1, "CMYK"), "JPEG"),
    "grey16.png": lambda: encoded(Image.fromarray(np.full((8, 8), 40_000, np.uint16))),
    "animated.gif": lambda: encoded(
        picture(2), "GIF", save_all=True, append_images=[picture(3), picture(4)]
    ),
    "alpha.webp": lambda: encoded(picture(5, "RGBA"), "WEBP"),
    "palette.png": lambda: encoded(picture(6, "P")),
    "bits.tiff": lambda: encoded(picture(7, "1"), "TIFF"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_pictures_are_accepted(tmp_path: Path, name: str) -> None:
    folder = classes(tmp_path / "pets")
    (folder / "cat" / name).write_bytes(ODD[name]())
    data, report = build_version(tmp_path / "v", folder, task=images_task())
    assert (len(data), report.bad) == (17, 0)
    assert ODD[name]() in list(data.items())


def test_corrupt_pictures_are_bad_rows(tmp_path: Path) -> None:
    folder = classes(tmp_path / "pets")
    good = encoded(picture(50, size=64))
    (folder / "cat" / "cut.png").write_bytes(good[: len(good) // 2])
    (folder / "cat" / "empty.png").write_bytes(b"")
    (folder / "cat" / "text.jpg").write_bytes(b"this is no picture")
    jpeg = encoded(picture(51, size=64), "JPEG")
    (folder / "dog" / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    data, report = build_version(tmp_path / "v", folder, task=images_task())
    assert (len(data), report.bad) == (16, 4)
    files = [row["values"]["file"] for row in bad_rows(tmp_path / "v")]
    assert files == ["cat/cut.png", "cat/empty.png", "cat/text.jpg", "dog/cut.jpg"]
    assert all(row["reason"] for row in bad_rows(tmp_path / "v"))


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    folder = classes(tmp_path / "pets")
    with (folder / "cat" / "huge.png").open("wb") as stream:
        stream.truncate(100 << 20)
    _, report = build_version(tmp_path / "v", folder, task=images_task())
    assert [row["code"] for row in bad_rows(tmp_path / "v")] == ["data.image_too_large"]
    assert report.rows == 16


def bomb(side: int) -> bytes:
    """A sound PNG of side x side black pixels: some hundred kilobytes that unpack to gigabytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8) * 1000
    data = b"".join(packer.compress(row) for _ in range(side // 1000)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


BUILD = """
import resource, sys
from pathlib import Path
from feilun.config import DataConfig
from feilun.data.sources import Source
from feilun.data.versions import build
from feilun.tasks import base

task = base.get("image-classification")
for example in task.examples:
    task.check(example.item)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = build([Source(Path(sys.argv[1]))], task=task, settings=DataConfig(), out=Path(sys.argv[2]),
               bad_rows=Path(sys.argv[2] + ".bad"))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(report.rows, report.bad, (peak - before) // 1024)
"""


@pytest.mark.slow
def test_an_image_bomb_costs_no_memory(tmp_path: Path) -> None:
    folder = classes(tmp_path / "pets")
    data = bomb(48_000)
    assert len(data) < 1 << 20
    for i in range(3):
        (folder / "cat" / f"bomb{i}.png").write_bytes(data)
    argv = [sys.executable, "-c", BUILD, str(folder), str(tmp_path / "v")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert not done.returncode, done.stderr
    rows, bad, mebibytes = done.stdout.split()
    assert (rows, bad) == ("16", "3")
    assert int(mebibytes) < 100  # unpacked, each holds 2.3 billion pixels
    assert {row["code"] for row in bad_rows(tmp_path / "v")} == {"tasks.too_many_pixels"}
