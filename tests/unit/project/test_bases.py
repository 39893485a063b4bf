"""The base models at hand: what fits, what each would cost, what an own version is good for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from feilun.errors import InvalidData, NotFound
from feilun.project import Project
from feilun.project.bases import BasesView
from helpers.bert import write_bert
from helpers.cli import feilun_json
from helpers.linear import linear_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("bases")
    write_bert(folder / "reads")
    write_bert(folder / "foreign", texts=["别的 语言"])
    with linear_project(folder, rows=120) as made:
        yield made


@pytest.fixture(scope="module")
def seen(project: Project) -> BasesView:
    return project.bases(["reads", "foreign"], rows=50)


def test_what_fits_comes_first_with_what_it_costs(project: Project, seen: BasesView) -> None:
    named = {one.name: one for one in seen.bases}
    best = seen.bases[0]
    assert best.reason is None
    assert best.name == "reads", "the starter cannot read Chinese"
    assert named["reads"].kind == "folder"
    assert named["reads"].unknown is not None
    assert named["minilm"].unknown is not None
    assert named["reads"].unknown < 0.2 < named["minilm"].unknown
    assert named["reads"].score is not None
    methods = {one.method for one in named["reads"].costs}
    assert {"head", "full"} <= methods
    assert all(one.seconds > 0 and one.memory > 0 for one in named["reads"].costs)
    assert seen.rows == 50
    assert seen.next == f"feilun run --base {best.name}"


def test_what_cannot_read_the_rows_is_left_out_with_the_reason(seen: BasesView) -> None:
    foreign = next(one for one in seen.bases if one.name == "foreign")
    assert foreign.unknown is not None
    assert foreign.unknown > 0.5
    assert foreign.score is None
    notes = seen.tables()[0].notes
    assert any("foreign does not fit: it cannot read" in note for note in notes)


def test_what_does_not_fit_the_memory_says_so(project: Project) -> None:
    text = project.file.read_text("utf-8")
    assert "[training]\n" in text
    limited = text.replace("[training]\n", "[training]\nmemory_limit = 0.01\n", 1)
    project.file.write_text(limited, "utf-8")
    try:
        found = project.bases(["reads"], rows=20)
    finally:
        project.file.write_text(text, "utf-8")
    reads = next(one for one in found.bases if one.name == "reads")
    assert reads.reason is not None
    assert not any(one.fits for one in reads.costs)


@pytest.mark.slow
def test_an_own_version_is_a_base_for_a_new_task(project: Project) -> None:
    project.train(method="head", overrides={"project.base": "reads", "training.augment": "off"})
    other = project.workspace.init("other", "text-tagging")
    other.add([{"text": f"w {n}", "tags": "a" if n % 2 else "b"} for n in range(40)])
    found = other.bases(rows=20)
    own = next(one for one in found.bases if one.kind == "version")
    assert own.name.startswith("reviews@")
    resolved = other.scope.context().weights(own.name)
    assert resolved is not None
    assert (resolved / "config.json").is_file()


def test_nothing_is_downloaded_and_wrong_names_say_what_is_there(project: Project) -> None:
    with pytest.raises(NotFound, match="not on this machine") as missing:
        project.bases(["org/unheard-of"])
    assert "minilm" in missing.value.message()
    table = project.workspace.init("rows", "tabular-regression")
    table.add([{"x": n % 7, "y": n % 3, "target": 2.0 * (n % 7)} for n in range(60)])
    with pytest.raises(InvalidData, match="learns from no base model"):
        table.bases()


def test_the_command(project: Project) -> None:
    words = ["bases", "org/unheard-of", "--rows", "20", "--project", "reviews"]
    refused = feilun_json(*words, cwd=project.workspace.folder, code=2)
    assert refused["error"]["code"] == "bases.not_here"
