"""From the end of ``feilun data add`` to the first 200 of the API, cold processes included.

    python -m benchmarks.cold [--methods linear,head] [--json FILE]

4,000 real reviews (mean 99 tokens). The server and the run are started at the same moment, each as
a person would start it in a terminal of its own; the clock stops at the first answer.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from feilun.demo.tasks import text_classification as reviews


def feilun(*words: str, cwd: Path) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "feilun", *words, "--json"],
        cwd=cwd,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


def start(*words: str, cwd: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "feilun", *words],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def measure(method: str, folder: Path) -> dict[str, Any]:
    files = reviews.files(folder / "data", "en")
    feilun("init", "reviews", cwd=folder)
    key = feilun("keys", "create", "Clock", cwd=folder)["secret"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    added = feilun("data", "add", str(files.training), cwd=folder)
    begun = time.perf_counter()
    server = start("serve", "--port", str(port), cwd=folder)
    run = start("run", "--method", method, cwd=folder)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            body = {"model": "reviews", "inputs": ["arrived broken"]}
            headers = {"Authorization": f"Bearer {key}"}
            answer: dict[str, Any] = {}
            forced = False
            # The wanted stage, not the cheaper one that goes live before it.
            while answer.get("method") != method:
                if run.poll() is not None and not forced and answer:
                    # The gate refused the stage: its first answer then comes by force.
                    forced = True
                    words = ["deploy", _newest(folder, method), "--force", "--reason", "benchmark"]
                    feilun(*words, cwd=folder)
                try:
                    response = client.post("/v1/predict", json=body, headers=headers)
                except httpx.HTTPError:
                    time.sleep(0.05)
                    continue
                if response.status_code == 200:
                    model = response.json()["model"]
                    answer = {"model": model, "method": _method(folder, model)}
                time.sleep(0.05)
        seconds = time.perf_counter() - begun
        run.wait(timeout=600)
    finally:
        for process in (run, server):
            process.terminate()
            process.wait(timeout=30)
    return {
        "method": method,
        "rows": added["report"]["rows"],
        "seconds": seconds,
        "forced": forced,
    }


def _newest(folder: Path, method: str) -> str:
    from feilun.project import Workspace

    with Workspace(folder) as workspace:
        versions = workspace.store.catalog.model_versions("reviews")
        return next(v.id for v in reversed(versions) if v.method == method)


def _method(folder: Path, model: str) -> str:
    from feilun.project import Workspace

    with Workspace(folder) as workspace:
        return workspace.store.catalog.model_version(model).method


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", default="linear,head")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = []
    for method in arguments.methods.split(","):
        with tempfile.TemporaryDirectory() as folder:
            os.environ.pop("FEILUN_WORKSPACE", None)
            print(method, file=sys.stderr)
            results.append(measure(method, Path(folder)))
    print("| stage | rows | seconds to the first answer | let by the gate |")
    print("|---|---|---|---|")
    for result in results:
        gate = "no, deployed by force" if result["forced"] else "yes"
        cells = [result["method"], f"{result['rows']:,}", f"{result['seconds']:.1f}", gate]
        print("|", " | ".join(cells), "|")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
