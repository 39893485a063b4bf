"""One version that answers, and how it answers a call. Its engine comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, Literal, Protocol, cast

from pydantic import ValidationError

from feilun.config import FeedbackConfig, GuardConfig, ServingConfig
from feilun.engines.base import Engine
from feilun.engines.card import read_card
from feilun.engines.explain import explain_later
from feilun.errors import EnvironmentProblem, InvalidData, Overloaded, PayloadTooLarge
from feilun.serving.admission import Admission, Gate
from feilun.serving.cache import AnswerCache
from feilun.serving.caller import Disconnected, caller
from feilun.serving.residents import Residents
from feilun.store.records import ModelVersion
from feilun.tasks import base as tasks
from feilun.types import Chunk, EngineRequest, Item, Output, Usage

__all__ = ["Listener", "Served"]

_FEW_LABELS = 32
"""Up to so many labels every score is computed, so that the log knows the margin."""

_TWICE = frozenset({"engines.closed", "engines.abandoned"})
"""Failures of an engine that has been replaced: the new one is asked once."""


class Listener(Protocol):
    """Who is told what a version was asked and answered, such as a shadow."""

    def offer(self, items: Sequence[Item], outputs: Sequence[Output], live_seconds: float) -> None:
        """Must not wait: a caller does."""


class _Attempt:
    """One try at the engine, which can be interrupted from outside."""

    __slots__ = ("reason", "scope")

    def __init__(self, scope: asyncio.Timeout) -> None:
        self.scope = scope
        self.reason: Literal["late", "gone", "replaced"] = "late"

    def interrupt(self, reason: Literal["gone", "replaced"]) -> None:
        if not self.scope.expired():
            self.reason = reason
            self.scope.reschedule(asyncio.get_running_loop().time())


class Served:
    """One version. `enter` it for the time of a call: it closes only when nobody is in.

    `engine` is None while it is not in memory; `busy` counts the calls that need it now, `called`
    tells which version was called longest ago. `shadows` are asked what it was asked.
    """

    def __init__(
        self,
        version: ModelVersion,
        variant: str | None,
        ref: str,
        folder: Path,
        residents: Residents,
        gate: Gate,
    ) -> None:
        self.version = version
        self.variant = variant
        self.ref = ref
        self.folder = folder
        self.engine: Engine | None = None
        self.shadows: tuple[Listener, ...] = ()
        self.streams = 1
        self.gives_vectors = self.searches = False
        self.options: frozenset[str] = frozenset()
        self.busy = 0
        self.called = 0
        card = read_card(folder)
        self.schema = card.schema
        self.task = tasks.of(self.schema)
        config = version.config.get("project", {})
        self.serving: ServingConfig = _section(ServingConfig, config.get("serving"))
        self.feedback: FeedbackConfig = _section(FeedbackConfig, config.get("feedback"))
        self.guard: GuardConfig = _section(GuardConfig, config.get("guard"))
        self.family = self.task.family
        self.abstains = self.family.abstains(card.point)
        self.tensors = self.family.tensors(card.schema, card.point)
        self.admission = Admission(gate, self._progress)
        cache_bytes = self.serving.cache_mb << 20
        self.cache = AnswerCache(cache_bytes) if cache_bytes else None
        self._residents = residents
        self._attempts: set[_Attempt] = set()
        self._inside = 0
        self._leaving: Callable[[], None] | None = None

    @property
    def id(self) -> str:
        """``reviews@3``."""
        return self.version.id

    @property
    def deadline(self) -> float:
        """Seconds within which a call is answered."""
        serving = self.serving
        return serving.write_deadline if self.family.streams else serving.deadline

    @property
    def project(self) -> str:
        """The project that the version belongs to."""
        return self.version.project

    def loaded(self, engine: Engine) -> None:
        """Takes an engine, and remembers what it says of itself for when it has left."""
        self.engine = engine
        info = engine.info
        self.streams = max(1, int(info.get("streams", 1)))
        self.gives_vectors = bool(info.get("vectors"))
        self.searches = bool(info.get("searches"))
        self.options = frozenset(info.get("options", ()))
        self.admission.lanes = max(self.streams, int(info.get("lanes", 1)))

    def _progress(self) -> int:
        return 0 if self.engine is None else self.engine.usage.inputs

    @property
    def closed(self) -> bool:
        """Whether it has been retired and nobody is in any more."""
        return self._leaving is not None and not self._inside

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Keeps the version open for one call. On the event loop's thread only."""
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            if self._leaving is not None and not self._inside:
                self._leaving()

    def retire(self, close: Callable[[], None]) -> None:
        """Calls `close` once, when the last call inside has ended."""
        if self._leaving is None:
            self._leaving = close
            if not self._inside:
                close()

    def check(self, items: Sequence[Item], name: str = "inputs") -> list[Item]:
        """The items in the task's own form; the error names the input that is at fault, as
        ``inputs[3]`` where the caller's list has the `name` inputs. An input that is short for
        several becomes these (`TaskBase.expand`); `PayloadTooLarge` is raised where they are too
        many. Damage within an item may be left for `answer` to find."""
        looked = _each(self.task.accept, items, name)
        asked = [one for item in looked for one in self.task.expand(item)]
        if len(asked) > max(len(looked), self.serving.max_inputs):
            limit = self.serving.max_inputs
            raise PayloadTooLarge("api.too_many_inputs", given=len(asked), limit=limit, param=name)
        return asked

    async def answer(
        self,
        items: Sequence[Item],
        all_scores: bool = False,
        vectors: bool = False,
        *,
        customer: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> tuple[list[Output], Usage]:
        """Outputs in order and what they consumed. Every score comes along also unasked where
        labels are few, so that the log knows how sure the model was; `vectors` where they are
        asked for and the model `gives_vectors`. Turns go round `customer` names. `options` are
        those of `EngineRequest`.

        Raises `InvalidData` for an item that proves damaged, `Overloaded` when the call would not
        be answered within its caller's time, and `Disconnected` when the caller has gone; what
        fails costs nothing.
        """
        try:
            return await self._answer(items, all_scores, vectors, customer, options or {})
        except InvalidData as error:
            if "param" not in error.params:
                # The engine does not say which input it was: a second look does.
                await asyncio.to_thread(_each, self.task.check, items, "inputs")
            raise

    async def _answer(
        self,
        items: Sequence[Item],
        all_scores: bool,
        vectors: bool,
        customer: str,
        options: Mapping[str, Any],
    ) -> tuple[list[Output], Usage]:
        everything = all_scores or len(self.schema.labels) <= _FEW_LABELS
        request = EngineRequest(items, everything, customer, vectors=vectors, options=options)
        if vectors or (options and not self.family.streams):  # what no cache knows
            outputs, usage, _ = await self._admitted(request)
            return outputs, usage
        if self.cache is None or self.family.streams:  # of texts tokens are charged, written or not
            outputs, usage, _ = await self._admitted(request)
        else:
            outputs, usage = await self._through_cache(self.cache, request)
        for shadow in self.shadows:
            shadow.offer(items, outputs, usage.engine_seconds)
        return outputs, usage

    async def most(self, items: Sequence[Item], options: Mapping[str, Any]) -> Mapping[str, int]:
        """The units that an answer may come to at most."""
        engine = await self._ready()
        return engine.most(EngineRequest(items, stream=True, options=options))

    @asynccontextmanager
    async def streaming(
        self, items: Sequence[Item], options: Mapping[str, Any], *, customer: str = ""
    ) -> AsyncIterator[AsyncIterator[Chunk]]:
        """The pieces of the answer, as long as the caller is inside: leaving ends the engine's work
        for it. The caller's time is for all of it.

        Raises as `answer` does, and `Overloaded` where the engine is replaced meanwhile: what has
        been delivered cannot be begun anew.
        """
        who = caller.get()
        if who.gone:
            raise Disconnected
        deadline = who.deadline(self.deadline)
        left = None if deadline is None else max(0.0, deadline - monotonic())
        request = EngineRequest(items, False, customer, deadline, stream=True, options=options)
        self.admission.enter(customer, len(items), left)
        self.busy += 1
        attempt = None
        try:
            async with asyncio.timeout(left) as scope:
                attempt = _Attempt(scope)
                self._attempts.add(attempt)
                who.interrupt = lambda: attempt.interrupt("gone")
                engine = await self._ready()
                self._residents.touch(self)
                async with aclosing(cast(AsyncGenerator[Chunk], engine.submit(request))) as chunks:
                    yield chunks
        except TimeoutError:
            raise _interrupted(attempt.reason if attempt else "late") from None
        finally:
            who.interrupt = None
            if attempt is not None:
                self._attempts.discard(attempt)
            self.busy -= 1
            self.admission.leave(customer, len(items))

    async def explain(
        self, items: Sequence[Item], outputs: Sequence[Output], *, customer: str = ""
    ) -> tuple[list[dict[str, Any] | None], float]:
        """Why the `outputs`, which have all their scores, are what they are, and the seconds of
        the engine that it took. One input after the other: other calls come between them.

        Raises as `answer` does; what is asked about an input stands in the queue like a call.
        """

        async def ask(
            questions: Sequence[Item], options: Mapping[str, Any]
        ) -> tuple[list[Output], float]:
            request = EngineRequest(questions, True, customer, options=options)
            answers, usage, _ = await self._admitted(request)
            return answers, usage.engine_seconds

        found: list[dict[str, Any] | None] = []
        total = 0.0
        for item, output in zip(items, outputs, strict=True):
            explanation, seconds = await explain_later(await self._ready(), item, output, ask)
            found.append(explanation.to_output() if explanation else None)
            total += seconds
        return found, total

    def interrupt_all(self) -> None:
        """Takes every call off the engine, which has been replaced; each is tried once more."""
        for attempt in list(self._attempts):
            attempt.interrupt("replaced")

    async def _through_cache(
        self, cache: AnswerCache, request: EngineRequest
    ) -> tuple[list[Output], Usage]:
        """Known inputs from the cache, the rest from the engine."""
        keys = cache.keys(request.items, request.all_scores)
        known = [cache.get(key) for key in keys]
        asked = [place for place, found in enumerate(known) if found is None]
        outputs = [found[0] if found else {} for found in known]
        cost = sum(found[1] for found in known if found)
        usage = Usage()
        if asked:
            items = [request.items[place] for place in asked]
            answers, usage, costs = await self._admitted(replace(request, items=items))
            for number, place in enumerate(asked):
                outputs[place] = answers[number]
                cache.put(keys[place], answers[number], costs[number] if costs else 0)
        pictures = any(column.kind == "image" for column in self.task.columns)
        return outputs, replace(
            usage,
            inputs=len(request.items),
            tokens=usage.tokens + (0 if pictures else cost),
            pixels=usage.pixels + (cost if pictures else 0),
        )

    async def _admitted(
        self, request: EngineRequest
    ) -> tuple[list[Output], Usage, Sequence[int] | None]:
        who = caller.get()
        if who.gone:
            raise Disconnected
        deadline = who.deadline(self.deadline)
        seconds = None if deadline is None else max(0.0, deadline - monotonic())
        size = len(request.items)
        self.admission.enter(request.customer, size, seconds)
        self.busy += 1
        used: float | None = None
        try:
            outputs, usage, costs = await self._asked(replace(request, deadline=deadline))
            used = usage.engine_seconds
        finally:
            self.busy -= 1
            self.admission.leave(request.customer, size, used)
        return outputs, usage, costs

    async def _asked(
        self, request: EngineRequest
    ) -> tuple[list[Output], Usage, Sequence[int] | None]:
        """Asks the engine; once more where it was replaced meanwhile."""
        who = caller.get()
        first = True
        while True:
            left = None if request.deadline is None else request.deadline - monotonic()
            attempt = None
            try:
                async with asyncio.timeout(left) as scope:
                    attempt = _Attempt(scope)
                    self._attempts.add(attempt)
                    who.interrupt = lambda now=attempt: now.interrupt("gone")
                    return await self._collected(request)
            except TimeoutError:
                reason = attempt.reason if attempt else "late"
                if reason != "replaced" or not first:
                    raise _interrupted(reason) from None
            except EnvironmentProblem as error:
                if not first and error.code == "engines.abandoned":
                    raise Overloaded("serving.engine_replaced", retry_after=1.0) from None
                if not first or error.code not in _TWICE or self.closed:
                    raise
            finally:
                who.interrupt = None
                if attempt is not None:
                    self._attempts.discard(attempt)
            first = False

    async def _ready(self) -> Engine:
        if self.engine is not None:
            return self.engine
        if self.closed:
            raise EnvironmentProblem("engines.closed")
        return await self._residents.bring(self)

    async def _collected(
        self, request: EngineRequest
    ) -> tuple[list[Output], Usage, Sequence[int] | None]:
        engine = await self._ready()
        self._residents.touch(self)
        outputs: list[Output] = []
        usage, costs = Usage(inputs=len(request.items)), None
        stream: AsyncIterator[Chunk] = engine.submit(request)
        async for chunk in stream:
            outputs += chunk.outputs
            usage, costs = chunk.usage or usage, chunk.costs or costs
        if len(outputs) != len(request.items):
            raise EnvironmentProblem("serving.incomplete", version=self.id)
        return outputs, usage, costs


def _interrupted(reason: str) -> Exception:
    if reason == "gone":
        return Disconnected()
    code = "engines.too_late" if reason == "late" else "serving.engine_replaced"
    return Overloaded(code, retry_after=1.0)


def _each(look: Callable[[Item], Item], items: Sequence[Item], name: str) -> list[Item]:
    looked = []
    for index, item in enumerate(items):
        try:
            looked.append(look(item))
        except InvalidData as error:
            error.params.setdefault("param", f"{name}[{index}]")
            raise
    return looked


def _section(kind: Any, raw: Any) -> Any:
    """The part of a version's resolved configuration; defaults where a later release wrote it."""
    try:
        return kind.model_validate(raw or {})
    except ValidationError:
        known = {name: value for name, value in dict(raw).items() if name in kind.model_fields}
        try:
            return kind.model_validate(known)
        except ValidationError:
            return kind()
