"""Bad requests by the thousand: never a 500, always the one error shape, and the server is as well
afterwards as before.

``make test`` sends a few thousand; ``FUZZ=100000 pytest -m slow tests/integration/test_fuzz.py`` as
many as are asked for. The server is a process of its own, so that its memory can be told.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import psutil
import pytest

from helpers.forked import Forked
from helpers.mill import Mill, Request
from helpers.raw import connect, read_all, reply_to
from helpers.serving import add_version, client, make_key, make_workspace

TOKEN = "fuzz-" + "t" * 40
FIELDS = {"message", "type", "code", "param", "request_id"}
SERVER = f"""
import json, sys, threading
from feilun import api
from feilun.api.security import Limits, Security
from feilun.project import Workspace
stop = threading.Event()
def watch():
    sys.stdin.read()
    stop.set()
def ready(address):
    threading.Thread(target=watch, daemon=True).start()
    print(json.dumps(address), flush=True)
security = Security(limits=Limits(head=2.0, body_pause=2.0, linger=0.5, wrong_keys=10**9),
                    admin=True, admin_token={TOKEN!r})
with Workspace(sys.argv[1]) as workspace:
    api.run(workspace, port=0, on_ready=ready, stop=stop, security=security)
"""


@dataclass
class Target:
    """The server that is shot at, and what it said so far."""

    address: str
    secret: str
    process: psutil.Process
    log: Path
    said: Counter[int]

    def judge(self, what: object, status: int, content_type: str, body: bytes, path: str) -> None:
        """Fails unless an answer is as it should be."""
        self.said[status] += 1
        assert status < 500 or status == 503, f"{status} for {what}: {body[:500]!r}"
        if status < 400 or not body:  # an answer to HEAD has none
            return
        assert content_type == "application/json", (what, content_type, body[:200])
        error = json.loads(body)["error"]
        if isinstance(error, str):
            assert path.startswith("/v2"), what
            assert error
        else:
            assert set(error) == FIELDS, what
            assert error["message"], what
            assert error["code"], what

    def memory(self) -> int:
        """Bytes that the server holds."""
        rss: int = self.process.memory_info().rss
        return rss


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    folder = tmp_path / "workspace"
    folder.mkdir()
    with make_workspace(folder) as store:
        store.catalog.add_project("pictures", "image-classification")
        store.catalog.set_live("pictures", add_version(store, "pictures").id)
        store.catalog.add_customer("One", id="cus_1")
        key = make_key(store, scopes=("predict", "feedback", "usage", "admin"))
        log = tmp_path / "server.log"
        with log.open("wb") as file, started(folder, file) as (process, address):
            yield Target(address, key.secret, psutil.Process(process.pid), log, Counter())
        assert store.catalog.verify_audit().broken is None


@contextmanager
def started(folder: Path, log: Any) -> Iterator[tuple[Forked, str]]:
    with Forked(
        [sys.executable, "-c", SERVER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def answers(target: Target) -> list[Any]:
    """What the server says to a few right requests, but for what is new with each."""
    said = []
    with client(target.address, target.secret) as web:
        for model, inputs in (("reviews", ["great", "broken", "很好"]), ("reviews@1", "awful")):
            answer = web.post("/v1/predict", json={"model": model, "inputs": inputs})
            assert answer.status_code == 200, answer.text
            said.append({**answer.json(), "id": None})
        said.append(web.get("/v1/models").json())
        said.append(web.get("/readyz").json())
    return said


def assert_well(target: Target, before: list[Any], memory: int, most: int) -> None:
    """The server answers as it did, counts no failure of its own, and has not grown."""
    assert answers(target) == before
    with client(target.address) as web:
        counted = web.get("/metrics").text
    assert not re.findall(r'feilun_requests_total\{.*status="500".*', counted)
    grown = target.memory() - memory
    assert grown < most, f"grown by {grown:,} bytes after {sum(target.said.values()):,} requests"
    log = target.log.read_text("utf-8", "replace")
    assert "Traceback" not in log, log[-3000:]
    assert " failed\n" not in log, log[-3000:]


def shoot(target: Target, mill: Mill, count: int) -> None:
    """`count` wrong requests over kept connections."""
    host, port = target.address.removeprefix("http://").split(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=30)) as line:
        for number in range(count):
            request = mill.request()
            secret = (target.secret, TOKEN, "fl_wrong")[number % 10 % 3 if number % 10 > 6 else 0]
            try:
                status, kind, body = ask(line, request, secret)
            except (http.client.HTTPException, ConnectionError):
                # The server may have ended the connection over the request before; on a new one it
                # has to answer.
                line.close()
                status, kind, body = ask(line, request, secret)
            target.judge(request, status, kind, body, request.path)


def ask(line: http.client.HTTPConnection, request: Request, secret: str) -> tuple[int, str, bytes]:
    # Python's client would refuse what other clients send.
    line._validate_path = lambda url: None  # type: ignore[attr-defined]
    path = re.sub(r"[^\x21-\x7e]", "%20", request.path)
    line.putrequest(request.method, path, skip_accept_encoding=True)
    names = {name for name, _ in request.headers}
    if "authorization" not in names:
        line.putheader("authorization", f"Bearer {secret}")
    for name, value in request.headers:
        line.putheader(name, value)
    line.putheader("content-length", str(len(request.body)))
    line.endheaders(request.body)
    response = line.getresponse()
    body = response.read()
    return response.status, response.headers.get("content-type", ""), body


def throw(target: Target, mill: Mill, count: int) -> None:
    """`count` times garbage, each over a connection of its own."""
    for _ in range(count):
        raw = mill.garbage()
        with connect(target.address, timeout=60) as sock:
            with suppress(OSError):
                sock.sendall(raw)
                sock.shutdown(1)
            answer = read_all(sock)
        if answer:
            reply = reply_to(answer)
            target.judge(raw, reply.status, reply.headers.get("content-type", ""), reply.body, "")
        else:
            target.said[0] += 1


def by_the_document(target: Target, each: int) -> None:
    """Requests that schemathesis makes from the OpenAPI document, right and wrong ones."""
    import schemathesis

    with client(target.address) as web:
        document = web.get("/openapi.json").json()
    settings = hypothesis.settings(
        max_examples=each,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    with client(target.address) as web:
        for found in schemathesis.openapi.from_dict(document).get_all_operations():
            operation = found.ok()
            secret = TOKEN if operation.path.startswith("/admin") else target.secret
            for mode in schemathesis.GenerationMode:
                strategy = operation.as_strategy(generation_mode=mode)
                run = hypothesis.given(strategy)(sender(target, web, secret))
                with suppress(hypothesis.errors.Unsatisfiable):
                    settings(run)()


def sender(target: Target, web: httpx.Client, secret: str) -> Callable[[Any], None]:
    """Sends one of schemathesis's cases and judges the answer."""

    def send(case: Any) -> None:
        made = case.as_transport_kwargs(base_url=target.address)
        headers = {k: v for k, v in (made.get("headers") or {}).items() if v is not None}
        body = {"json": made["json"]} if "json" in made else {"content": made.get("data")}
        try:
            request = web.build_request(
                made["method"],
                made["url"],
                params=made.get("params"),
                headers={"authorization": f"Bearer {secret}", **headers},
                **body,
            )
        except (httpx.InvalidURL, ValueError, TypeError):
            return  # a client that refuses to write it
        try:
            answer = web.send(request)
        except httpx.LocalProtocolError:
            return
        kind, path = answer.headers.get("content-type", ""), answer.url.path
        target.judge(case, answer.status_code, kind, answer.content, path)

    return send


MEGABYTE = 1024 * 1024


def test_bad_requests_break_nothing(target: Target) -> None:
    before = answers(target)
    mill = Mill(seed=1)
    shoot(target, mill, 150)
    memory = target.memory()
    shoot(target, mill, 450)
    throw(target, mill, 75)
    assert len([status for status in target.said if status >= 400]) >= 6, target.said
    assert_well(target, before, memory, 80 * MEGABYTE)


@pytest.mark.slow
def test_what_the_document_allows_and_what_it_does_not(target: Target) -> None:
    before = answers(target)
    memory = target.memory()
    by_the_document(target, each=3)
    assert target.said[200] > 20, target.said
    assert_well(target, before, memory, 120 * MEGABYTE)


@pytest.mark.slow
def test_bad_requests_by_the_hundred_thousand(target: Target) -> None:
    """``FUZZ``: how many (default 100,000)."""
    count = int(os.environ.get("FUZZ", "100000"))
    before = answers(target)
    begun = time.monotonic()
    by_the_document(target, each=max(5, count // 4000))
    mill = Mill(seed=int(os.environ.get("FUZZ_SEED", "7")))
    shoot(target, mill, max(1, count // 10))
    memory = target.memory()
    throw(target, mill, count // 20)
    while (left := count - sum(target.said.values())) > 0:
        shoot(target, mill, min(left, 10_000))
        print(f"{left:,} left, {target.memory() / MEGABYTE:,.0f} MiB", flush=True)
    assert_well(target, before, memory, 100 * MEGABYTE)
    seconds = time.monotonic() - begun
    said = dict(sorted(target.said.items()))
    print(f"{sum(target.said.values()):,} requests in {seconds:.0f} s, by status: {said}")
