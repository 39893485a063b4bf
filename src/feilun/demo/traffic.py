"""Simulated customers: they send rows, and correct some of the wrong answers they get."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from feilun.client import Answer, ApiError, Client
from feilun.families.base import Family
from feilun.modalities.language import conversations
from feilun.project.results import answer_words
from feilun.tasks.base import TaskBase
from feilun.types import Item, Output

__all__ = ["Sent", "Talk", "Watch", "converses", "send", "talk"]


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


def converses(task: TaskBase) -> bool:
    """Whether versions of `task` answer ``/v1/chat/completions`` in pieces."""
    return task.family.streams and task.conversation([{"role": "user", "content": "?"}]) is not None


@dataclass(frozen=True, slots=True)
class Talk:
    """A question and its answer, which came in `pieces`; the tokens that were read and written, as
    the last piece states them and the ledger charges them; whether the customer `corrected` it."""

    question: str
    answer: str
    pieces: int
    tokens_in: int
    tokens_out: int
    corrected: bool


def talk(
    address: str,
    key: str,
    model: str,
    rows: Sequence[tuple[Item, str]],
    family: Family,
    *,
    most: int = 3,
) -> list[Talk] | None:
    """Asks the first `most` of the (conversation, target) `rows` with OpenAI's own client, in
    pieces. The customer corrects what is not right. None where that client is not installed."""
    if find_spec("openai") is None:
        return None
    import openai

    # What is on this machine is reached without its proxies.
    with (
        openai.DefaultHttpxClient(trust_env=False) as http,
        openai.OpenAI(base_url=f"{address}/v1", api_key=key, http_client=http) as ai,
        Client(address, key) as own,
    ):
        found = []
        for item, target in rows[:most]:
            told, call = _heard(ai, model, str(item))
            wrong = family.said(family.cut(told.answer)) != target
            if wrong:
                own.feedback(call, _value(target, family))
            found.append(replace(told, corrected=wrong))
    return found


def _heard(ai: Any, model: str, item: str) -> tuple[Talk, str]:
    """One streamed answer, and the id of its call."""
    messages = [one.plain() for one in conversations.messages_of(item)]
    parts: list[str] = []
    call, usage = "", None
    for chunk in ai.chat.completions.create(
        model=model, messages=messages, stream=True, stream_options={"include_usage": True}
    ):
        call, usage = chunk.id, chunk.usage or usage
        parts += [one.delta.content for one in chunk.choices if one.delta.content]
    return (
        Talk(
            question=conversations.question(item),
            answer="".join(parts),
            pieces=len(parts),
            tokens_in=usage.prompt_tokens if usage else 0,
            tokens_out=usage.completion_tokens if usage else 0,
            corrected=False,
        ),
        call,
    )


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
