"""Rows without labels: kept, listed, drawn for labelling, and trained on by nothing."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from feilun.cli.app import run
from feilun.errors import Conflict, InvalidData, NotFound, UsageError
from feilun.project import Project, Workspace, corpus
from helpers.rows import reviews, write_reviews
from helpers.wiki import EN, ZH, dump, page


@pytest.fixture
def project(workspace_dir: Path) -> Iterator[Project]:
    with Workspace(workspace_dir) as workspace:
        yield workspace.init("reviews")


@pytest.fixture
def wiki(tmp_path: Path) -> Path:
    texts = [(EN, "Tea"), (ZH, "茶")]
    pages = [page(n, f"{texts[n % 2][1]} {n}", f"{n} {texts[n % 2][0]}") for n in range(40)]
    return dump(tmp_path / "wiki.xml.bz2", [*pages, page(99, "Tea again", f"0 {EN}")])


def test_a_dump_is_kept_as_a_corpus(project: Project, wiki: Path) -> None:
    made = project.add_corpus(wiki)
    assert made.id == "reviews:corpus1"
    assert (made.rows, made.duplicates, made.bad) == (40, 1, 0)
    rows = list(corpus.dataset(project.scope).examples())
    assert {row.label for row in rows} == {None}
    assert rows[1].row_id == "1"
    assert "茶是以" in str(rows[1].item)
    assert sum(len(str(row.item)) for row in rows) == made.characters
    assert project.workspace.store.catalog.latest_data("reviews") is None


def test_a_file_with_labels_leaves_them(project: Project, tmp_path: Path) -> None:
    file = write_reviews(tmp_path / "a.csv", 30)
    with file.open("a", encoding="utf-8") as stream:
        stream.write("  ,bad\n")
    made = project.add_corpus(file, columns={"text": "review", "label": "no such"})
    assert (made.rows, made.bad) == (30, 1)
    assert [row.label for row in corpus.dataset(project.scope, "1").examples()] == [None] * 30


def test_a_corpus_touches_no_data_version(project: Project, tmp_path: Path, wiki: Path) -> None:
    project.add(write_reviews(tmp_path / "a.csv", 60))
    project.add_corpus(wiki)
    more = project.add(write_reviews(tmp_path / "b.csv", 60, seed=1))
    assert more.version == "reviews:2"
    listed = project.show().rows
    assert [row.get("version", row.get("corpus")) for row in listed] == [
        "reviews:1",
        "reviews:2",
        "reviews:corpus1",
    ]


def test_it_survives_gc_and_backup(project: Project, wiki: Path, tmp_path: Path) -> None:
    made = project.add_corpus(wiki)
    store = project.workspace.store
    assert made.artifact in store.catalog.references()
    assert store.catalog.needed()[made.artifact] == made.id
    project.workspace.gc()
    assert len(list(corpus.dataset(project.scope, made.id).examples())) == 40
    project.workspace.backup(tmp_path / "copy")
    Workspace.restore(tmp_path / "copy", tmp_path / "other")
    with Workspace(tmp_path / "other") as other:
        assert len(list(corpus.dataset(other.project("reviews").scope).examples())) == 40


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_rows_for_labelling_come_back_as_data(
    project: Project, tmp_path: Path, suffix: str
) -> None:
    source = tmp_path / "all.jsonl"
    truth = dict(reviews(300, noise=0.0))
    source.write_text(
        "".join(json.dumps({"id": f"r{n}", "text": text}) + "\n" for n, text in enumerate(truth)),
        "utf-8",
    )
    project.add_corpus(source)
    out, again, other = (tmp_path / f"{name}{suffix}" for name in ("a", "b", "c"))
    assert corpus.sample(project.scope, out, rows=60).rows == 60
    corpus.sample(project.scope, again, rows=60)
    corpus.sample(project.scope, other, rows=60, seed=1)
    assert out.read_bytes() == again.read_bytes()
    assert out.read_bytes() != other.read_bytes()
    with pytest.raises(Conflict):
        corpus.sample(project.scope, out)
    text = out.read_text("utf-8-sig")
    if suffix == ".csv":
        rows = list(csv.DictReader(text.splitlines()))
        assert {row["label"] for row in rows} == {""}
        with out.open("w", encoding="utf-8", newline="") as stream:
            table = csv.DictWriter(stream, list(rows[0]))
            table.writeheader()
            table.writerows({**row, "label": truth[row["text"]]} for row in rows)
    else:
        rows = [json.loads(line) for line in text.splitlines()]
        assert {len(row["label"]) for row in rows} == {0}
        lines = [json.dumps({**row, "label": [truth[row["text"]]]}) for row in rows]
        out.write_text("\n".join(lines), "utf-8")
    assert len({row["row_id"] for row in rows}) == 60
    assert project.add(out).report["new"] == 60


def test_what_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        corpus.sample(project.scope, tmp_path / "a.csv")
    with pytest.raises(UsageError):
        corpus.sample(project.scope, tmp_path / "a.xlsx")
    (tmp_path / "e.csv").write_text("text\n\n")
    with pytest.raises(InvalidData):
        project.add_corpus(tmp_path / "e.csv")
    assert corpus.corpora(project.scope) == []


def test_the_commands(
    project: Project, wiki: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--workspace", str(project.workspace.folder), "--json"]
    assert run(["data", "add", str(wiki), "--corpus", *where]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 40
    assert run(["data", "corpus", *where]) == 0
    capsys.readouterr()
    out = tmp_path / "label.csv"
    assert run(["data", "corpus", "1", "--out", str(out), "--rows", "5", *where]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["file"], printed["rows"], printed["format"]) == (str(out), 5, "csv")
    assert run(["data", "add", str(wiki), "--corpus", "--split", "test", *where]) == 2


def test_the_labels_to_choose_from_are_those_there_are(
    project: Project, wiki: Path, tmp_path: Path
) -> None:
    project.add_corpus(wiki)
    project.add(write_reviews(tmp_path / "a.csv", 60))
    done = corpus.sample(project.scope, tmp_path / "a.json", rows=10)
    assert len(json.loads((tmp_path / "a.json").read_text("utf-8"))) == 10
    assert done.config is not None
    assert '<Choice value="great"/>' in done.config.read_text("utf-8")


TEAS = (
    "green",
    "black",
    "white",
    "herbal",
    "iced",
    "sweet",
    "bitter",
    "smoked",
    "old",
    "weak",
    "new",
)


def test_a_language_model_takes_the_corpora_of_other_projects_by_name(
    project: Project, tmp_path: Path
) -> None:
    """Without a file between them, and left out and divided like the documents of any source."""
    said = [
        reviews(1, seed=n)[0][0] + f" Article {n} is {word} tea." for n, word in enumerate(TEAS)
    ]
    held = [
        project.add_corpus([{"text": text, "user": "ada"} for text in texts])
        for texts in ([*said[:2], "no"], said)
    ]
    ids = [one.id for one in held]
    texts = project.workspace.init("texts", task="language-model")
    shown = texts.preview(*ids)
    assert (shown.problem, [one.name for one in shown.columns]) == (None, ["text", "subject"])
    added = texts.add(*ids)
    latest = texts.workspace.store.catalog.latest_data("texts")
    assert latest is not None
    rows = list(texts.scope.context().dataset(latest).examples())
    assert sorted((row.item, row.subject, row.source) for row in rows) == sorted(
        (text, "ada", ids[place > 1]) for place, text in enumerate(said)
    )
    assert added.report["duplicates"] == 2
    assert "likelihood.short" in json.dumps(added.report)
    assert texts.add(ids[1]).unchanged
    with pytest.raises(NotFound) as raised:
        texts.add("reviews:corpus9")
    assert ", ".join(ids) in raised.value.message("en")
    with pytest.raises(NotFound):
        texts.add("nothing:corpus1")
