"""Answering in this process, through a server, and on files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.engines.base import open_engine
from feilun.engines.card import FILE as CARD
from feilun.errors import EnvironmentProblem, InvalidData, NotFound, UsageError
from feilun.messages import t
from feilun.pipeline.context import Context
from feilun.project.results import Evaluated, FeedbackAdded, Predicted
from feilun.store import Store
from feilun.store.records import ModelVersion
from feilun.tasks.base import TaskBase
from feilun.types import Item

if TYPE_CHECKING:
    from feilun.project.project import Project

__all__ = ["add_feedback", "call", "evaluate_file", "predict", "read_items"]


def predict(
    project: Project, items: Sequence[Item], model: str | None, all_scores: bool
) -> Predicted:
    """Answers by the live version, the newest when none is live, or `model`: the name of a
    version, or the folder of an exported one."""
    if model is not None and (Path(model) / CARD).is_file():
        folder, name = Path(model), Path(model).name
    else:
        live = project.live
        version = project.model(model) if model or live is None else live
        artifact = version.record.artifact()
        if artifact is None:
            raise NotFound("store.version_without_weights", version=version.id, state=version.state)
        folder, name = project.workspace.store.artifacts.path(artifact), version.id
    checked = [project.task.check(item) for item in items]
    engine = open_engine(folder)
    try:
        outputs = engine.predict(checked, all_scores)
    finally:
        engine.close()
    return Predicted(name, [_words(item) for item in items], outputs)


def call(url: str, key: str, model: str, items: Sequence[Item], all_scores: bool) -> Predicted:
    """Answers by the server at `url`, metered under `key`."""
    from feilun.client import ApiError, Client

    try:
        with Client(url, key) as client:
            answer = client.predict(list(items), model=model, all_scores=all_scores)
    except ApiError as error:
        raise UsageError("project.server_refused", url=url, reason=str(error)) from None
    except OSError as error:
        raise EnvironmentProblem("project.server_away", url=url, reason=str(error)) from None
    return Predicted(
        answer.model, [_words(item) for item in items], answer.outputs, answer.id, answer.usage
    )


def read_items(task: TaskBase, given: Sequence[str], columns: Mapping[str, str]) -> list[Item]:
    """Texts as they are; the rows of what is a file. For tasks on media a file is one item."""
    media = task.columns[0].kind not in ("text", "category", "number")
    items: list[Item] = []
    for word in given:
        file = Path(word)
        if len(word) < 1024 and file.is_file():
            items += [file.read_bytes()] if media else _rows(task, file, columns)
        elif media:
            raise NotFound("project.no_such_file", file=word)
        else:
            items.append(word)
    if not items:
        raise InvalidData("project.nothing_to_answer")
    return items


def _rows(task: TaskBase, file: Path, columns: Mapping[str, str]) -> list[Item]:
    from feilun.data.reading import read
    from feilun.data.sources.base import Source

    wanted = {role: column for role, column in columns.items() if role != "label"}
    return [example.item for example in read(Source(file), task, wanted, need_label=False)]


def evaluate_file(context: Context, version: ModelVersion, file: Path) -> Evaluated:
    """The scores of `version` on the labelled rows of `file`, which are kept nowhere."""
    import numpy as np

    from feilun.data.reading import read
    from feilun.data.sources.base import Source
    from feilun.metrics.classification import scores
    from feilun.metrics.probabilities import softmax

    columns = context.config.data.columns
    examples = list(read(Source(file), context.task, columns, need_label=True))
    engine = open_engine(context.folder(version))
    try:
        labels = engine.card.schema.labels
        known = [e for e in examples if e.label in labels]
        if not known:
            seen = sorted({str(e.label) for e in examples})[:20]
            raise InvalidData("project.no_known_label", file=file, seen=seen, options=labels)
        logits = engine.logits([e.item for e in known])
        temperature = engine.card.temperature
    finally:
        engine.close()
    truth = np.array([labels.index(str(e.label)) for e in known])
    found = scores(truth, softmax(logits / temperature), len(labels))
    unknown = len(examples) - len(known)
    notes = [t("project.unknown_labels", rows=unknown)] if unknown else []
    metrics = {name: _interval(score) for name, score in found.items()}
    return Evaluated(version.id, len(known), metrics, "", notes, None, None)


def _interval(score: Any) -> dict[str, float] | None:
    return None if score is None else {"value": score.value, "low": score.low, "high": score.high}


def add_feedback(store: Store, file: Path) -> FeedbackAdded:
    """The corrections of `file`, as the operator's word."""
    from feilun.feedback.collect import add_file

    result = add_file(store.catalog, store.ledger, file)
    refused = [{"row": fault.row, "reason": fault.error.message()} for fault in result.refused]
    return FeedbackAdded(result.accepted, refused)


def _words(item: Item) -> str:
    if isinstance(item, bytes):
        return t("project.bytes", count=len(item))
    if isinstance(item, Mapping):
        return "; ".join(f"{name}={_words(value)}" for name, value in item.items())
    return str(item)
