"""One loaded version, and how it answers a call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from feilun.config import FeedbackConfig, ServingConfig
from feilun.engines.base import Engine
from feilun.engines.explain import explain_later
from feilun.errors import EnvironmentProblem, InvalidData
from feilun.store.records import ModelVersion
from feilun.tasks import base as tasks
from feilun.types import Chunk, EngineRequest, Item, Output, Usage

__all__ = ["Served"]

_FEW_LABELS = 32
"""Up to so many labels every score is computed, so that the log knows the margin."""


class Served:
    """One loaded version. `enter` it for the time of a call: it closes only when nobody is in."""

    def __init__(
        self, version: ModelVersion, variant: str | None, ref: str, engine: Engine
    ) -> None:
        self.version = version
        self.variant = variant
        self.ref = ref
        self.engine = engine
        self.schema = engine.card.schema
        self.task = tasks.get(self.schema.task)
        config = version.config.get("project", {})
        self.serving: ServingConfig = _section(ServingConfig, config.get("serving"))
        self.feedback: FeedbackConfig = _section(FeedbackConfig, config.get("feedback"))
        self.abstains = engine.card.rule.abstain_below > 0
        self.streams = max(1, int(engine.info.get("streams", 1)))
        self._inside = 0
        self._leaving: Callable[[], None] | None = None

    @property
    def id(self) -> str:
        """``reviews@3``."""
        return self.version.id

    @property
    def project(self) -> str:
        """The project that the version belongs to."""
        return self.version.project

    @property
    def gives_vectors(self) -> bool:
        """Whether the model has a vector for each item."""
        return bool(self.engine.info.get("vectors"))

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Keeps the engine open for one call. On the event loop's thread only."""
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

    def check(self, items: Sequence[Item]) -> list[Item]:
        """The items in the task's own form; the error names the input that is at fault."""
        checked = []
        for index, item in enumerate(items):
            try:
                checked.append(self.task.check(item))
            except InvalidData as error:
                error.params.setdefault("param", f"inputs[{index}]")
                raise
        return checked

    async def answer(
        self, items: Sequence[Item], all_scores: bool = False, vectors: bool = False
    ) -> tuple[list[Output], Usage]:
        """Outputs in order and what they consumed. Every score comes along also unasked where
        labels are few, so that the log knows how sure the model was; `vectors` where they
        are asked for and the model `gives_vectors`."""
        everything = all_scores or len(self.schema.labels) <= _FEW_LABELS
        request = EngineRequest(items, everything, vectors=vectors)
        outputs: list[Output] = []
        usage = Usage(inputs=len(request.items))
        stream: AsyncIterator[Chunk] = self.engine.submit(request)
        async for chunk in stream:
            outputs += chunk.outputs
            usage = chunk.usage or usage
        if len(outputs) != len(request.items):
            raise EnvironmentProblem("serving.incomplete", version=self.id)
        return outputs, usage

    async def explain(
        self, items: Sequence[Item], outputs: Sequence[Output]
    ) -> tuple[list[dict[str, Any] | None], float]:
        """Why the `outputs`, which have all their scores, are what they are, and the seconds of
        the engine that it took. One input after the other: other calls come between them."""
        found: list[dict[str, Any] | None] = []
        total = 0.0
        for item, output in zip(items, outputs, strict=True):
            explanation, seconds = await explain_later(self.engine, item, output)
            found.append(explanation.to_output() if explanation else None)
            total += seconds
        return found, total


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
