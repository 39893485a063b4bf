"""Simulated customers: they send rows, and correct some of the wrong answers they get."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from feilun.client import Answer, ApiError, Client
from feilun.families.base import Family
from feilun.project.results import answer_words
from feilun.types import Item, Output

__all__ = ["Sent", "Watch", "send"]


@dataclass(frozen=True, slots=True)
class Sent:
    """What happened: answers `right` by the hidden truth, corrections and confirmations sent back
    and `lost` (refused or unanswered), calls that failed, and milliseconds of each call. `answers`
    are those given, each beside what would have been right."""

    rows: int
    right: int
    corrected: int
    confirmed: int
    failed: int
    lost: int
    milliseconds: Sequence[float]
    answers: Sequence[tuple[str, Output]]


def send(
    address: str,
    keys: Sequence[str],
    model: str,
    rows: Sequence[tuple[Item, str]],
    on_row: Callable[[int], None],
    family: Family,
    *,
    batch: int = 4,
    diligence: float = 0.8,
    seed: int = 0,
) -> Sent:
    """Sends (input, target) `rows` in calls of `batch`, the customers taking turns. A customer
    corrects a wrong answer with probability `diligence`, and confirms every tenth right one."""
    draw = random.Random(seed)
    clients = [Client(address, key) for key in keys]
    right = corrected = confirmed = failed = lost = 0
    times: list[float] = []
    given: list[tuple[str, Output]] = []
    try:
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            client = clients[start // batch % len(clients)]
            begun = time.perf_counter()
            try:
                answer = client.predict([item for item, _ in part], model=model)
            except ApiError:
                failed += 1
                continue
            times.append(1000 * (time.perf_counter() - begun))
            for index, ((_, target), output) in enumerate(zip(part, answer.outputs, strict=True)):
                given.append((target, output))
                agrees = family.said(output) == target
                right += agrees
                if draw.random() >= (0.1 if agrees else diligence):
                    continue
                try:
                    client.feedback(answer.id, _value(target, family), index=index)
                except ApiError:
                    lost += 1  # a customer shrugs and goes on
                else:
                    confirmed += agrees
                    corrected += not agrees
            on_row(start + len(part))
    finally:
        for client in clients:
            client.close()
    return Sent(len(rows), right, corrected, confirmed, failed, lost, times, given)


def _value(target: str, family: Family) -> Any:
    """What a customer says for a canonical target: a list or a mapping where it is the JSON of
    one."""
    if family.structured and target[:1] in ("[", "{"):
        return json.loads(target)
    return target


class Watch:
    """A customer who keeps asking while versions change, and notes every failure and every
    version that answered. Before the first answer nothing is live yet, so nothing has failed."""

    def __init__(
        self,
        address: str,
        key: str,
        model: str,
        item: Item,
        *,
        every: float = 0.5,
        on_news: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self.versions: list[str] = []
        self.first_answer: float | None = None
        self._call = (address, key, model, item)
        self._every = every
        self._on_news = on_news
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begins to ask, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the call that is on its way."""
        self._stop.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        address, key, model, item = self._call
        stopped = False
        with Client(address, key) as client:
            while not stopped:
                stopped = self._stop.wait(self._every)  # one last call after the end
                try:
                    answer = client.predict(item, model=model)
                except ApiError as error:
                    if self.answers:
                        self.failures.append(error.message)
                    continue
                self.answers += 1
                if answer.model not in self.versions:
                    self._news(answer)

    def _news(self, answer: Answer) -> None:
        first = not self.versions
        if first:
            self.first_answer = time.perf_counter()
        self.versions.append(answer.model)
        code = "demo.first_answer" if first else "demo.next_answer"
        words = ", ".join(filter(None, answer_words(answer.outputs[0])))
        self._on_news(code, {"version": answer.model, "answer": words})
