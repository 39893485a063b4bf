"""Public tasks that ask a language model which text it finds likelier, in their published formats,
scored as lm-evaluation-harness scores them (0.4, ``lm_eval/api/task.py``).

Of a question with choices each is appended to its context; `acc` counts the questions whose right
choice has the highest log-likelihood, `acc_norm` those for which it is highest a character of the
choice, `acc_bytes` a byte. LAMBADA asks for the last word: `acc` counts those that the model would
have written, and `perplexity` is e to the power of its mean negative log-likelihood. Plain texts,
such as WikiText, are predicted in pieces of 400 characters, each from its beginning:
`bits_per_byte` tells how well.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from feilun.errors import InvalidData
from feilun.metrics import comparison
from feilun.metrics.bits import Bits
from feilun.metrics.intervals import wilson
from feilun.metrics.scores import Score

__all__ = ["FORMATS", "Asked", "read", "scores", "task_files"]

FORMATS = ("hellaswag", "arc", "piqa", "winogrande", "lambada", "texts")
_PIECE = 400
"""Characters of a text that are predicted at once: fewer tokens than any model reads."""

Likelihood = Callable[[str, str], tuple[float, bool]]
"""The log-likelihood in nats of a text after a context, and whether each of its tokens is the most
probable one."""


class Asked(NamedTuple):
    """One question. Choice N is `continuations` N after `contexts` N; by the length of `choices`
    likelihoods are normalised; `right` is the place of the right one. One continuation alone asks
    whether the model would have written it, or, where no place is right, how likely it is."""

    contexts: tuple[str, ...]
    continuations: tuple[str, ...]
    choices: tuple[str, ...]
    right: int


def task_files(folder: Path) -> list[tuple[str, Path]]:
    """The files of a folder (or the one file) with the format of each, told by its first row; what
    has none of the formats is left out. Raises `InvalidData` where none is left."""
    files = [folder] if folder.is_file() else sorted(folder.rglob("*"))
    found = []
    for file in files:
        if file.suffix == ".txt" and _blocks(file):
            found.append(("texts", file))
            continue
        if not file.suffix.startswith(".json") and file != folder:
            continue
        first = next(_rows(file), None)
        name = _format(first[1]) if first else None
        if name is not None:
            found.append((name, file))
    if not found:
        raise InvalidData("evaluation.no_suite_files", folder=folder, options=list(FORMATS))
    return found


def read(name: str, file: Path) -> list[Asked]:
    """The questions of a file. Raises `InvalidData` with the line of a row that is not of the
    format."""
    found: list[Asked] = []
    if file.suffix == ".txt":
        return [one for text in _blocks(file) for one in _pieces(text)]
    for line, row in _rows(file):
        try:
            if name == "texts":
                found += _pieces(str(row["page"]))
                continue
            found.append(_READERS[name](row))
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise InvalidData(
                "evaluation.bad_suite_row", file=file, line=line, name=name, reason=repr(error)
            ) from None
    return found


def scores(asked: Sequence[Asked], likelihood: Likelihood) -> dict[str, Score]:
    """The task's metrics, each with its interval of 95 %."""
    if all(one.right < 0 for one in asked):
        nats = np.array([-likelihood("", one.choices[0])[0] for one in asked])
        bits = Bits(nats, np.array([len(one.choices[0].encode()) for one in asked]))
        return {name: one for name, one in comparison.scores(bits).items() if one is not None}
    if all(len(one.continuations) == 1 for one in asked):
        return _last_words(asked, likelihood)
    right = {"acc": 0, "acc_norm": 0, "acc_bytes": 0}
    for one in asked:
        pairs = zip(one.contexts, one.continuations, strict=True)
        nats = np.array([likelihood(*pair)[0] for pair in pairs])
        lengths = {
            "acc": np.ones(len(nats)),
            "acc_norm": np.array([float(len(text)) for text in one.choices]),
            "acc_bytes": np.array([float(len(text.encode())) for text in one.choices]),
        }
        for name, length in lengths.items():
            right[name] += int(np.argmax(nats / np.maximum(length, 1))) == one.right
    return {name: wilson(count, len(asked)) for name, count in right.items()}


def _last_words(asked: Sequence[Asked], likelihood: Likelihood) -> dict[str, Score]:
    found = [likelihood(one.contexts[0], one.continuations[0]) for one in asked]
    nats = np.array([one for one, _ in found])
    mean = float(nats.mean())
    error = 1.96 * float(nats.std(ddof=1)) / math.sqrt(len(nats)) if len(nats) > 1 else math.inf
    low, high = (math.exp(min(700.0, -(mean + sign * error))) for sign in (1, -1))
    greedy = sum(one for _, one in found)
    return {
        "acc": wilson(greedy, len(found)),
        "perplexity": Score(math.exp(min(700.0, -mean)), low, high),
    }


# Formats


def _hellaswag(row: Mapping[str, Any]) -> Asked:
    if "ctx_a" in row:
        context = f"{row['ctx_a']} {str(row['ctx_b']).capitalize()}"
    else:
        context = str(row["ctx"])
    query = _howto(f"{row['activity_label']}: {context}")
    return _choice(query, [_howto(str(one)) for one in row["endings"]], int(row["label"]))


def _howto(text: str) -> str:
    """A text of WikiHow without its marks."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def _arc(row: Mapping[str, Any]) -> Asked:
    question, choices = row["question"], row.get("choices", ())
    if isinstance(question, Mapping):  # as AI2 published it
        question, choices = question["stem"], question["choices"]
    if isinstance(choices, Mapping):  # as Hugging Face has it
        pairs = list(zip(choices["label"], choices["text"], strict=True))
    else:
        pairs = [(one["label"], one["text"]) for one in choices]
    labels = [str(label) for label, _ in pairs]
    context = f"Question: {question}\nAnswer:"
    return _choice(context, [str(one) for _, one in pairs], labels.index(str(row["answerKey"])))


def _piqa(row: Mapping[str, Any]) -> Asked:
    context = f"Question: {row['goal']}\nAnswer:"
    return _choice(context, [str(row["sol1"]), str(row["sol2"])], int(row["label"]))


def _winogrande(row: Mapping[str, Any]) -> Asked:
    sentence = str(row["sentence"])
    place = sentence.index("_")
    options = [str(row["option1"]), str(row["option2"])]
    right = ("1", "2").index(str(row["answer"]))
    choices = tuple(sentence[:place] + one for one in options)
    follows = " " + sentence[place + 1 :].strip()
    return Asked(choices, (follows, follows), choices, right)


def _lambada(row: Mapping[str, Any]) -> Asked:
    before, _, last = str(row["text"]).rpartition(" ")
    if not before:
        raise ValueError("one word alone")
    return Asked((before,), (" " + last,), (last,), 0)


def _pieces(text: str) -> list[Asked]:
    text = text.strip()
    parts = [text[place : place + _PIECE] for place in range(0, len(text), _PIECE)]
    return [Asked(("",), (one,), (one,), -1) for one in parts]


def _blocks(file: Path) -> list[str]:
    """The paragraphs of a text file, those that belong together in one piece."""
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise InvalidData("evaluation.bad_suite_file", file=file, reason=str(error)[:200]) from None
    return [one for one in re.split(r"\n\s*\n", text) if one.strip()]


def _choice(context: str, choices: Sequence[str], right: int) -> Asked:
    if not 0 <= right < len(choices):
        raise ValueError(f"label {right}")
    every = tuple(f" {one}" for one in choices)
    return Asked((context,) * len(choices), every, tuple(choices), right)


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Asked]] = {
    "hellaswag": _hellaswag,
    "arc": _arc,
    "piqa": _piqa,
    "winogrande": _winogrande,
    "lambada": _lambada,
}


def _format(row: Mapping[str, Any]) -> str | None:
    """The format of a row, by its keys."""
    keys = set(row)
    wanted = (
        ("hellaswag", {"endings", "label"}),
        ("arc", {"question", "answerKey"}),
        ("piqa", {"goal", "sol1", "sol2"}),
        ("winogrande", {"sentence", "option1", "option2"}),
    )
    for name, needed in wanted:
        if needed <= keys:
            return name
    return "lambada" if keys == {"text"} else "texts" if keys == {"page"} else None


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file with their lines. Raises `InvalidData` for a line that is no
    JSON object."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                value = json.loads(line)
                if not isinstance(value, dict):
                    raise ValueError(type(value).__name__)
                yield number, value
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidData("evaluation.bad_suite_file", file=file, reason=str(error)[:200]) from None
