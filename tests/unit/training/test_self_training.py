"""Rows without a label teach what a version is sure of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from feilun.engines.base import open_engine
from feilun.engines.card import read_card
from feilun.errors import UsageError
from feilun.pipeline.steps._members import unlabelled
from feilun.project import Project
from feilun.store.dataset import Dataset
from feilun.training.out_of_fold import FILE
from helpers.bert import write_bert
from helpers.jobs import job_for, train, write_dataset, write_unlabelled
from helpers.linear import answered, linear_project
from helpers.rows import reviews

KNOWN, NEW = ("lovely", "stale"), ("splendid", "rancid")
LABELS = ("great", "bad")
PLAIN = {"augment": "off"}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A linear version that knows two words, and the data that it learned from."""
    folder = tmp_path_factory.mktemp("self-training")
    rows = [(f"{KNOWN[n % 2]} tea no. {n}", LABELS[n % 2]) for n in range(120)]
    data = write_dataset(folder / "data", rows=rows, labels=("bad", "great"))
    job = job_for("linear", data, folder, settings=PLAIN)
    train(job)
    assert (job.out / FILE).is_file()
    return job.out, data


def test_words_that_only_rows_without_a_label_have_are_learnt(
    teacher: tuple[Path, Path], tmp_path: Path
) -> None:
    version, data = teacher
    both = [f"{KNOWN[n % 2]} and {NEW[n % 2]} bread {n}" for n in range(60)]
    asked = write_unlabelled(tmp_path / "unlabelled", both)
    job = job_for(
        "self-training", data, tmp_path, members=(version,), unlabelled=asked, settings=PLAIN
    )
    result = train(job)
    assert result.figures["self_taught"] > 40
    assert "60 rows without a label teach linear" in result.notes[0]
    assert read_card(job.out).method == "self-training"
    # Answers by models that learned what these rows helped to choose are none to unseen rows.
    assert not (job.out / FILE).exists()
    margins = []
    for folder in (version, job.out):
        engine = open_engine(folder, threads=1)
        raw = engine.raw([f"{word} oil" for word in NEW])
        margins.append(raw[:, 1] - raw[:, 0])
        engine.close()
    before, after = margins
    gained = after - before
    assert gained[0] > 1
    assert gained[1] < -1


def test_labels_teach_in_the_shares_that_they_have(
    teacher: tuple[Path, Path], tmp_path: Path
) -> None:
    version, data = teacher
    lots = [f"lovely bread {n}" for n in range(200)] + [f"stale bread {n}" for n in range(10)]
    asked = write_unlabelled(tmp_path / "unlabelled", lots)
    settings = {"share": 0.5, "copies": 0}
    job = job_for(
        "self-training", data, tmp_path, members=(version,), unlabelled=asked, settings=settings
    )
    known = Dataset(data).counts["train"]
    assert train(job).figures["self_taught"] == known["great"] / 2 + 10


def test_what_is_missing_is_said(teacher: tuple[Path, Path], tmp_path: Path) -> None:
    version, data = teacher
    job = job_for("self-training", data, tmp_path, members=(version,))
    with pytest.raises(UsageError, match="without a label"):
        train(job)
    with pytest.raises(UsageError, match="full"):
        train(replace(job, settings={"of": ["full"]}))
    with pytest.raises(UsageError, match="ensemble"):
        train(replace(job, settings={"of": ["ensemble"]}))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with linear_project(tmp_path, rows=120) as made:
        file = tmp_path / "more.csv"
        rows = [text for text, _ in reviews(120, noise=0.0)[:5]]
        texts = [f"lovely bread, will buy again {n}" for n in range(40)]
        file.write_text("review\n" + "\n".join(f'"{one}"' for one in [*rows, *texts]), "utf-8")
        made.add_corpus(file)
        yield made


@pytest.mark.slow
def test_corpora_and_calls_teach_but_no_row_of_the_data(project: Project, tmp_path: Path) -> None:
    project.run(method="linear")
    answered(project, 10)
    context = project.scope.context()
    found = {
        name: unlabelled(context, settings, tmp_path / name)
        for name, settings in {
            "nothing": {},
            "corpus": {"corpus": True},
            "both": {"corpus": True, "traffic": True},
        }.items()
    }
    assert found["nothing"] is None
    sizes = [len(Dataset(found[name])) for name in ("corpus", "both")]
    assert sizes == [40, 50]


@pytest.mark.slow
def test_it_is_a_version_like_any_other(project: Project) -> None:
    project.run(method="self-training")
    made = project.workspace.store.catalog.model_versions(project.name)[-1]
    assert made.method == "self-training"
    assert made.metrics["training"]["self_taught"] > 0
    again = project.compare("linear,self-training").found
    assert {one.method for one in again.methods if one.score} == {"linear", "self-training"}


def test_what_learns_again_begins_with_its_base(project: Project, tmp_path: Path) -> None:
    base = write_bert(tmp_path / "bert")
    text = project.file.read_text("utf-8")
    project.file.write_text(text.replace("[project]\n", f'[project]\nbase = "{base}"\n', 1))
    for of, wanted in (([], None), (["full"], str(base))):
        asked = {"training.method": "self-training", "training.self-training.of": of}
        assert project.plan(overrides=asked).stages[-1]["base_name"] == wanted
