"""Whatever people add: a clear error or a documented treatment, and nothing lost."""

from __future__ import annotations

import csv
import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feilun import messages
from feilun.data.sources.base import ExampleSource
from feilun.data.versions import MAX_LABELS
from feilun.errors import CorruptArtifact, FeilunError, InvalidData
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.types import Example
from helpers.builds import bad_rows, build_version
from helpers.few import few
from helpers.rows import reviews, write_reviews


def refused(
    tmp_path: Path, text: str, name: str = "a.csv", task: TaskBase | None = None
) -> FeilunError:
    """What a file of this text is refused with; the folder is no data version then."""
    file = tmp_path / name
    file.write_text(text, "utf-8")
    with pytest.raises(FeilunError) as caught:
        build_version(tmp_path / "v", file, task=task)
    with pytest.raises(CorruptArtifact):
        Dataset(tmp_path / "v")
    assert not (tmp_path / "v" / ".spill").exists()
    error = caught.value
    assert str(error)
    assert any("\u4e00" <= c <= "\u9fff" for c in error.message("zh"))
    return error


def rows(count: int, label: str = "{}") -> str:
    return "".join(f"text number {i},{label.format(i)}\n" for i in range(count))


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", "data.empty_file", "is empty"),
        ("text,label\n", "data.no_rows", "no rows in: a.csv"),
        ("text,label\nI like it,good\nI hate it,bad\n", "data.too_few_rows", "2 different rows"),
        (
            "text,label\n" + rows(50, "good") + rows(50, "bad"),
            "data.too_few_decided",
            "50 contents",
        ),
        ("text,label\n" + rows(50, "good"), "data.one_class", "'good'"),
        ("text,label\n" + "the same,good\n" * 50, "data.all_duplicates", "50 rows"),
        ("text,label\n" + rows(50, ""), "data.all_bad", "the label (column label) is missing"),
        ("text,label\n" + rows(50, "nan"), "data.all_bad", "the label"),
        ("text,label\n" + rows(5000), "data.too_many_labels", "more than 1,000 labels"),
        ("text\n" + "some words\nother words\n" * 20, "data.no_label", "it has: text"),
        ("text,label\n" + "just,too,many\n" * 20, "data.all_bad", "3 cells where the header has 2"),
    ],
)
def test_what_cannot_be_learnt_from(tmp_path: Path, text: str, code: str, said: str) -> None:
    error = refused(tmp_path, text)
    assert error.code == code
    assert said in error.message()
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("task", "head", "row", "code"),
    [
        ("text-pair-classification", "text,other", "some text {0},another {0}", "data.no_label"),
        ("text-pair-classification", "text,other,label", "text {0},text {0},yes", "data.one_class"),
        ("token-classification", "text", "some text {0}", "data.no_label"),
        ("token-classification", "text,entities", "some text {0},[]", "data.one_class"),
        ("token-classification", "text,entities", "some text {0},PER", "data.all_bad"),
        ("tabular-regression", "age,town", "{0},{1}", "data.no_label"),
        ("tabular-regression", "town,price", "{1},cheap", "data.all_bad"),
        ("forecasting", "series,time", "a,2026-01-{0:02}", "data.no_label"),
        ("forecasting", "time,value", "2026-01-{0:02},5", "data.one_class"),
        ("forecasting", "time,value", "2026-01-{0:02},much", "data.all_bad"),
        ("recommendation", "user,item", "u{0},tea", "data.one_class"),
        ("text-similarity", "question,answer", "some text {0},always", "data.one_class"),
        ("text-similarity", "question,answer", "{0},{0}", "tasks.no_input_column"),
    ],
)
def test_no_target_one_value_and_other_kinds(
    tmp_path: Path, task: str, head: str, row: str, code: str
) -> None:
    lines = (row.format(number, ["north", "east", "west"][number % 3]) for number in range(1, 29))
    text = "\n".join([head, *lines])
    assert refused(tmp_path, text, task=tasks.get(task)).code == code


@pytest.mark.parametrize(
    ("task", "target"),
    [
        ("text-classification", "label{}"),
        ("text-tagging", '["a", "tag{}"]'),
        ("token-classification", '[[0, 3, "kind{}"]]'),
        ("extraction", '{{"field{}": "row"}}'),
    ],
)
def test_a_million_names_are_not_read_to_their_end(tmp_path: Path, task: str, target: str) -> None:
    many = (Example(f"{n}", f"row {n}", target.format(n)) for n in range(1_000_000))
    with pytest.raises(InvalidData) as caught:
        build_version(tmp_path / "v", ExampleSource("many", many), task=tasks.get(task))
    assert caught.value.code == "data.too_many_labels"
    assert caught.value.params["limit"] == MAX_LABELS
    assert int(next(many).row_id) <= MAX_LABELS + 2
    with pytest.raises(CorruptArtifact):
        Dataset(tmp_path / "v")


def test_a_thousand_labels_are_accepted(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label\n" + "".join(f"text {i},{i % 1000}\n" for i in range(2000)))
    data, report = build_version(tmp_path / "v", file)
    assert len(data.schema.labels) == 1000
    assert "data.continuous_labels" in [n.code for n in report.warnings]


def test_missing_labels_are_bad_rows_in_every_format(tmp_path: Path) -> None:
    texts = [text for text, _ in reviews(40)]
    labels = [1.0, 0.0] * 19 + [float("nan"), None]
    pq.write_table(pa.table({"text": texts, "label": pa.array(labels)}), tmp_path / "a.parquet")
    with (tmp_path / "b.jsonl").open("w") as stream:
        for text, label in zip(texts, labels, strict=True):
            stream.write(json.dumps({"text": text, "label": label}) + "\n")
    with (tmp_path / "c.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *zip(texts, labels, strict=True)])
    versions = [
        build_version(tmp_path / name[0], tmp_path / name)[0]
        for name in ("a.parquet", "b.jsonl", "c.csv")
    ]
    for name, data in zip("abc", versions, strict=True):
        assert data.schema.labels == ("0", "1")
        assert [row["code"] for row in bad_rows(tmp_path / name)] == ["data.empty_label"] * 2
        assert data.row_ids() == versions[0].row_ids()


def test_numbers_as_labels(tmp_path: Path) -> None:
    written = ["1", "1.0", " 1 ", "2", "2.00", "10"]
    file = tmp_path / "a.csv"
    file.write_text("text,label\n" + "".join(f"text {i},{written[i % 6]}\n" for i in range(60)))
    data, _ = build_version(tmp_path / "v", file)
    assert data.schema.labels == ("1", "2", "10")
    measured = "".join(f"text {i},{i / 7:.3f}\n" for i in range(60))
    file.write_text("text,label\n" + measured)
    _, report = build_version(tmp_path / "w", file)
    assert "data.continuous_labels" in [n.code for n in report.warnings]


def test_labels_that_look_alike(tmp_path: Path) -> None:
    names = ["Great", "great!", "ｇｒｅａｔ", "other"]
    file = tmp_path / "a.csv"
    file.write_text("text,label\n" + "".join(f"text {i},{names[i % 4]}\n" for i in range(80)))
    _, report = build_version(tmp_path / "v", file)
    alike = next(n for n in report.warnings if n.code == "data.alike_labels")
    assert "Great, great!, ｇｒｅａｔ" in alike.text()


def test_ten_megabytes_in_one_cell_are_told_never_cut(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    long = "word " * 2_000_000
    file.write_text("text,label\n" + rows(30, "x") + rows(30, "y")[:-1] + f"\n{long},y\n")
    file.write_text(file.read_text().replace("text number 7,y", "another,y"))
    text = "text,label\n" + "".join(f"text {i},{'xy'[i % 2]}\n" for i in range(40))
    file.write_text(f"{text}{long},y\n{'many ' * 100_000},x\n")
    data, report = build_version(tmp_path / "v", file)
    assert report.bad == 1
    row = bad_rows(tmp_path / "v")[0]
    assert (row["row"], row["code"]) == (41, "tasks.text_too_long")
    assert row["values"]["text"].endswith("… (10,000,000)")
    assert max(len(str(item)) for item in data.items()) == 500_000


def test_nul_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"text,label\n" + b"".join(b"text\0 %d,%d\n" % (i, i % 2) for i in range(3)))
    file.write_bytes(file.read_bytes() + rows(60, "1").encode() + rows(0).encode())
    data, _ = build_version(tmp_path / "v", file)
    assert data.items()[0] == "text 0"


def test_halves_of_surrogate_pairs(tmp_path: Path) -> None:
    lines = [json.dumps({"id": f"{i}\ud800", "text": f"a{i}\udc00", "label": f"{i % 2}\ud801"})
             for i in range(40)]  # fmt: skip
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    data, _ = build_version(tmp_path / "v", tmp_path / "a.jsonl")
    assert data.schema.labels == ("0\ufffd", "1\ufffd")
    example = next(data.examples())
    assert (example.row_id, example.item, example.label) == ("0\ufffd", "a0\ufffd", "0\ufffd")


def test_the_reasons_of_bad_rows_are_in_the_language_in_force(tmp_path: Path) -> None:
    messages.use("zh")
    file = write_reviews(tmp_path / "a.csv", 40)
    file.write_text(file.read_text("utf-8") + "no label,\n", "utf-8")
    _, report = build_version(tmp_path / "v", file)
    assert bad_rows(tmp_path / "v")[0]["reason"] == "缺少标签（列 score）"
    assert report.reasons[0][0].text("en") == "the label (column score) is missing"


def test_a_file_that_breaks_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    first, _ = build_version(tmp_path / "v1", write_reviews(tmp_path / "a.csv", 60))
    before = first.row_ids()
    file = tmp_path / "b.json"
    good = [{"text": text, "label": label} for text, label in reviews(3000, seed=1)]
    file.write_text(json.dumps(good)[:-200] + ", oops", "utf-8")
    with pytest.raises(InvalidData) as caught:
        build_version(tmp_path / "v2", tmp_path / "a.csv", file, previous=first)
    assert caught.value.code == "data.json_broken"
    assert caught.value.params["row"] > 2900
    assert Dataset(tmp_path / "v1").row_ids() == before


BUILD = """
import resource, sys
from pathlib import Path
from feilun.config import DataConfig
from feilun.data.sources import Source
from feilun.data.versions import build
from feilun.errors import EnvironmentProblem
from feilun.store.dataset import Dataset
from feilun.tasks import base

file, out, previous, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
print("begun", flush=True)
try:
    build([Source(Path(file))], task=base.get("text-classification"), settings=DataConfig(),
          out=Path(out), previous=Dataset(previous), bad_rows=Path(out + ".bad"))
except EnvironmentProblem as error:
    print(error.code, error.exit_code)
"""


def whole(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        digest.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return digest.hexdigest()


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    build_version(tmp_path / "v1", write_reviews(tmp_path / "a.csv", 60))
    return tmp_path / "v1"


@pytest.mark.parametrize("limit", few([300, 20_000, 250_000], 20_000))
def test_a_full_disk(tmp_path: Path, previous: Path, limit: int) -> None:
    """Real errors of the kernel, at the first byte of the spill file, in it, and after it."""
    before = whole(previous)
    file = write_reviews(tmp_path / "b.csv", 30_000, seed=1)
    argv = [sys.executable, "-c", BUILD, str(file), str(tmp_path / "v2"), str(previous), str(limit)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["begun", "dataset.disk_full", "3"], done.stderr
    with pytest.raises(CorruptArtifact):
        Dataset(tmp_path / "v2")
    assert not (tmp_path / "v2" / ".spill").exists()
    assert whole(previous) == before


def test_killed_during_a_write(tmp_path: Path, previous: Path) -> None:
    before = whole(previous)
    file = write_reviews(tmp_path / "b.csv", 40_000, seed=1)
    out = tmp_path / "v2"
    argv = [sys.executable, "-c", BUILD, str(file), str(out), str(previous), "0"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    spill = out / ".spill"
    for _ in range(3000):
        if spill.exists() and spill.stat().st_size > 100_000:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(CorruptArtifact):
        Dataset(out)
    assert whole(previous) == before
    # what was left behind is in nobody's way: the same build into a fresh folder is whole
    data, report = build_version(tmp_path / "v3", file, previous=Dataset(previous))
    assert len(data) == report.rows > 30_000
