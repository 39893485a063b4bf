"""``[guard]``: what may be asked of a version whose answers are texts, and what may leave of them.

A question that is refused costs nothing. An answer is looked at before it leaves, a stream in
windows: what has left holds no text of the deny list and no personal data, and where a classifier
guards, it has seen each window with what came before. An answer that is stopped ends there with
``content_filter``, is charged for what was delivered, and goes to review as one not given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from feilun.api.context import Api
from feilun.data import personal
from feilun.errors import EnvironmentProblem, NotFound, PayloadTooLarge, UsageError
from feilun.serving import denied
from feilun.serving.served import Served
from feilun.types import Chunk, Item, Output, Usage

__all__ = ["Guard", "Watch"]

_WINDOW = 64
"""Characters that are held back: personal data and texts of the deny list end within them."""
_BEFORE = 300
"""Characters before a window that a classifier sees with it."""


class Guard:
    """The guard of one version; it looks at nothing unless it is `active`."""

    def __init__(self, api: Api, served: Served) -> None:
        self._api = api
        self._served = served
        self._settings = settings = served.guard
        self._denied = [denied.plain(text) for text in settings.deny if text]
        self.window = max([_WINDOW, *map(len, self._denied)])
        self.masks = settings.mask_personal
        self.asks = bool(settings.model)
        self.active = bool(self._denied or self.masks or self.asks or settings.max_characters)

    async def ask(self, items: Sequence[Item], options: Mapping[str, Any]) -> None:
        """Raises `UsageError` for an input that may not be asked, and for options that would tell
        what is masked, `PayloadTooLarge` for too long an input, `EnvironmentProblem` where the
        classifier is not there."""
        if not self.active:
            return
        if "logprobs" in options:
            raise UsageError(
                "chat.not_honoured",
                name="logprobs",
                version=self._served.id,
                options=", ".join(sorted(self._served.options - {"logprobs"})) or "–",
                param="logprobs",
            )
        for item in dict.fromkeys(map(str, items)):
            most = self._settings.max_characters
            if most and len(item) > most:
                raise PayloadTooLarge("guard.too_long", given=len(item), limit=most)
            if self.denied(item) is not None or await self.refused(item):
                raise UsageError("guard.not_asked")

    def denied(self, text: str) -> int | None:
        """Where the first text of the deny list begins; None where there is none."""
        return denied.first(text, self._denied)

    async def refused(self, text: str) -> bool:
        """Whether the classifier gives `text` a label that is refused."""
        if not self.asks or not text.strip():
            return False
        name = self._settings.model
        try:
            _, judge = self._api.models.find(name)
        except NotFound:
            raise EnvironmentProblem("guard.no_model", name=name) from None
        with judge.enter():
            (output,), _ = await judge.answer(judge.check([text]))
        return judge.family.said(output) in self._settings.refuse

    async def answered(self, outputs: Sequence[Output], usage: Usage) -> tuple[list[Output], Usage]:
        """Whole answers as they may leave. Of one that is stopped nothing does, and the tokens that
        were written for it are not charged."""
        if not self.active:
            return list(outputs), usage
        found, left, whole = [], 0, 0
        for output in outputs:
            text = self._served.family.text(output)
            watch = Watch(self)
            chunk = Chunk(delta=text, calls=output.get("tool_calls", ()))
            pieces = [*await watch.add(chunk), *await watch.end()]
            said = "" if watch.stopped else "".join(piece.delta for piece in pieces)
            whole += len(text)
            left += 0 if watch.stopped else len(text)
            found.append(self.settled(output, said, watch.stopped))
        if left < whole:
            written = usage.units.get("tokens_out", 0) * left // whole
            usage = replace(usage, units={**usage.units, "tokens_out": written})
        return found, usage

    def settled(self, output: Output, text: str, stopped: bool) -> Output:
        """The answer of which `text` has left."""
        told = {**output, **self._served.family.cut(text)}
        if stopped:
            told = {name: value for name, value in told.items() if name != "tool_calls"}
            told |= {"finish_reason": "content_filter", "abstained": True}
        return told


class Watch:
    """Looks at one answer while it comes."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._held: list[Chunk] = []
        self._text = self._before = ""
        self.stopped = False

    async def add(self, chunk: Chunk) -> list[Chunk]:
        """What may leave now."""
        if self.stopped:
            return []
        self._held.append(replace(chunk, calls=()))
        self._text += chunk.delta
        if chunk.calls:
            told = await self.end()
            said = " ".join(call["function"]["arguments"] for call in chunk.calls)
            if self._guard.denied(said) is not None or await self._guard.refused(said):
                self.stopped = True
            return told if self.stopped else [*told, replace(chunk, delta="")]
        ready = len(self._text) - self._guard.window
        # A classifier is asked once a window, not once a token.
        if ready <= (_WINDOW if self._guard.asks else 0):
            return []
        return await self._release(ready, last=False)

    async def end(self) -> list[Chunk]:
        """What is left of a whole answer."""
        if self.stopped or not self._text:
            return []
        return await self._release(len(self._text), last=True)

    async def _release(self, size: int, *, last: bool) -> list[Chunk]:
        place = self._guard.denied(self._text)
        if place is not None:
            self.stopped, size = True, place
        spans = personal.find(self._text) if self._guard.masks else []
        if not last or place is not None:
            size = min([size, *(span.start for span in spans if span.start < size < span.end)])
        if size <= 0:
            return []
        if await self._guard.refused(self._before + self._text[:size]):
            self.stopped = True
            return []
        said = self._text[:size]
        for span in reversed([one for one in spans if one.end <= size]):
            said = f"{said[: span.start]}[{span.kind}]{said[span.end :]}"
        self._before = (self._before + self._text[:size])[-_BEFORE:]
        return [replace(self._taken(size), delta=said)]

    def _taken(self, size: int) -> Chunk:
        """Takes `size` characters out; the chunk that they end in."""
        self._text = self._text[size:]
        while size > len(self._held[0].delta):
            size -= len(self._held.pop(0).delta)
        chunk = self._held[0]
        self._held[0] = replace(chunk, delta=chunk.delta[size:])
        return chunk
