"""Every demonstration has real rows that its task reads; nothing of them is trained here."""

from __future__ import annotations

from pathlib import Path

import pytest

from feilun import registry
from feilun.data.content import content_key
from feilun.data.reading import read
from feilun.data.sources import BadRow, Source
from feilun.demo.sample import configure, prepare
from feilun.errors import UsageError
from feilun.project import Workspace
from feilun.tasks import base
from helpers.few import few

LANGUAGES = {"translation": ("en", "zh"), "summarization": ("en", "zh"),
             "chat": ("en", "zh"), "question-answering": ("en", "zh"),
             "text-classification": ("en", "zh"), "text-tagging": ("en", "zh"),
             "text-pair-classification": ("en", "zh")}  # fmt: skip
SHOWN = [(task, lang) for task in registry.names("demos") for lang in LANGUAGES.get(task, ("en",))]


LONGER = [("text-pair-classification", "zh"), ("text-tagging", "zh"), ("summarization", "zh")]


@pytest.mark.parametrize(("task", "lang"), few(SHOWN, *(one for one in SHOWN if one not in LONGER)))
def test_its_rows_are_read_by_its_task(task: str, lang: str, tmp_path: Path) -> None:
    found = prepare(task, tmp_path, lang)
    assert found.task == task
    one = base.get(task)
    with Workspace(tmp_path / "workspace") as workspace:
        project = workspace.init(found.name, task=task)
        configure(project.file, found)
        assert project.config().data.columns == found.columns
    if one.open_columns:  # which are bound to the columns of a data version
        return
    bad: list[BadRow] = []
    testing = list(read(Source(found.testing, columns=found.columns), one, bad=bad.append))
    assert not bad
    assert len(testing) >= 100
    assert len({row.label for row in testing}) > 1
    known = {content_key(row.item) for row in testing}
    training = list(read(Source(found.training, columns=found.columns), one, bad=bad.append))
    assert len(training) > 2 * found.traffic
    if not one.recurring and task != "text-classification":  # whose files come divided
        assert not [row for row in training if content_key(row.item) in known]
    if one.modality == "text" and lang == "zh":
        assert any("\u4e00" <= letter <= "\u9fff" for row in testing for letter in str(row.item))


def test_a_task_without_one_is_told_which_have(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        prepare("astrology", tmp_path, "en")
    assert caught.value.code == "demo.no_such_task"
    for task in registry.names("demos"):
        assert task in (caught.value.hint("en") or "")


def test_demonstrations_are_of_tasks_that_there_are() -> None:
    assert set(registry.names("demos")) <= set(base.names())
