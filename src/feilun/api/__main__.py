"""``python -m feilun.api WORKSPACE``: a server for another process of the workspace.

It prints one JSON line when it is ready, and stops when its standard input closes, so that it never
outlives the process that started it.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading

from feilun.api.server import run
from feilun.errors import FeilunError
from feilun.project import Workspace


def main() -> int:
    """The exit code of the command line."""
    parser = argparse.ArgumentParser(prog="python -m feilun.api")
    parser.add_argument("folder")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--streams", type=int)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()

    stop = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        stop.set()

    def ready(address: str) -> None:
        threading.Thread(target=watch, daemon=True).start()
        sys.stdout.write(json.dumps({"address": address}) + "\n")
        sys.stdout.flush()

    try:
        with Workspace(options.folder) as workspace:
            run(
                workspace,
                host=options.host,
                port=options.port,
                on_ready=ready,
                stop=stop,
                streams=options.streams,
                threads=options.threads,
            )
    except FeilunError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
