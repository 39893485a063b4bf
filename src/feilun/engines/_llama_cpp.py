"""llama.cpp in the process of `_generator`: the lines up and down are the same.

xllamacpp runs llama.cpp's server, whose slots write together. A request is one call that blocks,
on a thread here, and is told of each token; ending it there is a return value. Nothing of one
request is kept for the next. The server listens, too: on a socket whose file is removed at once.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from time import monotonic, sleep
from typing import Any, NamedTuple

import msgspec

from feilun.modalities.language import gguf

__all__ = ["Model", "opened", "serve"]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode

_TAIL = 4000  # bytes of what llama.cpp said last
_LAST_SECONDS = 2.0
_FORCED = 1e9  # a logit that no other reaches
_MANY = 1024
_EVERY = 1 << 30  # tokens: all that there are
_GUIDANCE = {"whitespace_flexible": False, "coerce_one_of": True, "lenient": True}
"""What the grammar does not know is left out of it, and looked at when the answer is there."""
_SAMPLERS = ("penalties", "temperature", "top_p")


class Model(NamedTuple):
    """The server, the ids that end an answer, and how tokens are spelt."""

    server: Any
    stops: frozenset[int]
    spelling: _Spelling


class _Spelling:
    """The bytes of tokens, and the tokens of bytes."""

    def __init__(self, header: gguf.Gguf) -> None:
        self.size = len(header.tokens)
        self._bytes = gguf.spelt(header)
        self._ids = {data: place for place, data in enumerate(self._bytes) if data}
        self.split = lru_cache(4096)(self._split)
        plain = (place for data, place in self._ids.items() if data.isascii())
        self.plain = next(plain, 0)
        """A token that is no part of a character."""

    def missing(self, text: str, token: int, count: int) -> list[int] | None:
        """The `count` tokens that `text` has before `token`. Which ones they are is not told; their
        bytes are, unless they were no character: then None."""
        data, end = text.encode(), self._bytes[token] if token < self.size else b""
        found = self.split(data[: len(data) - len(end)], count) if data.endswith(end) else None
        return None if found is None else list(found)

    def lost(self, token: int) -> int:
        """A token that is no character, in place of one that nobody knows."""
        return self._ids.get(b"\x80", token)

    def _split(self, data: bytes, count: int) -> tuple[int, ...] | None:
        """`count` tokens that have the bytes `data` together; None where there are none such."""
        if not count or not data:
            return () if not count and not data else None
        for length in range(1, len(data) - count + 2):
            first = self._ids.get(data[:length])
            rest = None if first is None else self.split(data[length:], count - 1)
            if first is not None and rest is not None:
                return (first, *rest)
        return None


def opened(settings: Mapping[str, Any]) -> Model:
    """Opens the model. Raises `RuntimeError`, which says what llama.cpp said."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.n_parallel = settings["sequences"]
    params.n_ctx = settings["context"] * params.n_parallel
    params.n_batch = params.n_ubatch = settings["batch_tokens"]
    params.kv_unified = params.fit_params = params.warmup = False
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.n_threads_http = 1
    params.endpoint_slots = params.endpoint_metrics = params.ui = False
    params.verbosity = 1
    if settings["threads"]:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["threads"]
    if settings["exact"]:
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    with tempfile.TemporaryDirectory() as folder:
        params.hostnames = [str(Path(folder) / "llama.sock")]
        try:
            server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise RuntimeError(_said() or str(error)) from None
    spelling = _Spelling(gguf.read(Path(settings["model"])))
    return Model(server, frozenset(settings["stops"]), spelling)


def _said() -> str:
    """What llama.cpp printed of why it failed: the first line is the cause. Our stderr is a file,
    and a thread of its own writes to it."""
    until = monotonic() + _LAST_SECONDS
    cause = ""
    while monotonic() < until:
        lines = os.pread(2, _TAIL, 0).decode("utf-8", "replace").splitlines()
        cause = next((line.partition(" E ")[2].strip() for line in lines if " E " in line), "")
        if any("exiting due to" in line for line in lines):
            break
        sleep(0.01)
    return cause


def serve(model: Model, lines: SimpleQueue[bytes], send: Any) -> None:
    """Answers what `lines` bring, each on a thread, as long as they come."""
    lock = threading.Lock()
    stopped: set[int] = set()

    def tell(said: Mapping[str, Any]) -> None:
        with lock:
            send(said)

    def answer(number: int, ids: Sequence[int], config: Mapping[str, Any]) -> None:
        def put(ids: Sequence[int], logs: Sequence[float | None], reason: str | None) -> bool:
            if number not in stopped:
                tell({"parts": [[number, ids, logs, reason]]})
            return number in stopped

        try:
            if config.get("echo"):
                put([], _echoed(model, ids, config["from"]), "stop")
            else:
                _write(model, ids, config, put)
        except Exception as error:  # noqa: BLE001 - a request's fault is told, not the process's end
            if "json_schema" in config:
                tell({"refused": [[number, str(error)]]})
            else:
                print(error, file=sys.stderr)  # noqa: T201 - the log of this process
                put([], [], "refused")
        finally:
            running.pop(number, None)
            stopped.discard(number)

    running: dict[int, threading.Thread] = {}
    while True:
        said = _decode(lines.get())
        if "stop" in said:
            if said["stop"] in running:
                stopped.add(said["stop"])
            continue
        number = said["add"]
        args = number, said["ids"], said["config"]
        running[number] = threading.Thread(target=answer, args=args, daemon=True)
        running[number].start()


def _write(model: Model, ids: Sequence[int], config: Mapping[str, Any], put: Any) -> None:
    """Has an answer written, and puts each token. Probabilities that the server does not tell are
    asked for when one of its slots is free, at the latest when this answer is written."""
    written, ended, error = list(ids), False, ""
    logs, asked, lost = "logprobs" in config, False, False

    def lacking(found: Sequence[int]) -> list[float | None]:
        nonlocal asked
        known: list[float | None] = []
        for place, token in enumerate(found):
            # Nothing that another request left is read; what this one left may be.
            known.append(_chance(model, [*written, *found[:place]], token, cached=asked))
            asked = True
        return known

    def told(event: Mapping[str, Any]) -> bool:
        nonlocal ended, error, lost
        if "error" in event:
            error = str(event["error"].get("message", event["error"]))
            return True
        said = event["__verbose"]
        new = said["tokens_predicted"] - (len(written) - len(ids))
        found = list(said["tokens"])[-1:] if new else []
        chances = said.get("completion_probabilities") or [{}]
        known: list[float | None] = [chances[-1].get("logprob")] if found else []
        if count := new - len(found):
            last = found[0] if found else -1
            before = model.spelling.missing(said["content"], last, count)
            lost |= before is None
            before = before or [model.spelling.lost(last)] * count
            # What came before is not known any more where a token is lost.
            known[:0] = lacking(before) if logs and not lost else [None] * count
            found = before + found
        written.extend(found)
        reason = None
        if found and found[-1] in model.stops:
            reason = "stop"
        elif said["stop"]:
            reason = "length" if said["stop_type"] == "limit" else "stop"
        ended = reason is not None
        if not found and not ended:
            return False
        return bool(put(found, known if logs else [], reason)) or ended

    model.server.handle_completions({"prompt": list(ids), "stream": True, **_asked(config)}, told)
    if error:
        raise RuntimeError(error)


def _asked(config: Mapping[str, Any]) -> dict[str, Any]:
    """What llama.cpp's server is asked for a generation's configuration."""
    asked: dict[str, Any] = {
        "n_predict": config["max_new_tokens"],
        "temperature": config.get("temperature", 0.0) if config.get("do_sample") else 0.0,
        "top_p": config.get("top_p", 1.0),
        "seed": config.get("rng_seed", 0),
        "samplers": _SAMPLERS,
        "repeat_penalty": 1.0,
        "repeat_last_n": _EVERY,
        "cache_prompt": False,
        "return_tokens": True,
        "verbose": True,
        "n_probs": 1 if "logprobs" in config else 0,
    }
    for name in ("presence_penalty", "frequency_penalty"):
        asked[name] = config.get(name, 0.0)
    if "json_schema" in config:
        schema = {**_decode(config["json_schema"]), "x-guidance": _GUIDANCE}
        begin, end = config.get("marks", ("", ""))
        asked["grammar"] = "%llguidance {}\n" + "\n".join(
            [
                f"start: {_encode(begin).decode()} answer {_encode(end).decode()}",
                f"answer: %json {_encode(schema).decode()}",
            ]
        )
    return asked


def _echoed(model: Model, ids: Sequence[int], place: int) -> list[float]:
    """The log-probability of each token of `ids` from `place` on, after those before it; 0 for the
    others. The server tells none of what it reads: each is read as what it would have written."""
    found = [_chance(model, ids[:at], ids[at]) for at in range(max(1, place), len(ids))]
    return [0.0] * (len(ids) - len(found)) + found


def _chance(model: Model, read: Sequence[int], wanted: int, *, cached: bool = True) -> float:
    """The log-probability of the token `wanted` after `read`. The server tells it of a token that
    it was made to write, but of none in the middle of a character: that one is looked for among the
    likeliest."""
    for forced, many in (
        (wanted, 1),
        (model.spelling.plain, _MANY),
        (model.spelling.plain, model.spelling.size),
    ):
        asked = _asked({"max_new_tokens": 1, "logprobs": 1})
        asked |= {"prompt": list(read), "n_probs": many, "logit_bias": [[forced, _FORCED]]}
        # What is read next is the same and one token more.
        said = model.server.handle_completions({**asked, "cache_prompt": cached})
        if "error" in said:
            raise RuntimeError(said["error"].get("message", said["error"]))
        told = said["__verbose"].get("completion_probabilities") or []
        for one in told[0]["top_logprobs"] + told if told else []:
            if one["id"] == wanted:
                return float(one["logprob"])
    raise RuntimeError(f"the probability of token {wanted} is not told")
