"""JSON answers of a conversation: shapes, instructions, layouts, and what is no object."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feilun.engines.base import Engine, open_engine
from feilun.errors import InvalidData
from feilun.families.generation import Written
from feilun.modalities.language import conversations
from feilun.store.dataset import DatasetWriter
from feilun.types import EngineRequest, Example, Schema
from helpers.invoices import invoices
from helpers.jobs import job_for, train

READ = "Read the invoice. Answer with JSON."
SORT = "Which category is it? Answer with JSON."
ROWS = invoices(110, seed=5)
Row = tuple[str, str, str]


def _item(told: str, text: str) -> str:
    said = [conversations.Message("user", text)]
    return conversations.write([conversations.Message("system", told), *said] if told else said)


def _learnt(folder: Path, rows: Sequence[Row]) -> Path:
    """A version that learnt these answers: instruction, text, answer."""
    with DatasetWriter(folder / "data", {"messages": "text"}) as writer:
        for number, (told, text, answer) in enumerate(rows):
            writer.add(Example(f"row-{number}", _item(told, text), answer, "train"))
        writer.close(Schema("chat", (), {}))
    job = replace(job_for("extractor", folder / "data", folder), task="chat")
    train(job)
    return job.out


def _read(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False)


def _sorted(record: dict[str, Any], place: int) -> str:
    """A cut answer now and then."""
    text = json.dumps({"kind": record["category"], "urgent": False}, separators=(",", ":"))
    return text[:-3] if place % 10 == 9 else text


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    rows = [(READ, text, _read(one)) for text, one in ROWS[:80]]
    rows += [(SORT, text, _sorted(one, place)) for place, (text, one) in enumerate(ROWS[:80])]
    rows += [("", f"How are you, number {n}?", "Fine, thank you.") for n in range(8)]
    with closing(open_engine(_learnt(tmp_path_factory.mktemp("shapes"), rows))) as opened:
        yield opened


def _said(engine: Engine, told: str, text: str) -> Written:
    (one,) = engine.raw([_item(told, text)])
    written: Written = one
    return written


def test_each_instruction_gets_its_own_shape(engine: Engine) -> None:
    right = []
    for text, record in ROWS[80:100]:
        read, kind = _said(engine, READ, text), _said(engine, SORT, text)
        found = json.loads(read.text)
        right.append(found.pop("category") == record["category"])
        assert found.items() < record.items()
        assert kind.text in {_sorted({"category": one}, 0) for one in ("travel", "food", "office")}
        assert min(read.sure or 0, kind.sure or 0) > 0.2
    assert sum(right) >= 17


def test_what_was_not_learnt_is_not_sure(engine: Engine) -> None:
    text = ROWS[81][0]
    assert _said(engine, "Translate into French.", text).sure == 0
    assert _said(engine, "", "How are you, number 30?").sure == 0
    assert (_said(engine, READ, "Zebra zoo jazz").sure or 0) < 0.1
    assert (_said(engine, READ, "x" * 5000).sure or 0) < 0.1


async def _answered(engine: Engine, item: str, form: Any) -> Any:
    request = EngineRequest([item], stream=True, options={"response_format": form})
    return [chunk async for chunk in engine.submit(request)]


@pytest.mark.parametrize(
    ("schema", "fits"),
    [
        ({"type": "object", "properties": {"kind": {"type": "string"}, "urgent": {}}}, True),
        ({"type": "object", "properties": {"kind": {"enum": ["nothing"]}}}, False),
        ({"type": "object", "properties": {"kind": {}, "urgent": {}, "why": {}}}, False),
        ({"type": "object", "required": ["why"]}, False),
        ({"type": "array"}, False),
    ],
)
def test_a_schema_is_satisfied_or_nothing_is_said(engine: Engine, schema: Any, fits: bool) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    *pieces, last = asyncio.run(_answered(engine, _item(SORT, ROWS[82][0]), form))
    output = last.outputs[0]
    assert "".join(one.delta for one in pieces) == output["generated_text"]
    assert output.get("abstained", False) is not fits
    if fits:
        assert set(json.loads(output["generated_text"])) == {"kind", "urgent"}


def test_a_shape_that_changes_on_the_way_is_sure_of_neither(tmp_path: Path) -> None:
    old = [(READ, text, _read(one)) for text, one in ROWS[:30]]
    new = [(READ, text, json.dumps({"sum": one["total"], "id": one["number"]}))
           for text, one in ROWS[30:60]]  # fmt: skip
    with closing(open_engine(_learnt(tmp_path, [*old, *new]))) as engine:
        for text, _ in ROWS[60:70]:
            assert (_said(engine, READ, text).sure or 0) < 0.8


def test_a_field_of_many_values_that_come_again_is_read_where_it_stands(tmp_path: Path) -> None:
    """Each of the days has rows enough to be told by the words around it; they say nothing."""
    rows = [
        ("", f"Parcel {n} of day {day} is here.", _read({"day": f"day {day}"}))
        for n, day in enumerate([*range(10, 40)] * 6)
    ]
    with closing(open_engine(_learnt(tmp_path, rows))) as engine:
        assert json.loads(_said(engine, "", "Parcel 7 of day 77 is here.").text) == {
            "day": "day 77"
        }


@pytest.mark.parametrize(
    "answer", ["No.", '{"total": 3', '{"goods": [{"name": "tea"}]}', "[1, 2]", "{}"]
)
def test_answers_that_are_no_objects_of_fields_teach_nothing(tmp_path: Path, answer: str) -> None:
    with pytest.raises(InvalidData) as caught:
        _learnt(tmp_path, [(READ, f"{text} {n}", answer) for n, (text, _) in enumerate(ROWS[:25])])
    assert caught.value.code in ("training.no_records", "training.one_label")
