"""Pairs of a better and a worse answer to the same prompt, and how a language model learns them.

Direct preference optimisation (Rafailov and others, 2023): the better answer shall become more
probable against the worse one than it is to the model that learning began from. Beside it the
better answer is imitated a little (Pang and others, 2024, "Iterative Reasoning Preference
Optimization"), without which both may become less probable.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np

from feilun.errors import InvalidData, NotFound
from feilun.families.objective import IGNORED, Objective
from feilun.metrics.measured import Measured
from feilun.modalities.base import Encoded, Lessons
from feilun.modalities.language import conversations

if TYPE_CHECKING:
    import torch

__all__ = [
    "Pair",
    "PairRows",
    "PairScores",
    "Preference",
    "Preferred",
    "digest",
    "read_pairs",
    "scored",
]

_PROMPT = ("prompt", "messages", "question", "instruction", "问题", "提示")
_CHOSEN = ("chosen", "accepted", "选中", "更好")
_REJECTED = ("rejected", "拒绝", "更差")
_ROWS = 8  # pairs whose answers the untaught model reads at once


class Pair(NamedTuple):
    """A prompt as `conversations.canonical` writes it, and two answers to it."""

    prompt: str
    chosen: str
    rejected: str


def digest(file: Path) -> str:
    """The sha256 of a file of pairs. Raises `NotFound` where there is none."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        raise NotFound("preferences.no_such_file", file=file) from None


def read_pairs(file: Path) -> list[Pair]:
    """The pairs of a JSON Lines file: ``prompt`` (a text, or messages), ``chosen`` and ``rejected``
    (texts, or messages of which the last is the answer; without a prompt, the ones before it are).

    Raises `NotFound` without the file, `InvalidData` naming the line that is wrong.
    """
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise NotFound("preferences.no_such_file", file=file) from None
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise _wrong(file, number, str(error)) from None
        if not isinstance(row, Mapping):
            raise _wrong(file, number, type(row).__name__)
        found.append(_pair(row, file, number))
    if not found:
        raise InvalidData("preferences.empty", file=file)
    return found


def _pair(row: Mapping[str, Any], file: Path, number: int) -> Pair:
    def cell(names: Sequence[str]) -> Any:
        return next((row[name] for name in names if row.get(name)), None)

    prompt, said = cell(_PROMPT), []
    for names in (_CHOSEN, _REJECTED):
        value = cell(names)
        messages = conversations.listed(value)
        if messages is not None:
            prompt = prompt if prompt is not None else messages[:-1]
            value = messages[-1].get("content", messages[-1].get("value"))
        if not isinstance(value, str) or not value.strip():
            raise _wrong(file, number, names[0])
        said.append(value)
    if prompt is None:
        raise _wrong(file, number, _PROMPT[0])
    if said[0] == said[1]:
        raise _wrong(file, number, "chosen = rejected")
    try:
        return Pair(conversations.canonical(prompt, _PROMPT[0]), said[0], said[1])
    except InvalidData as error:
        raise _wrong(file, number, error.message()) from None


def _wrong(file: Path, line: int, what: str) -> InvalidData:
    return InvalidData("preferences.bad_line", file=file, line=line, what=what[:200])


class PairRows:
    """Pairs as `feilun.training.batches.Examples`: of a batch first all chosen answers, then all
    rejected ones; ``labels`` are what the model that learning began from gives them (`scored`).
    `empty` counts the pairs of which an answer does not fit."""

    def __init__(self, pairs: Sequence[Pair], lessons: Lessons) -> None:
        self._lessons = lessons
        prompts = [pair.prompt for pair in pairs]
        chosen = lessons.encode(prompts, [pair.chosen for pair in pairs])
        rejected = lessons.encode(prompts, [pair.rejected for pair in pairs])
        both = zip(chosen, rejected, strict=True)
        self._rows = [(one, other) for one, other in both if one.cost and other.cost]
        self.empty = len(pairs) - len(self._rows)
        self.costs = np.array([one.cost + other.cost for one, other in self._rows], np.int64)
        self.reference = np.zeros((len(self._rows), 2))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> tuple[tuple[Encoded, Encoded], np.ndarray]:
        return self._rows[place], self.reference[place]

    def collate(self, batch: list[Any]) -> dict[str, torch.Tensor]:
        """See `Examples`; ``wanted`` are the tokens that are to be scored."""
        import torch

        encoded = [one for (one, _), _ in batch] + [other for (_, other), _ in batch]
        arrays = self._lessons.collate(encoded, [""] * len(encoded))
        arrays["wanted"] = arrays.pop("labels")
        arrays["labels"] = np.stack([reference for _, reference in batch])
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def scored(model: Any, rows: PairRows) -> np.ndarray:
    """The log-probabilities in nats that `model` gives to the answers of each pair: (pairs, 2)."""
    import torch

    scores, found = PairScores(model), []
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(rows), _ROWS):
            places = range(start, min(start + _ROWS, len(rows)))
            arrays = rows.collate([rows[place] for place in places])
            arrays.pop("labels")
            found.append(scores(**arrays).logits[:, :2].double().numpy())
    return np.concatenate(found) if found else np.zeros((0, 2))


def PairScores(model: Any) -> Any:  # noqa: N802 - a class, whose base takes seconds to import
    """A torch module around `model`, the attribute ``model``: its ``logits`` (pairs, 3) are the
    log-probabilities of the chosen and the rejected answer, and the tokens of the chosen one."""
    import torch
    from transformers.modeling_outputs import SequenceClassifierOutput

    class Scores(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.config = model.config

        def forward(self, wanted: torch.Tensor, **arrays: torch.Tensor) -> Any:
            logits = self.model(use_cache=False, **arrays).logits.float()
            counts = wanted != IGNORED
            each = torch.nn.functional.cross_entropy(
                logits.transpose(1, 2), wanted, ignore_index=IGNORED, reduction="none"
            )
            chosen, rejected = (-each.sum(dim=1)).chunk(2)
            tokens = counts.sum(dim=1).chunk(2)[0]
            return SequenceClassifierOutput(
                logits=torch.stack([chosen, rejected, tokens.to(chosen.dtype)], dim=1)
            )

    return Scores()


class Preference(Objective):
    """Of `PairScores` and the same of the model that learning began from, (pairs, 2). `beta` is how
    dear it is to leave that model, `imitation` the weight of the chosen answers' own likelihood."""

    metric = "preferred"

    def __init__(self, beta: float, imitation: float) -> None:
        self._beta = beta
        self._imitation = imitation

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See `Objective`; a pair has two targets, so that it counts twice."""
        import torch

        preferred = -torch.nn.functional.logsigmoid(self._margins(outputs, targets))
        imitated = -outputs[:, 0] / outputs[:, 2]
        total: torch.Tensor = 2 * (preferred + self._imitation * imitated).sum()
        return total

    def right(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[int, int]:
        """Pairs whose chosen answer has gained on the other."""
        return int((self._margins(outputs, targets) > 0).sum()), len(outputs)

    def validated(self, outputs: np.ndarray, targets: np.ndarray) -> tuple[Preferred, float]:
        """See `Objective`; the loss is the mean of the pairs."""
        margins = self._margins(np.asarray(outputs, np.float64), np.asarray(targets, np.float64))
        return Preferred(margins > 0), float(np.logaddexp(0, -margins).mean())

    def _margins(self, outputs: Any, targets: Any) -> Any:
        gained = outputs[:, :2] - targets
        return self._beta * (gained[:, 0] - gained[:, 1])


class Preferred(Measured):
    """Of pairs whether the chosen answer has gained on the rejected one, boolean (pairs,)."""

    higher_is_better: ClassVar = {"preferred": True}

    def __init__(self, right: np.ndarray) -> None:
        self.rows = len(right)
        self._right = right

    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Measured`."""
        return {"preferred": weights @ self._right.astype(np.float64) / weights.sum(axis=1)}

    def take(self, rows: np.ndarray) -> Self:
        """See `Measured`."""
        return type(self)(self._right[rows])

    def hits(self, metric: str) -> np.ndarray | None:
        """See `Measured`."""
        return self._right
