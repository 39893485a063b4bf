"""Training in a child process: at low priority, on so many threads, gone when its parent is gone.

The parent stays free of torch and of its memory. Between the two run lines of JSON: the job goes
down stdin, progress and the outcome come up stdout. What libraries print goes to ``train.log`` in
the job's scratch folder. The child's stdin stays open as long as the parent lives; when it ends,
however that happens, so does the child.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from feilun import errors, messages
from feilun.errors import EnvironmentProblem, FeilunError
from feilun.messages.sentences import from_kept, params_from_kept, params_to_kept, to_kept
from feilun.training.job import Report, TrainJob, TrainResult
from feilun.types import Progress

__all__ = ["environment", "main", "run_child"]

LOG = "train.log"

_TAIL = 4000  # characters of the log that an unexpected failure shows with --debug
_GRACE = 5.0
_LOW = 10
_LOCK_SECONDS = 20.0


def run_child(job: TrainJob, report: Report) -> TrainResult:
    """Trains `job` in a child process and returns when the version stands in ``job.out``.

    Raises what the child raised if that is a `FeilunError`; `EnvironmentProblem` when it was killed
    (most often by the system, for want of memory); `FeilunError` for a bug, with the end of the
    child's log as its cause.
    """
    job.scratch.mkdir(parents=True, exist_ok=True)
    log = job.scratch / LOG
    with log.open("ab") as opened:
        process = subprocess.Popen(
            [sys.executable, "-m", "feilun.training.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=opened,
            env=environment(job.threads),
            text=True,
            encoding="utf-8",
            start_new_session=True,  # a Ctrl-C in the terminal is for the parent, which ends us
        )
    assert process.stdin is not None
    assert process.stdout is not None
    outcome: Mapping[str, Any] = {}
    code = 0
    try:
        request = {"job": job.to_json(), "lang": messages.language()}
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            if not line.endswith("\n"):
                break  # torn by a kill
            message = json.loads(line)
            if "progress" in message:
                report(_progress(message["progress"]))
            else:
                outcome = message
                break  # not at the end of the stream: what a library forked may hold it open
        code = 0 if outcome else process.wait()
    except BrokenPipeError:
        code = process.wait()
    finally:
        _end(process)
    return _result(outcome, code, log)


def _result(outcome: Mapping[str, Any], code: int, log: Path) -> TrainResult:
    if "result" in outcome:
        return TrainResult.from_json(outcome["result"])
    if "error" in outcome:
        error = outcome["error"]
        raise getattr(errors, error["class"])(error["code"], **params_from_kept(error["params"]))
    tail = log.read_text("utf-8", "replace")[-_TAIL:] if log.is_file() else ""
    cause = RuntimeError(outcome.get("crash") or tail)
    if code < 0:
        raise EnvironmentProblem("training.killed", signal=-code, log=log) from cause
    raise FeilunError("training.crashed", log=log) from cause


def environment(threads: int | None) -> dict[str, str]:
    """The child's environment. Everything it needs is local, so no hub is asked."""
    from feilun.training.precision import cores

    count = str(threads or cores())
    return {
        **os.environ,
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count),
        "RAYON_NUM_THREADS": count,
        # Threads that wait for each other must sleep, not spin: beside a busy server, spinning made
        # a step of 1 second take 59.
        "OMP_WAIT_POLICY": "PASSIVE",
        "KMP_BLOCKTIME": "0",
        "TOKENIZERS_PARALLELISM": "true",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONUNBUFFERED": "1",
        # The child is this very package, also when it is not installed.
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }


def _end(process: subprocess.Popen[str]) -> None:
    """Closes the pipes, and does not return before the child is gone."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:
                continue
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> int:
    """What ``python -m feilun.training.child`` does: one job from stdin, its outcome to stdout."""
    # Libraries print to stdout as they please: their file descriptor becomes stderr, the log.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        request = json.loads(sys.stdin.readline())
        threading.Thread(target=_follow_parent, name="feilun-parent", daemon=True).start()
        _lower_priority()
        messages.use(request["lang"])
        lock = threading.Lock()

        def send(message: Mapping[str, Any]) -> None:
            with lock:
                out.write(json.dumps(message, ensure_ascii=False, default=str) + "\n")
                out.flush()

        try:
            job = TrainJob.from_json(request["job"])
            with messages.knowing():
                send({"result": _train(job, send).to_json()})
        except FeilunError as error:
            send({"error": _packed(error)})
        except Exception:  # noqa: BLE001 - whatever it is, the parent must hear of it
            traceback.print_exc()
            send({"crash": traceback.format_exc()})
            return 70
    return 0


def _train(job: TrainJob, send: Any) -> TrainResult:
    from filelock import FileLock, Timeout

    from feilun.training import out_of_fold
    from feilun.training.ablation import train_parts
    from feilun.training.fold_training import train_folds
    from feilun.training.settings import method

    def tell(progress: Progress) -> None:
        send({"progress": _plain(progress)})

    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    lock = FileLock(job.scratch / "train.lock")
    try:
        # A parent that was killed leaves a child that takes a moment to notice.
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout:
        raise EnvironmentProblem("training.scratch_in_use", folder=job.scratch) from None
    with lock:
        chosen = method(job.method)
        settings = chosen.Settings(**job.settings)
        try:
            folds = train_folds(chosen, job, settings, tell)
            result = chosen.train(job, settings, tell)
            seconds = train_parts(chosen, job, settings, tell)
            figures = {**result.figures, **_peak()}
            figures |= {"parts_seconds": seconds} if seconds else {}
            if folds is None:
                return replace(result, figures=figures)
            out_of_fold.keep(job.out, folds.ids, folds.raw)
            figures["folds_seconds"] = folds.seconds
            return replace(result, figures=figures, notes=(*result.notes, *folds.notes))
        except MemoryError:
            raise EnvironmentProblem("training.no_memory", method=job.method) from None
        except Exception as error:
            reason = _from_disk(error)
            if reason is None:
                raise
            raise EnvironmentProblem("training.cannot_write", reason=reason) from error


def _peak() -> dict[str, float]:
    """The most memory that this process held at once, in bytes, where the system tells it. What
    ``getrusage`` calls so is that of the parent before, too."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        return {}
    found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return {"peak_memory_bytes": 1024.0 * float(found[0])} if found else {}


def _from_disk(error: Exception) -> str | None:
    """What the operating system said, if a file was the matter; each library says it its way."""
    text = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}"
    if type(error).__name__ == "SafetensorError" and "I/O error" in text:
        return text.partition("I/O error: ")[2]
    if isinstance(error, RuntimeError) and "inline_container" in text:  # torch.save
        return text.strip().partition("\n")[0]
    return None


def _plain(progress: Progress) -> dict[str, Any]:
    kept = {"figures": dict(progress.figures), "note": to_kept(progress.note)}
    return {**asdict(progress), **kept}


def _progress(raw: Mapping[str, Any]) -> Progress:
    return Progress(**{**raw, "note": from_kept(raw["note"])})


def _packed(error: FeilunError) -> dict[str, Any]:
    params = params_to_kept(error.params)
    return {"class": type(error).__name__, "code": error.code, "params": params}


def _follow_parent() -> None:
    """Ends this process when the parent has: nobody would take the result.

    Reads the bare file descriptor: a lock on ``sys.stdin`` held here would hang whatever a library
    forks, because a fork closes that stream first.
    """
    while os.read(0, 4096):
        continue
    os._exit(1)


def _lower_priority() -> None:
    import psutil

    process = psutil.Process()
    if sys.platform == "win32":
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        process.nice(min(19, process.nice() + _LOW))


if __name__ == "__main__":
    sys.exit(main())
