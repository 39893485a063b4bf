"""Every task goes round the whole wheel by the commands that a newcomer types, on a part of the
real rows of its demonstration, in both languages: ``init``, ``data add``, ``run``, ``serve``, a
call, corrections, ``update``, ``evaluate --on FILE --json``. Nothing lists the tasks."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from feilun import registry
from feilun.client import encode_item
from feilun.data.reading import read
from feilun.data.sources.base import Source
from feilun.demo.sample import Sample, configure, prepare
from feilun.demo.traffic import send
from feilun.messages import Language
from feilun.project import Workspace
from feilun.tasks import base
from feilun.tasks._questions import asked
from feilun.tasks.base import TaskBase
from feilun.training.settings import methods_for
from feilun.types import Item
from helpers.cli import feilun, interrupt, start

pytestmark = pytest.mark.slow

_ROWS = {"recommendation": 6000, "image-classification": 900}
"""Rows of the training file that are kept, where `_USUAL` of them say too little."""
_USUAL, _TRAFFIC, _TESTING = 700, 120, 80
_NOT_PROMOTED = 1


@dataclass(frozen=True)
class Screen:
    """A newcomer's terminal in one folder; what it showed is printed, as ``pytest -s`` shows it."""

    folder: Path
    lang: Language

    def type(self, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        """Types ``feilun WORDS``, which ends with one of `codes`; what stood on the screen."""
        done = feilun(*words, cwd=self.folder, FEILUN_LANG=self.lang, COLUMNS="120")
        print(f"\n$ feilun {' '.join(words)}\n{done.stdout}{done.stderr}", end="")
        assert done.returncode in codes, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    @contextmanager
    def serve(self) -> Iterator[str]:
        """``feilun serve`` until Ctrl-C; its address."""
        settings = {"FEILUN_LANG": self.lang, "COLUMNS": "120"}
        process = start("serve", "--port", "0", cwd=self.folder, **settings)
        assert process.stdout is not None
        try:
            print("\n$ feilun serve --port 0")
            for line in process.stdout:
                print(line, end="")
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    break
            else:
                raise AssertionError("the server ended")
            yield found.group()
        finally:
            print(interrupt(process), end="")


def _cut(sample: Sample, keep: int) -> Path:
    """Makes both files smaller; the last rows of the training file come as a file of their own.
    Times stay in one piece, and of a catalogue its documents are kept, which are rows where
    something is missing."""
    with sample.training.open(encoding="utf-8", newline="") as stream:
        head, *rows = csv.reader(stream)
    with sample.testing.open(encoding="utf-8", newline="") as stream:
        _, *tests = csv.reader(stream)
    places = [head.index(one) for column in sample.columns.values() for one in column.split(",")]
    traffic = min(sample.traffic, max(_TRAFFIC, keep // 2))
    rows, later = rows[:-traffic], rows[-traffic:]
    alone = [row for row in rows if not all(row[place] for place in places)][:keep]
    whole = [row for row in rows if all(row[place] for place in places)][-keep:]
    asked = sample.training.with_name("later.csv")
    parts = (alone + whole, later, tests[: max(_TESTING, keep // 4)])
    for file, part in zip((sample.training, asked, sample.testing), parts, strict=True):
        with file.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([head, *part])
    return asked


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", registry.names("demos"))
def test_every_task_goes_round(name: str, lang: Language, tmp_path: Path) -> None:
    sample = prepare(name, tmp_path / "files", lang)
    later = _cut(sample, _ROWS.get(name, _USUAL))
    screen = Screen(tmp_path / "work", lang)
    screen.folder.mkdir()
    task = base.get(name)

    screen.type("init", sample.name, "--task", name)
    configure(screen.folder / sample.name / "feilun.toml", sample)
    screen.type("data", "add", str(sample.training))
    screen.type("run", "--method", methods_for(task)[0])
    key = screen.type("keys", "create", "Acme").splitlines()
    [secret] = [line.strip() for line in key if line.startswith("fl_")]

    with screen.serve() as address:
        rows = _asked(screen.folder, Source(later, columns=sample.columns))
        raw = httpx.post(
            f"{address}/v1/predict",
            headers={"authorization": f"Bearer {secret}"},
            json={"inputs": [encode_item(rows[0][0])], "model": sample.name},
            timeout=60,
        )
        print(rows[0], json.dumps(raw.json(), ensure_ascii=False)[:1500])
        assert raw.status_code == 200, raw.text
        sent = send(address, [secret], sample.name, rows, lambda done: None, task.family)
        print(sent.rows, sent.right, sent.corrected, sent.confirmed, sent.failed, sent.lost)
        assert (sent.failed, sent.lost) == (0, 0)
        assert sent.corrected > 0
    screen.type("update", codes=(0, _NOT_PROMOTED))
    found = json.loads(screen.type("evaluate", "--on", str(sample.testing), "--json"))
    _has_intervals(found["metrics"], task)
    screen.type("evaluate")


def _asked(folder: Path, source: Source) -> list[tuple[Item, str]]:
    """The rows of a file as customers send them, each with what is right."""
    with Workspace(folder) as workspace:
        context = workspace.project().scope.context()
        data = context.store.catalog.latest_data(workspace.project().name)
        assert data is not None
        task = base.of(context.dataset(data).schema)
    found = asked(task, list(read(source, task)))
    return [(one.item, one.label) for one in found if one.label]


def _has_intervals(found: Mapping[str, Mapping[str, float]], task: TaskBase) -> None:
    """Every metric that is measured lies in its interval; some are defined for two labels alone."""
    assert task.primary in found
    assert set(found) <= set(task.family.metrics)
    for name, one in found.items():
        assert one["low"] <= one["value"] <= one["high"], name
