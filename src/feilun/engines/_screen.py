"""What of the tokens that a model writes may leave: nothing of a stop word, and tool calls whole.

Tokens are held back as long as they may be the beginning of a stop word or of a tool call, and
leave whole and in their order, so that what has left is what is counted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["Piece", "Screen", "Token", "ToolCall", "parse_call"]


class Token(NamedTuple):
    """One token's text, which may be empty. `logprob` is its natural logarithm of probability, and
    `top` are the likeliest tokens in its place with theirs, where they were asked for."""

    text: str
    logprob: float | None = None
    top: Sequence[tuple[str, float]] = ()


class ToolCall(NamedTuple):
    """A call that the model wants made: the function's name and the JSON of its arguments."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Piece:
    """What leaves together: a text or tool calls, the `tokens` that they are, and their
    `logprobs` in OpenAI's form, where there are any."""

    text: str = ""
    tokens: int = 0
    logprobs: tuple[Mapping[str, Any], ...] = ()
    calls: tuple[ToolCall, ...] = ()


@dataclass(slots=True)
class _Held:
    text: str
    token: Token | None
    """None for what is left of a token whose beginning has left: it counts no more."""


@dataclass(slots=True)
class Screen:
    """Give it each token (`add`), then `end`. After `stopped` nothing of the answer follows.

    `stop` are texts that end the answer and are no part of it. Between the two `marks` a model
    writes calls of the functions named `tools`; what stands there and is none is text.
    """

    stop: Sequence[str] = ()
    tools: Collection[str] = ()
    marks: tuple[str, str] = ("<tool_call>", "</tool_call>")
    stopped: bool = False
    _held: list[_Held] = field(default_factory=list)
    _text: str = ""
    _calling: bool = False

    def add(self, token: Token) -> list[Piece]:
        """What may leave now that `token` has come."""
        self._held.append(_Held(token.text, token))
        self._text += token.text
        return self._pieces()

    def end(self) -> list[Piece]:
        """What is left when nothing follows: a call may lack its second mark."""
        found = []
        if self._calling and not self.stopped:
            call = parse_call(self._text[len(self.marks[0]) :], self.tools)
            if call is not None:
                found.append(self._take(len(self._text), call))
        if self._held and not self.stopped:
            found.append(self._take(len(self._text)))
        return [one for one in found if one.tokens]

    def _pieces(self) -> list[Piece]:
        found: list[Piece] = []
        while not self.stopped:
            piece = self._next()
            if piece is None:
                break
            if piece.tokens or piece.text:
                found.append(piece)
        return found

    def _next(self) -> Piece | None:
        text, (first, second) = self._text, self.marks
        if self._calling:
            end = text.find(second, len(first))
            if end < 0:
                return None
            self._calling = False
            call = parse_call(text[len(first) : end], self.tools)
            return self._take(end + len(second), call)
        cut = min((place for word in self.stop if (place := text.find(word)) >= 0), default=-1)
        begin = text.find(first) if self.tools else -1
        if cut >= 0 and not 0 <= begin < cut:
            self.stopped = True
            return self._take(cut)
        if begin == 0:
            self._calling = True
            return self._next()
        safe = begin if begin > 0 else len(text) - self._doubtful(text)
        size = safe if begin > 0 else self._whole(safe)
        return self._take(size) if size else None

    def _doubtful(self, text: str) -> int:
        """Characters at the end that may be the beginning of a stop word or of the first mark."""
        most = 0
        for word in [*self.stop, self.marks[0]] if self.tools else self.stop:
            place = text.find(word[0], max(0, len(text) - len(word) + 1))
            while place >= 0 and len(text) - place > most:
                if word.startswith(text[place:]):
                    most = len(text) - place
                    break
                place = text.find(word[0], place + 1)
        return most

    def _whole(self, most: int) -> int:
        """The characters of the whole tokens among the first `most` characters."""
        size = 0
        for held in self._held:
            if size + len(held.text) > most:
                break
            size += len(held.text)
        return size

    def _take(self, size: int, call: ToolCall | None = None) -> Piece:
        """Takes the first `size` characters out, and the tokens that end or begin in them."""
        taken, self._text = self._text[:size], self._text[size:]
        tokens, logprobs = 0, []
        while self._held and (size > 0 or not self._held[0].text):
            held = self._held[0]
            if held.token is not None:
                tokens += 1
                if held.token.logprob is not None:
                    logprobs.append(_logprob(held.token))
            if len(held.text) > size:
                held.text, held.token = held.text[size:], None
                break
            size -= len(held.text)
            del self._held[0]
        if call is not None:
            return Piece("", tokens, tuple(logprobs), (call,))
        return Piece(taken, tokens, tuple(logprobs))


def parse_call(text: str, names: Collection[str]) -> ToolCall | None:
    """The call of one of `names` that a JSON `text` makes, by ``name`` and ``arguments`` (or
    ``parameters``, or ``function`` around both); None where it makes none."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(said, dict) and isinstance(said.get("function"), dict):
        said = said["function"]
    if not isinstance(said, dict) or said.get("name") not in names:
        return None
    arguments = said.get("arguments", said.get("parameters", {}))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return None
    if not isinstance(arguments, dict):
        return None
    try:
        told = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return None
    return ToolCall(said["name"], told)


def _logprob(token: Token) -> Mapping[str, Any]:
    top = [_one(text, value) for text, value in token.top]
    assert token.logprob is not None
    return {**_one(token.text, token.logprob), "top_logprobs": top}


def _one(text: str, value: float) -> dict[str, Any]:
    return {"token": text, "logprob": value, "bytes": list(text.encode("utf-8", "replace"))}
