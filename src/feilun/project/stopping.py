"""Stopping a run that waits or goes on."""

from __future__ import annotations

import os
import signal

from feilun.errors import Conflict
from feilun.project.scope import Scope
from feilun.project.status import run_state

__all__ = ["stop"]


def stop(scope: Scope, run: str) -> None:
    """See `Project.stop`."""
    catalog = scope.store.catalog
    found = catalog.run(run)
    state = run_state(scope.store, found)["state"]
    if state == "queued":
        catalog.update_run(run, state="stopped")
    elif state == "running" and found.pid is not None:
        # As Ctrl-C does: the process ends by itself and says so.
        os.kill(found.pid, signal.SIGINT)
    else:
        raise Conflict("project.not_running", run=run)
    catalog.note("run.stop", run)
