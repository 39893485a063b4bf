"""Takes what people say of answers: what would have been right, that one is rejected and why, a
note. One at a time from the API, or a file of it.

Only the customer who got an answer may label it. To anybody else it does not exist, so that ids
cannot be probed. A label that the model does not know is taken too: it waits until it has enough
rows to be learned.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.errors import FeilunError, Forbidden, InvalidData, NotFound
from feilun.store.catalog import Catalog
from feilun.store.ledger import Ledger
from feilun.store.ledger_records import Asked, Feedback, FeedbackSource, Prediction, Remark
from feilun.tasks import base as tasks

__all__ = ["LONGEST_NOTE", "FileResult", "RefusedRow", "accept", "add_file", "remark", "take"]

LONGEST_NOTE = 2000
"""Characters of a note."""


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row of a feedback file that was not taken: its number as the user counts, and why."""

    row: int
    error: FeilunError


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of a feedback file: pieces taken, and the rows that were not."""

    accepted: int
    refused: tuple[RefusedRow, ...]


def accept(
    catalog: Catalog,
    ledger: Ledger,
    prediction_id: str,
    index: int,
    label: Any,
    *,
    source: FeedbackSource = "customer",
    customer: str | None = None,
    key_id: str | None = None,
    asked: Asked | None = None,
    project: str | None = None,
) -> Feedback:
    """Notes that `label` is the right answer to input `index` of an earlier call, by which key,
    and why a person was `asked` for it.

    Raises `NotFound` for an answer that is not there or went to another customer, `Gone` when its
    input is no longer kept or never was, `InvalidData` for something that is no label, and for an
    answer of another project than `project`, where one is named.
    """
    answer = _answer(ledger, prediction_id, index, source, customer, project)
    text = _label(catalog, answer, label)
    try:
        return ledger.add_feedback(
            prediction_id,
            index,
            text,
            source=source,
            customer=customer,
            key_id=key_id,
            asked=asked,
        )
    except (Forbidden, NotFound):
        raise _hidden(prediction_id, index) from None


def remark(
    catalog: Catalog,
    ledger: Ledger,
    prediction_id: str,
    index: int,
    *,
    rejected: str | None = None,
    note: str = "",
    source: FeedbackSource = "customer",
    customer: str | None = None,
    key_id: str | None = None,
    asked: Asked | None = None,
    project: str | None = None,
) -> Remark:
    """Rejects an answer for one of the family's faults, `rejected`, without saying what would be
    right, or keeps a `note` on it.

    Raises as `accept` does, but for `Gone`; `InvalidData` for a reason that there is not, and for a
    note that is too long.
    """
    answer = _answer(ledger, prediction_id, index, source, customer, project)
    _check(catalog, answer, rejected, note)
    try:
        return ledger.add_remark(
            prediction_id,
            index,
            reason=rejected,
            note=note.strip(),
            source=source,
            customer=customer,
            key_id=key_id,
            asked=asked,
        )
    except (Forbidden, NotFound):
        raise _hidden(prediction_id, index) from None


def take(
    catalog: Catalog,
    ledger: Ledger,
    prediction_id: str,
    index: int,
    label: Any = None,
    *,
    rejected: str | None = None,
    note: str = "",
    **who: Any,
) -> tuple[Feedback | None, Remark | None]:
    """All that is said of an answer at once: the right one, that it is rejected, a note; see
    `accept` and `remark`, whose keywords `who` are. All of it is kept, or nothing. Raises
    `InvalidData` where nothing is said."""
    blank = label is None or (isinstance(label, str) and not label.strip())
    if blank and not rejected:
        raise InvalidData("feedback.no_label", param="label")
    if rejected or note.strip():
        # What cannot be said is refused before anything is kept.
        answer = _answer(
            ledger,
            prediction_id,
            index,
            who.get("source", "customer"),
            who.get("customer"),
            who.get("project"),
        )
        _check(catalog, answer, rejected or None, note)
    said = None
    if not blank:
        said = accept(catalog, ledger, prediction_id, index, label, **who)
    remarked = None
    if rejected or note.strip():
        remarked = remark(
            catalog, ledger, prediction_id, index, rejected=rejected or None, note=note, **who
        )
    return said, remarked


def _check(catalog: Catalog, answer: Prediction, rejected: str | None, note: str) -> None:
    """Raises `InvalidData` for what `remark` does not keep."""
    task = tasks.get(catalog.project(answer.project).task)
    if rejected is not None and rejected not in task.family.faults:
        key = "feedback.unknown_fault" if task.family.faults else "feedback.no_faults"
        options = task.family.faults
        raise InvalidData(
            key, given=rejected[:40], options=options, task=task.name, param="rejected"
        )
    if len(note) > LONGEST_NOTE:
        raise InvalidData("feedback.long_note", length=len(note), limit=LONGEST_NOTE, param="note")


def _hidden(prediction_id: str, index: int) -> NotFound:
    return NotFound("feedback.no_prediction", id=prediction_id, index=index, param="prediction_id")


def _answer(
    ledger: Ledger,
    prediction_id: str,
    index: int,
    source: FeedbackSource,
    customer: str | None,
    project: str | None,
) -> Prediction:
    """The answer that `source` may speak of."""
    try:
        answer = ledger.prediction(prediction_id, index)
    except NotFound:
        raise _hidden(prediction_id, index) from None
    if source == "customer" and (customer is None or answer.customer != customer):
        raise _hidden(prediction_id, index)
    if project is not None and answer.project != project:
        raise InvalidData(
            "feedback.other_project",
            id=prediction_id,
            index=index,
            kept=answer.project,
            project=project,
        )
    return answer


def _label(catalog: Catalog, answer: Prediction, label: Any) -> str:
    """The label in the task's own form, as the data room writes it; it must fit its input."""
    task = tasks.get(catalog.project(answer.project).task)
    if isinstance(label, list | dict) and not task.family.structured:
        raise InvalidData("feedback.not_one_label", given=str(label)[:40], param="label")
    text = task.family.target(label)
    if text is None:
        raise InvalidData("feedback.no_label", param="label")
    if answer.input is not None:
        task.agree(answer.input, text)
    return text


def add_file(
    catalog: Catalog,
    ledger: Ledger,
    file: Path,
    *,
    source: FeedbackSource = "operator",
    customer: str | None = None,
    project: str | None = None,
) -> FileResult:
    """Takes feedback from a CSV (``.csv``, ``.tsv``) or JSON Lines file (``.jsonl``).

    Columns ``prediction_id`` and ``label``, ``index`` where calls had several inputs, ``rejected``
    (a fault; the label may then be empty) and ``note``. Rows that cannot be taken, those about
    answers of another project than `project` among them, are reported with the reason; the others
    count all the same. Raises `InvalidData` when the file as a whole cannot be read; then nothing
    was taken.
    """
    accepted = 0
    refused = []
    for number, row in list(_rows(file)):
        try:
            prediction_id, index, label, rejected, note = _fields(row)
            take(
                catalog,
                ledger,
                prediction_id,
                index,
                label,
                rejected=rejected,
                note=note,
                source=source,
                customer=customer,
                project=project,
            )
        except (InvalidData, NotFound, Forbidden) as error:
            refused.append(RefusedRow(number, error))
        except FeilunError as error:
            if error.status != 410:
                raise
            refused.append(RefusedRow(number, error))
        else:
            accepted += 1
    return FileResult(accepted, tuple(refused))


def _fields(row: Any) -> tuple[str, int, Any, str | None, str]:
    """The call, the input's place, the label, why the answer is rejected, a note."""
    if not isinstance(row, Mapping):
        raise InvalidData("feedback.not_an_object")
    rejected = str(row.get("rejected") or "").strip() or None
    needed = ("prediction_id",) if rejected else ("prediction_id", "label")
    missing = [name for name in needed if row.get(name) in (None, "")]
    if missing:
        raise InvalidData("feedback.row_lacks", missing=missing)
    raw = row.get("index")
    try:
        index = 0 if raw in (None, "") else int(str(raw))
    except ValueError:
        index = -1
    if index < 0:
        raise InvalidData("feedback.bad_index", index=str(raw)[:40])
    note = str(row.get("note") or "")
    return str(row["prediction_id"]), index, row.get("label"), rejected, note


def _rows(file: Path) -> Iterator[tuple[int, Any]]:
    """Rows with their numbers, counted from 1; the header of a CSV is row 1."""
    suffix = file.suffix.lower()
    if suffix not in (".csv", ".tsv", ".jsonl"):
        raise InvalidData("feedback.unknown_format", file=file, options=[".csv", ".tsv", ".jsonl"])
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            if suffix == ".jsonl":
                for number, line in enumerate(stream, 1):
                    if line.strip():
                        yield number, _json(line)
                return
            reader = csv.DictReader(stream, delimiter="\t" if suffix == ".tsv" else ",")
            columns = reader.fieldnames or ()
            said = "rejected" if "rejected" in columns else "label"
            missing = [name for name in ("prediction_id", said) if name not in columns]
            if missing:
                raise InvalidData(
                    "feedback.file_lacks", file=file, missing=missing, columns=columns or "-"
                )
            yield from enumerate(reader, 2)
    except FileNotFoundError:
        raise InvalidData("feedback.no_file", file=file) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidData("feedback.unreadable", file=file, reason=str(error)) from None


def _json(line: str) -> Any:
    """The value of one line; a line that is none is refused by itself."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
