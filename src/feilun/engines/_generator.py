"""A language model in a process of its own, which writes for all callers together.

openvino-genai's `ContinuousBatchingPipeline` advances every request by one token a step, and holds
the interpreter's lock while it does: in the server's process nothing else would get on. What is
damaged or not understood by it ends the process, and the next call starts another. Nothing of one
request is kept for the next: prefix caching is off. Models that it does not know run in llama.cpp
(`_llama_cpp`), in such a process too.

Between the two run lines of JSON. Down: ``{"add": number, "ids": [...], "config": {...}}`` and
``{"stop": number}``. Up, after each step: ``{"parts": [[number, ids, logprobs, reason], ...]}``.
A config is openvino-genai's ``GenerationConfig``, and besides: the ``json_schema`` of the answer,
the ``marks`` around it where it is the call of a tool, and with ``echo`` the place ``from`` which
on the probabilities of what is read are wanted.
The child ends when its input does, however the parent ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, NamedTuple

import msgspec

from feilun.errors import EnvironmentProblem, FeilunError, InvalidData, Overloaded

__all__ = ["ARCHITECTURES", "GENAI", "LLAMA_CPP", "Generator", "Part", "Sink", "main"]

GENAI, LLAMA_CPP = "genai", "llama-cpp"
"""The libraries that run models."""
ARCHITECTURES = ("llama", "qwen2", "qwen3")
"""What openvino-genai's reader of GGUF files knows."""

_START_SECONDS = 300.0
_END_SECONDS = 5.0
_TAIL = 600  # characters of what the child said last

_PLACE = re.compile(r"^.*\.cc:\d+: ")
"""Where in its own sources a library failed."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode
_log = logging.getLogger("feilun.engines")


class Part(NamedTuple):
    """What one step wrote of a request: token `ids`, their log probabilities where they are wanted
    (None where the library does not tell one), and at the end the `reason`: ``stop``, ``length`` or
    ``refused``."""

    ids: list[int]
    logprobs: Sequence[float | None]
    reason: str | None = None


class Sink:
    """Takes the parts of one request. With a `loop` they are delivered on it, and `take` is awaited
    there; without one `items` is read by any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop
        self.items: Any = SimpleQueue() if loop is None else asyncio.Queue()

    async def take(self) -> Part:
        """The next part. Raises what ended the request."""
        found = await self.items.get()
        if isinstance(found, FeilunError):
            raise found
        assert isinstance(found, Part)
        return found

    def put(self, part: Part | FeilunError) -> None:
        """Delivers; on the loop's thread where there is a loop."""
        if self.loop is None:
            self.items.put(part)
        else:
            self.items.put_nowait(part)


class Generator:
    """The parent's end. Any thread may call it. `most` requests are taken at a time; `settings` are
    what the child opens its model with (see `_open`)."""

    def __init__(self, model: Path, settings: Mapping[str, Any], most: int) -> None:
        self._model = model
        self._settings = {"model": str(model), **settings}
        self._most = most
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._down: SimpleQueue[bytes | None] = SimpleQueue()
        self._sinks: dict[int, Sink] = {}
        self._number = 0
        self._closed = False
        self.steps = 0

    @property
    def running(self) -> int:
        """Requests under way."""
        return len(self._sinks)

    @property
    def alive(self) -> bool:
        """Whether the child runs, so that `add` need not start it."""
        process = self._process
        return process is not None and process.poll() is None

    def start(self) -> None:
        """Starts the child where none runs, and returns when it is ready. Raises `InvalidData` for
        a model that it does not know, `EnvironmentProblem` where it does not start."""
        with self._lock:
            self._started()

    def add(self, ids: Sequence[int], config: Mapping[str, Any], sink: Sink) -> int:
        """Has the tokens `ids` answered, and returns the request's number. Raises `Overloaded`
        where too many requests are under way."""
        with self._lock:
            if self._closed:
                raise EnvironmentProblem("engines.closed")
            if len(self._sinks) >= self._most:
                raise Overloaded("engines.queue_full", limit=self._most, retry_after=1.0)
            self._started()
            self._number += 1
            self._sinks[self._number] = sink
            self._down.put(_encode({"add": self._number, "ids": list(ids), "config": config}))
            return self._number

    def stop(self, number: int) -> None:
        """Ends a request, at the next step; nothing more of it is delivered. One that has ended is
        none of its business."""
        with self._lock:
            if self._sinks.pop(number, None) is not None:
                self._down.put(_encode({"stop": number}))

    def close(self, error: FeilunError | None = None) -> None:
        """Ends the child; requests under way fail with `error`, or as closed."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
            self._down.put(None)
            self._fail(error or EnvironmentProblem("engines.closed"))
        if process is not None:
            _end(process)

    def _started(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self._down.put(None)
        self._fail(EnvironmentProblem("engines.abandoned"))
        log = tempfile.TemporaryFile()  # noqa: SIM115 - the threads close it
        process = subprocess.Popen(
            [sys.executable, "-m", "feilun.engines._generator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_environment(),
            start_new_session=True,  # a Ctrl-C in the terminal is for the server, which ends us
        )
        assert process.stdin is not None
        assert process.stdout is not None
        ready = b""
        watch = threading.Timer(_START_SECONDS, process.kill)
        watch.start()
        try:
            process.stdin.write(_encode(self._settings) + b"\n")
            process.stdin.flush()
            ready = process.stdout.readline()
        except BrokenPipeError:
            pass
        finally:
            watch.cancel()
        said = _decode(ready) if ready.endswith(b"\n") else {}
        if not said.get("ready"):
            _end(process)
            reason = said.get("failed") or _tail(log) or f"exit code {process.returncode}"
            for opened in (log, process.stdout, process.stdin):
                with contextlib.suppress(BrokenPipeError):
                    opened.close()
            if said.get("known") is False:
                key = "unknown_gguf" if self._settings["library"] == GENAI else "unknown_llama_cpp"
                raise InvalidData(
                    f"engines.{key}", file=self._model, reason=reason, options=ARCHITECTURES
                )
            raise EnvironmentProblem("engines.generator_failed", file=self._model, reason=reason)
        self._process, self._down = process, SimpleQueue()
        for target, with_ in ((self._write, self._down), (self._read, log)):
            name = f"feilun-generator{target.__name__}"
            threading.Thread(target=target, args=(process, with_), name=name, daemon=True).start()

    def _write(self, process: subprocess.Popen[bytes], lines: SimpleQueue[bytes | None]) -> None:
        """The child reads between its steps alone: nobody else waits for that."""
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            while (line := lines.get()) is not None:
                process.stdin.write(line + b"\n")
                if lines.empty():
                    process.stdin.flush()
        with contextlib.suppress(BrokenPipeError, ValueError):
            process.stdin.close()

    def _read(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        assert process.stdout is not None
        with log, process.stdout as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break  # torn by a kill
                self._deliver(_decode(line))
            process.wait()
            with self._lock:
                if self._closed:
                    return
                _log.error("the generator of %s ended: %s", self._model, _tail(log))
                if self._process in (process, None):
                    self._process = None
                    self._down.put(None)
                    self._fail(EnvironmentProblem("engines.abandoned"))

    def _deliver(self, said: Mapping[str, Any]) -> None:
        loops: dict[asyncio.AbstractEventLoop | None, list[tuple[Sink, Part | FeilunError]]] = {}
        with self._lock:
            self.steps += 1
            for number, ids, logprobs, reason in said.get("parts", ()):
                sink = self._sinks.get(number)
                if sink is None:
                    continue
                if reason is not None:
                    del self._sinks[number]
                loops.setdefault(sink.loop, []).append((sink, Part(ids, logprobs, reason)))
            if said.get("over"):
                self._process = None  # the next call starts another
            for number, reason in said.get("refused", ()):
                if (sink := self._sinks.pop(number, None)) is not None:
                    error = InvalidData("engines.not_constrained", reason=reason)
                    loops.setdefault(sink.loop, []).append((sink, error))
        for loop, parts in loops.items():
            _hand_over(loop, parts)

    def _fail(self, error: FeilunError) -> None:
        """Under the lock: ends all requests."""
        sinks, self._sinks = list(self._sinks.values()), {}
        for sink in sinks:
            _hand_over(sink.loop, [(sink, error)])


def _hand_over(
    loop: asyncio.AbstractEventLoop | None, parts: Sequence[tuple[Sink, Part | FeilunError]]
) -> None:
    def put() -> None:
        for sink, part in parts:
            sink.put(part)

    if loop is None:
        put()
        return
    with contextlib.suppress(RuntimeError):  # a loop that has been closed waits for nothing
        loop.call_soon_threadsafe(put)


def _environment() -> dict[str, str]:
    # The child is this very package, also when it is not installed.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _tail(log: IO[bytes]) -> str:
    with contextlib.suppress(OSError, ValueError):
        log.seek(0, os.SEEK_END)
        log.seek(max(0, log.tell() - _TAIL))
        return log.read().decode("utf-8", "replace").strip()
    return ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """Does not return before the process is gone; nothing of it is worth waiting for."""
    process.kill()
    process.wait(_END_SECONDS)


def main() -> int:
    """What ``python -m feilun.engines._generator`` does: see the module."""
    # Libraries print to stdout as they please: their file descriptor becomes stderr, the log.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    source = os.fdopen(os.dup(sys.stdin.fileno()), "rb")

    def send(said: Mapping[str, Any]) -> None:
        out.write(_encode(said) + b"\n")
        out.flush()

    settings = _decode(source.readline())
    opened: Any = _open
    serve: Any = _serve
    if settings["library"] == LLAMA_CPP:
        from feilun.engines import _llama_cpp

        opened, serve = _llama_cpp.opened, _llama_cpp.serve
    try:
        model = opened(settings)
    except Exception as error:  # noqa: BLE001 - the library raises RuntimeError for everything
        unknown = "nsupported" in str(error) or "nknown" in str(error)
        send({"failed": _short(error), "known": not unknown})
        return 3
    lines: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(source, lines), daemon=True).start()
    send({"ready": True})
    serve(model, lines, send)
    return 0


def _open(settings: Mapping[str, Any]) -> tuple[Any, Any]:
    """The pipeline, and what makes a generation's configuration of its settings."""
    from feilun.engines.openvino import openvino

    openvino()  # first: it reports to nobody then
    import openvino_genai as genai

    scheduler = genai.SchedulerConfig()
    scheduler.enable_prefix_caching = False  # what one customer said is computed for no other
    scheduler.max_num_seqs = settings["sequences"]
    scheduler.max_num_batched_tokens = settings["batch_tokens"]
    properties: dict[str, Any] = {}
    if settings["threads"]:
        properties["INFERENCE_NUM_THREADS"] = settings["threads"]
    if settings["exact"]:  # what others are held against, whatever the processor is faster in
        properties |= {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
    pipeline = genai.ContinuousBatchingPipeline(settings["model"], scheduler, "CPU", properties, {})
    stops = set(settings["stops"])

    def make(config: Mapping[str, Any]) -> Any:
        plain = dict(config)
        schema, marks = plain.pop("json_schema", None), plain.pop("marks", None)
        plain.pop("from", None)  # of all that is read
        made = genai.GenerationConfig(**plain)
        if not plain.get("echo"):
            made.stop_token_ids = stops
            if stops:
                made.eos_token_id = min(stops)
        if schema is not None:
            form = genai.StructuredOutputConfig
            if marks is None:
                made.structured_output_config = form(json_schema=schema)
            else:  # a call of a tool stands between two marks
                begin, end = map(form.ConstString, marks)
                tags = begin + form.JSONSchema(schema) + end
                made.structured_output_config = form(structural_tags_config=tags)
        return made

    return pipeline, make


def _listen(source: IO[bytes], lines: SimpleQueue[bytes]) -> None:
    for line in source:
        lines.put(line)
    os._exit(0)  # the parent is gone: nobody takes what is written


def _serve(model: tuple[Any, Any], lines: SimpleQueue[bytes], send: Any) -> None:
    """Steps as long as anything is under way."""
    import numpy as np
    import openvino as ov

    pipeline, make = model
    handles: dict[int, Any] = {}
    constrained: set[int] = set()
    while True:
        while not handles or not lines.empty():
            said = _decode(lines.get())
            if "stop" in said:
                handle = handles.pop(said["stop"], None)
                constrained.discard(said["stop"])
                if handle is not None:
                    handle.cancel()
                    if not handles:
                        pipeline.step()  # lets go of it
                continue
            number = said["add"]
            try:
                ids = ov.Tensor(np.array([said["ids"]], np.int64))
                handles[number] = pipeline.add_request(number, ids, make(said["config"]))
            except Exception as error:  # noqa: BLE001 - the library raises RuntimeError
                send({"refused": [[number, _short(error)]]})
                continue
            if "json_schema" in said["config"]:
                constrained.add(number)
        try:
            pipeline.step()
        except Exception as error:
            # What it failed on is not told, and it fails on it again: whoever brought a schema is
            # refused, the others are asked again of another process.
            refused = [[number, _short(error)] for number in constrained]
            send({"refused": refused, "over": True})
            raise
        parts = [part for number in list(handles) if (part := _part(handles, number))]
        constrained -= {number for number, _, _, reason in parts if reason is not None}
        send({"parts": parts})


def _part(handles: dict[int, Any], number: int) -> list[Any] | None:
    """What has been written of a request since the last step."""
    handle = handles[number]
    ids: list[int] = []
    logprobs: list[float] = []
    reason = None
    while handle.can_read():
        for output in handle.read().values():
            ids += output.generated_ids
            logprobs += output.generated_log_probs
            name = output.finish_reason.name
            reason = None if name == "NONE" else name.lower()
    if reason is None and handle.get_status().name != "RUNNING":
        reason = "refused"  # no room for it in the cache
    if reason is not None:
        del handles[number]
    return [number, ids, logprobs, reason] if ids or reason is not None else None


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else repr(error)
    return _PLACE.sub("", last)[:_TAIL]


if __name__ == "__main__":
    sys.exit(main())
