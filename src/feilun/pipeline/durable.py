"""Durable execution of one project's workflows by DBOS, the only file that knows it.

Only the holder of the project's lock comes here: a second process that launched DBOS on the same
database re-ran the step that the first was still running (measured). The executor is the project,
so what a killed process left is found by the next one; its steps' inputs and outputs are JSON.
"""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any, Protocol

from dbos import (
    DBOS,
    DBOSClient,
    DBOSConfig,
    DBOSPortableJSONSerializer,
    SetWorkflowID,
)

from feilun import errors
from feilun.errors import FeilunError
from feilun.messages.sentences import params_from_kept, params_to_kept

__all__ = ["Body", "StepRunner", "Stopped", "check", "execute", "forget", "prepare"]

# Recorded steps are only valid for the code that wrote them: raise this when a step's name, order
# or result changes, and unfinished runs of the former version begin anew.
WORKFLOW_VERSION = "1"

_LOOK = 5.0  # seconds between looks at whether the workflow is still there
_GRACE = 10.0
"""Seconds that a step has to end after an interruption: until its next sign of life."""


class StepRunner(Protocol):
    """Runs one named step in this process; the result is JSON and survives the process."""

    def __call__(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]: ...


Body = Callable[[str, StepRunner], dict[str, Any]]
"""A workflow: composes steps by calling the runner; otherwise deterministic."""


class Stopped(Exception):
    """Raised inside a step, at its next sign of life, once the turn was interrupted."""


class _Current:
    """What the recovered workflow of this process runs with. One project a process at a time."""

    alone = threading.Lock()
    stopping = threading.Event()
    ended = threading.Event()
    body: Body
    step: StepRunner
    failure: Exception | None = None


def check() -> None:
    """Raises `Stopped` when the turn was interrupted. Steps run in a thread that Ctrl-C does not
    reach, so they ask here whenever they report."""
    if _Current.stopping.is_set():
        raise Stopped


@DBOS.step(name="step")
def _step(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        check()
        return _Current.step(name, arguments)
    except FeilunError as error:
        _Current.failure = error
        raise RuntimeError(_encode(error)) from None
    except Exception as error:
        _Current.failure = error  # with its traceback, which no database keeps
        raise


@DBOS.workflow(name="workflow", max_recovery_attempts=1_000_000)
def _workflow(run_id: str) -> dict[str, Any]:
    try:
        return _Current.body(run_id, _step)
    finally:
        _Current.ended.set()


def execute(
    run_id: str, project: str, dbos_url: str, body: Body, step: StepRunner
) -> dict[str, Any]:
    """Runs the workflow `run_id` to its end and returns its result.

    A new id starts; an id that a killed process left goes on after its last finished step; an id
    that failed is taken up at the step that failed; a finished one returns what it returned.
    Other unfinished workflows of the project are cancelled first: the caller chose this one.
    Raises what the failing step raised. Interrupted, it waits for the step to notice: nothing may
    go on working once the caller lets go of the project's lock. Calls from several threads of one
    process take turns.
    """
    with _Current.alone, _interruptions() as asked:
        _Current.body, _Current.step, _Current.failure = body, step, None
        _Current.stopping.clear()
        _Current.ended.clear()
        return _off_the_loop(lambda: _execute(run_id, project, dbos_url, asked))


def _off_the_loop(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """`work()`, in a thread of its own where an event loop runs in this one, as in a notebook:
    DBOS refuses to work there."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1, "feilun-workflow") as pool:
        return pool.submit(copy_context().run, work).result()


def _execute(run_id: str, project: str, dbos_url: str, asked: threading.Event) -> dict[str, Any]:
    _cancel_others(run_id, project, dbos_url)
    with _launched(project, dbos_url):
        status = DBOS.get_workflow_status(run_id)
        if status is None:
            with SetWorkflowID(run_id):
                handle: Any = DBOS.start_workflow(_workflow, run_id)
        elif status.status in {"ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}:
            handle = DBOS.rewind_workflow(run_id, start_step=_first_failed(run_id))
        else:
            handle = DBOS.retrieve_workflow(run_id)
        try:
            if status is None or status.status != "SUCCESS":
                _wait(run_id, asked)
            result: dict[str, Any] = handle.get_result(polling_interval_sec=0.05)
        except FeilunError:
            raise
        except Exception as error:  # noqa: BLE001 (what DBOS wraps a step's failure in)
            raise _recorded(error) from None
        except BaseException:
            _wind_down(run_id)
            raise
        return result


@contextmanager
def _interruptions() -> Iterator[threading.Event]:
    """Ctrl-C as an event, as long as DBOS runs. As an exception it comes out of nowhere, even amid
    the bookkeeping of a connection pool that DBOS's threads share with this one."""
    asked = threading.Event()
    usual = signal.getsignal(signal.SIGINT)
    mine = threading.current_thread() is threading.main_thread()
    if not mine or not callable(usual):  # another thread's business, or nobody's
        yield asked
        return
    signal.signal(signal.SIGINT, lambda number, frame: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, usual)


def _wait(run_id: str, asked: threading.Event) -> None:
    """Waits for the workflow in short pieces: DBOS's own wait for a thread's result does not wake
    up for one that another thread got. Raises `KeyboardInterrupt` once it was `asked` for."""
    looked = time.monotonic()
    while not _Current.ended.wait(0.2):
        if asked.is_set():
            raise KeyboardInterrupt
        if time.monotonic() - looked > _LOOK:
            looked = time.monotonic()
            status = DBOS.get_workflow_status(run_id)
            if status is None or status.status not in {"PENDING", "ENQUEUED"}:
                return


def _wind_down(run_id: str) -> None:
    """Asks the running step to end, and waits a little until it has."""
    _Current.stopping.set()
    until = time.monotonic() + _GRACE
    while time.monotonic() < until:
        status = DBOS.get_workflow_status(run_id)
        if status is None or status.status != "PENDING":
            return
        time.sleep(0.05)


def prepare(dbos_url: str) -> None:
    """Makes DBOS's tables where there are none, running nothing: for a backup's rows to go into."""
    with _launched("feilun-restore", dbos_url):
        pass


def forget(run_id: str, dbos_url: str) -> None:
    """Deletes the workflow, so that its id starts from the beginning."""
    with _client(dbos_url) as client, suppress(Exception):
        client.cancel_workflow(run_id)
        client.delete_workflow(run_id)


@contextmanager
def _launched(project: str, dbos_url: str) -> Iterator[None]:
    DBOS(
        config=DBOSConfig(
            name="feilun",
            system_database_url=dbos_url,
            executor_id=project,
            application_version=WORKFLOW_VERSION,
            serializer=DBOSPortableJSONSerializer(),
            log_level="CRITICAL",
            use_listen_notify=False,
            notification_listener_polling_interval_sec=0.05,
        )
    )
    try:
        DBOS.launch()
        yield
    finally:
        DBOS.destroy()


@contextmanager
def _client(dbos_url: str) -> Iterator[DBOSClient]:
    client = DBOSClient(system_database_url=dbos_url, serializer=DBOSPortableJSONSerializer())
    try:
        yield client
    finally:
        client.destroy()


def _cancel_others(run_id: str, project: str, dbos_url: str) -> None:
    # Before the first launch there are no tables to ask.
    with suppress(Exception), _client(dbos_url) as client:
        unfinished = client.list_workflows(
            status=["PENDING", "ENQUEUED"], executor_id=project, load_input=False
        )
        for workflow in unfinished:
            if workflow.workflow_id != run_id:
                client.cancel_workflow(workflow.workflow_id)


def _first_failed(run_id: str) -> int:
    steps = DBOS.list_workflow_steps(run_id)
    failed = [s["function_id"] for s in steps if s["error"] is not None]
    return min(failed) if failed else len(steps) + 1


def _encode(error: FeilunError) -> str:
    params = params_to_kept(error.params)
    body = {"class": type(error).__name__, "code": error.code, "params": params}
    return json.dumps(body, ensure_ascii=False)


def _recorded(error: Exception) -> Exception:
    """What failed a step: this process's own error, or the feilun error that an earlier process
    wrote down; anything else as it is."""
    if _Current.failure is not None:
        return _Current.failure
    try:
        body = json.loads(str(getattr(error, "message", error)))
        cls, params = getattr(errors, body["class"]), params_from_kept(body["params"])
        return cls(body["code"], **params) if issubclass(cls, FeilunError) else error
    except (ValueError, KeyError, TypeError, AttributeError):
        return error
