"""Answering in this process, through a server, and on files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.data.sources.base import AS_FOUND, ReadOptions
from feilun.engines.base import open_engine
from feilun.engines.card import FILE as CARD
from feilun.engines.card import read_card
from feilun.engines.explain import explain as explain_one
from feilun.errors import EnvironmentProblem, InvalidData, NotFound, UsageError
from feilun.families.base import Answers
from feilun.messages import language, t
from feilun.pipeline.context import Context
from feilun.project.advice import after_feedback
from feilun.project.results import Evaluated, FeedbackAdded, Predicted
from feilun.project.scope import Scope
from feilun.store import Store
from feilun.store.records import ModelVersion
from feilun.tasks import base as tasks
from feilun.tasks.base import TaskBase
from feilun.types import Item

if TYPE_CHECKING:
    from feilun.client import Answer

__all__ = [
    "add_feedback",
    "call",
    "evaluate_file",
    "file_names",
    "is_export",
    "predict",
    "predict_folder",
    "read_items",
    "rows_of",
]

_ONE_CALL = 100
"""Inputs that are sent without asking how many a call may carry."""
_TOO_LARGE = 413
_SHOWN = 20  # labels that are named
_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx", ".xls", ".ods")


def predict(
    scope: Scope,
    items: Sequence[Item],
    model: str | None,
    all_scores: bool,
    names: Sequence[str] | None = None,
    explain: bool = False,
) -> Predicted:
    """Answers by the live version, the newest when none is live, or `model`: the name of a
    version, or the folder of an exported one. `names` stand for the items in what is shown."""
    if model is not None and is_export(model):
        name = Path(model).resolve().name
        task = tasks.of(read_card(Path(model)).schema)
        return _answer(Path(model), name, task, items, all_scores, names, explain)
    live = scope.live()
    version = scope.version(model) if model or live is None else live
    artifact = version.artifact()
    if artifact is None or version.pruned is not None:
        raise NotFound("store.version_without_weights", version=version.id, state=version.state)
    folder = scope.store.artifacts.path(artifact)
    task = tasks.of(read_card(folder).schema)
    return _answer(folder, version.id, task, items, all_scores, names, explain)


def predict_folder(
    folder: Path,
    given: Sequence[str],
    all_scores: bool = False,
    explain: bool = False,
    read: ReadOptions = AS_FOUND,
) -> Predicted:
    """Answers texts and the rows of files by an exported version, which needs no workspace."""
    task = tasks.of(read_card(folder).schema)
    items, names = read_items(task, given, {}, read), file_names(task, given)
    return _answer(folder, folder.resolve().name, task, items, all_scores, names, explain)


def is_export(model: str) -> bool:
    """Whether `model` is the folder of a version rather than the name of one."""
    return _is_file(str(Path(model) / CARD))


def _is_file(word: str) -> bool:
    # A text may be longer than any file name may be, which the system calls an error.
    try:
        return Path(word).is_file()
    except (OSError, ValueError):
        return False


def _answer(
    folder: Path,
    name: str,
    task: TaskBase,
    items: Sequence[Item],
    all_scores: bool,
    names: Sequence[str] | None = None,
    explain: bool = False,
) -> Predicted:
    whole = [task.check(item) for item in items]
    checked = [one for item in whole for one in task.expand(item)]
    if len(checked) > len(whole):
        items, names = checked, None
    engine = open_engine(folder)
    try:
        outputs = engine.predict(checked, all_scores)
        if explain:
            for item, output in zip(checked, outputs, strict=True):
                why = explain_one(engine, item)
                output["explanation"] = why.to_output() if why else None
    finally:
        engine.close()
    return Predicted(name, names or [_words(item) for item in items], outputs)


def call(
    url: str,
    key: str,
    model: str,
    items: Sequence[Item],
    all_scores: bool,
    names: Sequence[str] | None = None,
    explain: bool = False,
) -> Predicted:
    """Answers by the server at `url`, metered under `key`, in as many calls as it needs: so many
    inputs as it says that one call may carry, fewer where it still finds that too much. When a call
    fails, those before it have been answered and metered."""
    from feilun.client import ApiError, Client, Unreachable

    answers: list[Answer] = []
    try:
        with Client(url, key, lang=language(), retries=2) as client:
            todo = [list(items)]
            if len(items) > _ONE_CALL:
                size = _max_inputs(client.models(), model) or len(items)
                todo = [list(items[n : n + size]) for n in range(0, len(items), size)]
            while todo:
                part = todo.pop(0)
                try:
                    answers.append(
                        client.predict(part, model=model, all_scores=all_scores, explain=explain)
                    )
                except ApiError as error:
                    if error.status != _TOO_LARGE or len(part) == 1:
                        raise
                    half = -(-len(part) // 2)
                    todo[:0] = [part[:half], part[half:]]
    except Unreachable as error:
        raise EnvironmentProblem("project.server_away", reason=str(error)) from None
    except ApiError as error:
        failure = EnvironmentProblem if error.status >= 500 else UsageError
        raise failure("project.server_refused", url=url, reason=str(error)) from None
    return _joined(answers, names or [_words(item) for item in items])


def _max_inputs(models: Sequence[Mapping[str, Any]], model: str) -> int | None:
    """How many inputs one call about `model` may carry, where the server says it."""
    name = model.partition("@")[0]
    found = [int(one["max_inputs"]) for one in models if one["id"] == name and "max_inputs" in one]
    return found[0] if found else None


def _joined(answers: Sequence[Answer], shown: Sequence[str]) -> Predicted:
    """The answers of several calls as those of one. Each call has an id of its own, which feedback
    refers to; a new version that goes live between two calls shows in the name."""
    name = ", ".join(dict.fromkeys(answer.model for answer in answers))
    outputs = [output for answer in answers for output in answer.outputs]
    if len(outputs) != len(shown):  # an input that asks for several answers
        shown = [str(number) for number in range(1, len(outputs) + 1)]
    if len(answers) == 1:
        return Predicted(name, shown, outputs, answers[0].id, answers[0].usage)
    usage: dict[str, Any] = {}
    for answer in answers:
        for key, value in answer.usage.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            usage[key] = usage.get(key, 0) + value if number else value
    calls = [{"id": answer.id, "inputs": len(answer.outputs)} for answer in answers]
    return Predicted(name, shown, outputs, None, usage, calls)


def read_items(
    task: TaskBase,
    given: Sequence[str],
    columns: Mapping[str, str],
    read: ReadOptions = AS_FOUND,
) -> list[Item]:
    """Texts as they are; the rows of what is a file. For tasks on media a file is one item. Raises
    `NotFound` for what is named like a file of rows and is none, rather than answer its name."""
    media = _takes_files(task)
    if read != AS_FOUND and (media or not any(map(_is_file, given))):
        raise UsageError("formats.reading_without_file")
    items: list[Item] = []
    for word in given:
        file = Path(word)
        if _is_file(word):
            items += [_sound(task, file)] if media else rows_of(task, file, columns, read)
        elif media or (word.lower().endswith(_TABLES) and not any(map(str.isspace, word))):
            raise NotFound("project.no_such_file", file=word)
        else:
            items.append(word)
    if not items:
        raise InvalidData("project.nothing_to_answer")
    return items


def file_names(task: TaskBase, given: Sequence[str]) -> list[str] | None:
    """What stands for the items of `read_items`: the files' names, None where items are texts."""
    return [Path(word).name for word in given] if _takes_files(task) else None


def _takes_files(task: TaskBase) -> bool:
    return task.modality in ("image",)


def _sound(task: TaskBase, file: Path) -> Item:
    try:
        return task.check(file.read_bytes())
    except InvalidData as error:
        raise InvalidData("project.bad_file", file=file, reason=error.message()) from None


def rows_of(
    task: TaskBase, given: Any, columns: Mapping[str, str], options: ReadOptions = AS_FOUND
) -> list[Item]:
    """The inputs of a file of rows, or of rows at hand."""
    from feilun.data.reading import read
    from feilun.data.sources.base import Held, Source

    source = Source(Held.place(given), options.options())
    wanted = {role: column for role, column in columns.items() if role != "label"}
    return [example.item for example in read(source, task, wanted, need_label=False)]


def evaluate_file(
    context: Context, version: ModelVersion, given: Any, options: ReadOptions = AS_FOUND
) -> Evaluated:
    """The scores of `version` on the labelled rows of a file, or on rows at hand, which are kept
    nowhere. A label that it does not know is one that it cannot give: such a row counts as wrong,
    so that all versions are judged on the same rows."""
    from feilun.data.reading import read
    from feilun.data.sources.base import Held, Source
    from feilun.metrics.comparison import scores
    from feilun.tasks._questions import asked

    columns, family = context.config.data.columns, context.task.family
    source = Source(Held.place(given), options.options())
    examples = asked(context.task, list(read(source, context.task, columns, need_label=True)))
    engine = open_engine(context.folder(version))
    try:
        card = engine.card
        labels = card.schema.labels
        targets = [str(e.label) for e in examples]
        if not family.known(family.truth(targets, labels)).any():
            seen = sorted({str(e.label) for e in examples})[:_SHOWN]
            raise InvalidData(
                "project.no_known_label", file=source.location, seen=seen, options=labels
            )
        unknown = [name for name in family.names(targets) if name not in labels]
        space = (*labels, *unknown)
        truth = family.truth(targets, space)
        known = family.known(truth)
        raw = engine.raw([e.item for e, has in zip(examples, known, strict=True) if has])
    finally:
        engine.close()
    answers = Answers(version.id, version.method, labels, raw, card.point)
    measured = family.sheet(answers, {}, truth[known], space).measured
    metrics = {name: _interval(score) for name, score in scores(measured).items()}
    notes = []
    if unknown:
        lacking = sum(not set(unknown).isdisjoint(family.names([one])) for one in targets)
        notes.append(t("project.unknown_labels", rows=lacking, labels=unknown[:_SHOWN]))
    alone = family.each_label(measured, space)
    return Evaluated(version.id, int(known.sum()), metrics, "", notes, None, None, labels=alone)


def _interval(score: Any) -> dict[str, float] | None:
    return None if score is None else {"value": score.value, "low": score.low, "high": score.high}


def add_feedback(store: Store, project: str, file: Path, need: int) -> FeedbackAdded:
    """The corrections of `file` to answers of `project`, as the operator's word; an update waits
    for `need` of them."""
    from feilun.feedback.collect import add_file

    result = add_file(store.catalog, store.ledger, file, project=project)
    refused = [
        {"row": fault.row, "reason": fault.error.message(), "hint": fault.error.hint()}
        for fault in result.refused
    ]
    return FeedbackAdded(result.accepted, refused, after_feedback(store, project, need))


def _words(item: Item) -> str:
    if isinstance(item, bytes):
        return t("project.bytes", count=len(item))
    if isinstance(item, Mapping):
        return "; ".join(f"{name}={_words(value)}" for name, value in item.items())
    return str(item)
