"""CLUE's tasks (Xu and others, "CLUE: A Chinese Language Understanding Evaluation Benchmark", 2020)
in their published files, as rows of feilun's tasks.

A folder of CLUE has a folder for each task (``afqmc_public``, ``tnews``, ``CLUEWSC2020``, ...) with
``train.json`` and ``dev.json``; C3 has two of each (``d-`` of dialogues, ``m-`` of mixed texts).
The test files have no labels: ``dev.json`` is what a base is judged by here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from feilun.errors import InvalidData

__all__ = ["TASKS", "ClueTask", "Row", "found_in", "read"]

Row = dict[str, Any]
_RIGHT, _WRONG = "1", "0"


class ClueTask(NamedTuple):
    """`task` is feilun's, `metric` CLUE's by feilun's name. `rows` makes rows of one of a file.
    Where `choices` is true, rows with the same ``group`` are choices of one question, and the one
    that is likeliest to be right answers it."""

    name: str
    folder: str
    task: str
    metric: str
    rows: Callable[[Any], Sequence[Row]]
    choices: bool = False


def found_in(folder: Path) -> dict[str, tuple[list[Path], list[Path]]]:
    """The training and the dev files of each task that `folder` has, by the task's name. Raises
    `InvalidData` where it has none, or one without its dev file."""
    found = {}
    places = [one for one in sorted(folder.rglob("*")) if one.is_dir()]
    for task in TASKS.values():
        for place in (folder, *places):
            if task.folder not in place.name.casefold().replace("-", "").replace("_", ""):
                continue
            names = [sorted(place.glob(f"*{part}.json")) for part in ("train", "dev")]
            if not all(names):
                if not any(names):
                    continue
                raise InvalidData("evaluation.clue_half", folder=place, name=task.name)
            found[task.name] = (names[0], names[1])
            break
    if not found:
        raise InvalidData("evaluation.no_clue", folder=folder, options=list(TASKS))
    return found


def read(task: ClueTask, files: Sequence[Path]) -> list[Row]:
    """The rows of files. Raises `InvalidData` with file and row for what is not of the format."""
    found: list[Row] = []
    for file in files:
        for number, raw in enumerate(_raw(file), 1):
            try:
                rows = task.rows(raw)
            except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
                raise InvalidData(
                    "evaluation.bad_suite_row",
                    file=file,
                    line=number,
                    name=task.name,
                    reason=repr(error),
                ) from None
            found += [
                {**row, "group": f"{file.name}:{number}:{row.get('group', '')}"} for row in rows
            ]
    return found


def _raw(file: Path) -> Iterator[Any]:
    """The rows of JSONL, of a JSON list, or of SQuAD's ``data``."""
    try:
        text = file.read_text("utf-8-sig")
        try:
            whole = json.loads(text)
        except ValueError:
            whole = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidData("evaluation.bad_suite_file", file=file, reason=str(error)[:200]) from None
    if isinstance(whole, Mapping):
        whole = whole.get("data", [whole])
    yield from whole


def _pair(raw: Mapping[str, Any]) -> Sequence[Row]:
    label = str(raw["label"])
    if label == "-":  # CMNLI: the annotators did not agree
        return []
    return [{"text": raw["sentence1"], "other": raw["sentence2"], "label": label}]


def _sentence(raw: Mapping[str, Any]) -> Sequence[Row]:
    return [{"text": raw["sentence"], "label": str(raw["label"])}]


def _keywords(raw: Mapping[str, Any]) -> Sequence[Row]:
    words = "；".join(map(str, raw["keyword"]))
    return [{"text": raw["abst"], "other": words, "label": str(raw["label"])}]


def _pronoun(raw: Mapping[str, Any]) -> Sequence[Row]:
    """The text with the pronoun and what it may stand for marked, as two texts."""
    target, text = raw["target"], str(raw["text"])
    place, end = int(target["span2_index"]), len(str(target["span2_text"]))
    if text[place : place + end] != target["span2_text"]:
        raise ValueError(f"span2_text is not at {place}")
    marked = f"{text[:place]}[{target['span2_text']}]{text[place + end :]}"
    return [{"text": marked, "other": target["span1_text"], "label": str(raw["label"]).lower()}]


def _choices(raw: Sequence[Any]) -> Sequence[Row]:
    said, questions = raw[0], raw[1]
    context = "\n".join(map(str, said))
    found = []
    for number, one in enumerate(questions):
        choices = [str(choice) for choice in one["choice"]]
        if one["answer"] not in choices:
            raise ValueError("answer is no choice")
        for choice in choices:
            label = _RIGHT if choice == one["answer"] else _WRONG
            asked = f"{one['question']} {choice}"
            found.append({"text": asked, "other": context, "label": label, "group": str(number)})
    return found


def _read_context(raw: Mapping[str, Any]) -> Sequence[Row]:
    found = []
    for place, paragraph in enumerate(raw["paragraphs"]):
        for one in paragraph["qas"]:
            answers = list(dict.fromkeys(str(answer["text"]) for answer in one["answers"]))
            row = {"question": one["question"], "answers": answers}
            name = f"{raw.get('id', raw.get('title', ''))}-{paragraph.get('id', place)}"
            found.append({**row, "document": name, "passage": paragraph["context"]})
    return found


TASKS: Mapping[str, ClueTask] = {
    one.name: one
    for one in (
        ClueTask("AFQMC", "afqmc", "text-pair-classification", "accuracy", _pair),
        ClueTask("TNEWS", "tnews", "text-classification", "accuracy", _sentence),
        ClueTask("IFLYTEK", "iflytek", "text-classification", "accuracy", _sentence),
        ClueTask("CMNLI", "cmnli", "text-pair-classification", "accuracy", _pair),
        ClueTask("WSC", "wsc", "text-pair-classification", "accuracy", _pronoun),
        ClueTask("CSL", "csl", "text-pair-classification", "accuracy", _keywords),
        ClueTask("CMRC2018", "cmrc", "question-answering", "f1", _read_context),
        ClueTask("C3", "c3", "text-pair-classification", "accuracy", _choices, choices=True),
    )
}
