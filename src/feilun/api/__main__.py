"""``python -m feilun.api WORKSPACE``: a server for another process of the workspace.

It prints one JSON line when it is ready, and stops when its standard input closes, so that it never
outlives the process that started it.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading

from feilun.api.server import Running, run
from feilun.errors import FeilunError


def main() -> int:
    """The exit code of the command line."""
    parser = argparse.ArgumentParser(prog="python -m feilun.api")
    parser.add_argument("folder")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--streams", type=int)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()

    def ready(running: Running) -> None:
        def watch() -> None:
            sys.stdin.read()
            running.stop()

        threading.Thread(target=watch, daemon=True).start()
        sys.stdout.write(json.dumps({"address": running.address}) + "\n")
        sys.stdout.flush()

    try:
        run(
            options.folder,
            host=options.host,
            port=options.port,
            on_ready=ready,
            streams=options.streams,
            threads=options.threads,
        )
    except FeilunError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
