"""Strangers at the door: keys and scopes, guesses, slow clients, floods of connections, bombs,
what is told, and TLS. The server is a real one; its limits are lowered where waiting would be."""

from __future__ import annotations

import json
import logging
import re
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from feilun.api import protocol
from feilun.api.security import HEADERS, Limits, Security, check_tls, of_request, parse_networks
from feilun.errors import EnvironmentProblem, InvalidSettings
from feilun.project import Workspace
from feilun.serving.served import Served
from feilun.store.store import Store
from helpers.raw import connect, read_all, reply_to, talk
from helpers.serving import Answering, add_version, client, make_key, make_workspace, serving

LOW = Limits(
    head=0.6,
    body_pause=0.6,
    answer=0.8,
    linger=0.5,
    connections=40,
    from_one_address=30,
    wrong_keys=5,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with make_workspace(tmp_path_factory.mktemp("workspace")) as store:
        store.catalog.add_project("pictures", "image-classification")
        store.catalog.set_live("pictures", add_version(store, "pictures").id)
        yield store


@pytest.fixture(scope="module")
def server(store: Store) -> Iterator[Answering]:
    with serving(store) as running:
        yield running


@pytest.fixture(scope="module")
def strict(store: Store) -> Iterator[Answering]:
    """A server that loses its patience within a second or two, and believes one proxy."""
    protocol.LOOK = 0.2
    security = Security(limits=LOW, proxies=parse_networks(["127.0.0.9", "10.0.0.0/8"]))
    with serving(store, security=security) as running:
        yield running
    protocol.LOOK = 1.0


def code_of(response: httpx.Response) -> str:
    code: str = response.json()["error"]["code"]
    return code


# Keys and scopes

SCOPES = {
    "/v1/predict": "predict",
    "/v1/embeddings": "predict",
    "/v1/chat/completions": "predict",
    "/v1/completions": "predict",
    "/v1/responses": "predict",
    "/v1/rerank": "predict",
    "/v1/search": "predict",
    "/v1/feedback": "feedback",
    "/v1/usage": "usage",
    "/v1/invoices": "usage",
    "/v1/invoices/{number}": "usage",
    "/v1/models": None,
    "/v1/models/{model}": None,
    "/v2/models/{model}": "predict",
    "/v2/models/{model}/ready": "predict",
    "/v2/models/{model}/infer": "predict",
    "/v2/models/{model}/versions/{version}": "predict",
    "/v2/models/{model}/versions/{version}/ready": "predict",
    "/v2/models/{model}/versions/{version}/infer": "predict",
}
OPEN = {
    *("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics"),
    *("/v2", "/v2/health/live", "/v2/health/ready"),
}
BODIES: dict[str, Any] = {
    "/v1/predict": {"inputs": "great", "model": "reviews"},
    "/v1/embeddings": {"input": "great", "model": "reviews"},
    "/v1/chat/completions": {
        "model": "reviews",
        "messages": [{"role": "user", "content": "great"}],
    },
    "/v1/rerank": {"model": "reviews", "query": "great", "documents": ["good", "bad"]},
    "/v1/search": {"model": "reviews", "query": "great"},
    "/v1/feedback": {"prediction_id": "x", "label": "y"},
    "infer": {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["great"]}]},
}


def routes(server: Answering) -> Iterator[tuple[str, str]]:
    """Every method and path of the OpenAPI document but those for the workspace's processes."""
    document = server.http.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        if not path.startswith("/internal/"):
            yield from ((method, path) for method in methods)


def ask(http: httpx.Client, method: str, path: str) -> httpx.Response:
    url = path.replace("{model}", "reviews").replace("{version}", "1").replace("{number}", "X-1")
    body = BODIES.get(path, BODIES["infer"] if path.endswith("/infer") else None)
    return http.request(method, url, json=body)


def test_every_route_is_open_or_needs_a_key_with_its_scope(server: Answering) -> None:
    found = set(routes(server))
    assert {path for _, path in found} == set(SCOPES) | OPEN
    for method, path in found:
        with client(server.address) as nobody:
            answer = ask(nobody, method, path)
        assert (answer.status_code != 401) == (path in OPEN), path
    for scope in ("predict", "feedback", "usage", "admin"):
        key = make_key(server.store, scopes=(scope,))
        with client(server.address, key.secret) as http:
            for method, path in found - {one for one in found if one[1] in OPEN}:
                answer = ask(http, method, path)
                if SCOPES[path] in (None, scope):
                    assert answer.status_code not in (401, 403), (path, scope)
                else:
                    assert answer.status_code == 403, (path, scope)
                    assert str(SCOPES[path]) in answer.text
                    assert key.secret not in answer.text


def test_expired_revoked_and_rotated_keys(server: Answering) -> None:
    soon = make_key(server.store, expires=datetime.now(UTC) + timedelta(seconds=1))
    with client(server.address, soon.secret) as http:
        assert http.get("/v1/models").status_code == 200
        time.sleep(1.1)
        assert code_of(http.get("/v1/models")) == "billing.key_expired"


def test_wrong_keys_are_limited_and_good_ones_never(strict: Answering) -> None:
    def tries(count: int, **headers: str) -> list[httpx.Response]:
        with client(strict.address) as http:
            return [
                http.get("/v1/models", headers={"authorization": f"Bearer fl_{n}", **headers})
                for n in range(count)
            ]

    answers = tries(LOW.wrong_keys + 5)
    assert [a.status_code for a in answers[: LOW.wrong_keys]] == [401] * LOW.wrong_keys
    late = answers[-1]
    assert late.status_code == 429
    assert code_of(late) == "api.too_many_attempts"
    assert 1 <= int(late.headers["retry-after"]) <= 3
    # Whoever shares the address and has a key is answered all the while.
    for _ in range(20):
        assert strict.predict("great", model="reviews").status_code == 200
    # A header of the caller's own making moves nobody to another address.
    again = tries(LOW.wrong_keys + 5, **{"x-forwarded-for": "203.0.113.5"})
    assert again[-1].status_code == 429
    time.sleep(int(again[-1].headers["retry-after"]))
    assert tries(1)[0].status_code == 401


def test_behind_a_trusted_proxy_callers_are_told_apart(strict: Answering) -> None:
    def attempt(forwarded: str) -> int:
        raw = (
            "GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
            f"authorization: Bearer fl_no\r\nx-forwarded-for: {forwarded}\r\n\r\n"
        )
        with connect(strict.address, source="127.0.0.9") as sock:
            sock.sendall(raw.encode())
            return reply_to(read_all(sock)).status

    said = [attempt("203.0.113.77") for _ in range(LOW.wrong_keys + 1)]
    assert said == [401] * LOW.wrong_keys + [429]
    # What stands on the left was written by the caller; 10.1.2.3 is a second proxy.
    assert attempt("198.51.100.1, 203.0.113.77, 10.1.2.3") == 429
    assert attempt("203.0.113.77, 198.51.100.1") == 401
    assert attempt("203.0.113.77, not an address") == 401


def test_forwarded_addresses_outside_of_a_request() -> None:
    assert of_request() == ""
    with pytest.raises(InvalidSettings):
        parse_networks(["10.0.0.0/33"])


# Time


def trickle(sock: socket.socket, piece: bytes, *, times: int, pause: float) -> None:
    """Sends and sends; raises when the other side has gone."""
    for _ in range(times):
        sock.sendall(piece)
        time.sleep(pause)


def test_headers_that_trickle_in_are_cut_off(strict: Answering) -> None:
    with connect(strict.address) as sock:
        with suppress(OSError):
            for _ in range(100):
                sock.sendall(b"G" if _ == 0 else b"E")
                time.sleep(0.1)
        reply = reply_to(read_all(sock))
    assert reply.status in (400, 408)  # the letters are no method, if they are looked at in time
    with connect(strict.address) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n")
        reply = reply_to(read_all(sock))
    assert (reply.status, reply.json()["error"]["code"]) == (408, "api.headers_too_slow")


@pytest.mark.parametrize("words", [[], [b"\r\n"], [b"GET /healthz HTTP/1.1\r\n\r\n", b"\r\n"]])
def test_a_connection_that_says_nothing_is_closed(strict: Answering, words: list[bytes]) -> None:
    with connect(strict.address, timeout=60) as sock:
        for word in words:
            sock.sendall(word)
            time.sleep(0.2)
        read_all(sock)  # a time-out would raise


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/feedback"])
def test_bodies_that_do_not_come(strict: Answering, path: str) -> None:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {strict.key.secret}\r\n"
        "content-length: 100000\r\n\r\n"
    ).encode()
    for begin in (b"", b'{"inputs": "'):
        with connect(strict.address) as sock:
            sock.sendall(head + begin)
            reply = reply_to(read_all(sock))
        assert (reply.status, reply.json()["error"]["code"]) == (408, "api.body_too_slow")


def test_a_body_that_trickles_is_cut_off_although_it_never_pauses(strict: Answering) -> None:
    head = (
        f"POST /v1/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {strict.key.secret}\r\n"
        "content-length: 1000000\r\n\r\n"
    ).encode()
    with connect(strict.address) as sock:
        sock.sendall(head)
        with pytest.raises(ConnectionError):
            trickle(sock, b"x", times=300, pause=0.2)
        assert reply_to(read_all(sock)).status == 408


def test_a_client_that_reads_nothing_does_not_stay(strict: Answering) -> None:
    request = (
        f"GET /openapi.json HTTP/1.1\r\nhost: x\r\n"
        f"authorization: Bearer {strict.key.secret}\r\n\r\n"
    ).encode()
    with connect(strict.address, buffer=4096) as sock:
        sock.sendall(request * 100)
        poll = select.poll()
        poll.register(sock, select.POLLRDHUP)
        assert not poll.poll(500)
        assert poll.poll(12_000)  # the server ended it
    assert strict.http.get("/healthz").status_code == 200


# Size and number


def test_a_header_without_an_end_takes_no_memory(server: Answering) -> None:
    """The parser hands a header over at its end, and keeps it until then."""
    before = psutil.Process().memory_info().rss
    for start in (b"GET / HTTP/1.1\r\nx: ", b"POST /healthz HTTP/1.1\r\nhost: x\r\n"):
        raw = start
        if start.startswith(b"POST"):  # a trailer after a body in chunks
            raw = start + b"transfer-encoding: chunked\r\n\r\n0\r\nx: "
        with connect(server.address) as sock:
            sent = 0
            with suppress(OSError):
                sock.sendall(raw)
                while sent < 300_000_000:
                    sent += sock.send(b"y" * 1_000_000)
            assert sent < 50_000_000
    assert psutil.Process().memory_info().rss - before < 60_000_000


def test_many_headers_are_refused(server: Answering) -> None:
    lines = b"".join(b"x-%d: y\r\n" % n for n in range(150))
    reply = talk(server.address, b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + lines + b"\r\n")
    assert (reply.status, reply.json()["error"]["code"]) == (431, "api.headers_too_large")


def test_more_connections_than_there_may_be(strict: Answering) -> None:
    with ExitStack() as held:
        for _ in range(LOW.from_one_address - 2):
            held.enter_context(connect(strict.address, source="127.0.0.2"))
        refused = []
        for _ in range(6):
            sock = held.enter_context(connect(strict.address, source="127.0.0.2"))
            refused.append(sock)
        reply = reply_to(read_all(refused[-1]))
        assert (reply.status, reply.json()["error"]["code"]) == (503, "api.too_many_connections")
        assert int(reply.headers["retry-after"]) > 0
        # Another address still gets in.
        with connect(strict.address, source="127.0.0.3") as sock:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert reply_to(read_all(sock)).status == 200
    time.sleep(0.3)
    assert strict.http.get("/healthz").status_code == 200


@cache
def _bomb() -> bytes:
    return zlib.compress(b"\0" * 50_000_000)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "x"])
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/feedback", "/v2/models/reviews/infer"])
def test_nothing_is_unpacked(server: Answering, encoding: str, path: str) -> None:
    answer = server.http.post(path, content=_bomb(), headers={"content-encoding": encoding})
    assert answer.status_code == 415
    plain = server.http.post(
        "/v1/predict",
        content=json.dumps({"inputs": "great", "model": "reviews"}),
        headers={"content-encoding": "identity"},
    )
    assert plain.status_code == 200


def test_a_refused_body_is_not_read_for_long(strict: Answering) -> None:
    """The answer arrives although the client goes on sending; the connection ends soon after."""
    head = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 30000000000\r\n\r\n"
    with connect(strict.address) as sock:
        sock.sendall(head + b"x" * 100_000)
        assert reply_to(sock.recv(65536)).status == 401
        with pytest.raises(ConnectionError):
            trickle(sock, b"x" * 10_000, times=1000, pause=0.05)


def test_deep_json_and_long_numbers_are_the_callers_fault(server: Answering) -> None:
    deep = b'{"inputs": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    huge = b'{"inputs": ' + b"9" * 500_000 + b"}"
    for path in ("/v1/predict", "/v1/feedback"):
        for body in (deep, huge, b'{"prediction_id": "x", "label": ' + b"9" * 500_000 + b"}"):
            answer = server.http.post(path, content=body)
            assert answer.status_code in (400, 413, 422), (path, answer.text)


# What is told

PROBE = "feilunprobe"


class Watch:
    """What the interpreter opens and connects to, while it is on. The hook itself stays."""

    def __init__(self) -> None:
        self.on = False
        self.opened: list[str] = []
        self.connected: list[Any] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in ("open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename"):
            self.opened.append(repr(arguments))
        elif event == "socket.connect":
            self.connected.append(arguments[1])


def test_no_path_and_no_address_of_a_request_is_followed(server: Answering) -> None:
    watch = Watch()
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.2)
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/{PROBE}"
        path = f"/etc/{PROBE}"
        watch.on = True
        try:
            for word in (path, f"../../{PROBE}", f"file://{path}", url, f"C:\\{PROBE}"):
                for body in (
                    {"inputs": word, "model": "reviews"},
                    {"inputs": "great", "model": word},
                    {"inputs": {"text": word}, "model": "reviews"},
                    {"inputs": word, "model": "pictures"},
                    {"inputs": {"image": word}, "model": "pictures"},
                    {"inputs": {"image": {"$url": word}}, "model": "pictures"},
                    {"inputs": {"image": {"$base64": word}}, "model": "pictures"},
                ):
                    assert server.http.post("/v1/predict", json=body).status_code < 500
                say = {"prediction_id": word, "label": word}
                assert server.http.post("/v1/feedback", json=say).status_code < 500
                for at in (f"/v1/models/{word}", f"/docs?lang={word}", f"/v1/usage?since={word}"):
                    assert server.http.get(at).status_code < 500
                ask = {"input": word, "model": word}
                assert server.http.post("/v1/embeddings", json=ask).status_code < 500
            for raw in (f"/../../etc/{PROBE}", f"/%2e%2e/%2e%2e/etc/{PROBE}", f"//{PROBE}"):
                line = f"GET {raw} HTTP/1.1\r\nhost: {url}\r\nconnection: close\r\n\r\n"
                assert talk(server.address, line.encode()).status in (400, 404)
        finally:
            watch.on = False
        with pytest.raises(TimeoutError):
            trap.accept()
    own = int(server.address.rpartition(":")[2])
    assert not [one for one in watch.opened if PROBE in one]
    assert {where[1] for where in watch.connected} <= {own}


def test_every_answer_carries_the_security_headers(server: Answering) -> None:
    names = [name.decode() for name, _ in HEADERS]
    assert "content-security-policy" in names
    for method, path in [*routes(server), ("get", "/nowhere"), ("delete", "/v1/predict")]:
        answer = ask(server.http, method, path)
        missing = [name for name in names if name not in answer.headers]
        assert not missing, (path, missing)
        assert "server" not in answer.headers
        assert "x-powered-by" not in answer.headers
    for raw in (b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 200 + b"\r\n"):
        reply = talk(server.address, raw)
        assert [name for name in names if name not in reply.headers] == []
    policy = server.http.get("/docs").headers["content-security-policy"]
    assert "script-src" not in policy
    assert "default-src 'none'" in policy


def test_nothing_secret_is_in_logs_errors_and_metrics(
    workspace_dir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole run with everything logged that any library logs, failures of ours among it."""
    caplog.set_level(logging.DEBUG)
    text, label, retry = "xyzzy-the-callers-text", "xyzzy-the-label", "xyzzy-the-retry"
    told: list[str] = []
    with make_workspace(workspace_dir) as store, serving(store) as server:
        other = make_key(store)
        headers = {"idempotency-key": retry, "x-request-id": "r1"}
        body = {"inputs": [text, {"text": text}], "model": "reviews", "all_scores": True}
        answer = server.http.post("/v1/predict", json=body, headers=headers)
        assert answer.status_code == 200
        server.http.post("/v1/predict", json=body, headers=headers)
        said = {"prediction_id": answer.json()["id"], "label": label}
        assert server.http.post("/v1/feedback", json=said).status_code == 200
        for wrong in (
            {"inputs": {"text": {"$base64": text}}, "model": "reviews"},
            {"inputs": {text: text}, "model": "reviews"},
        ):
            told.append(server.http.post("/v1/predict", json=wrong).text.replace(text, "", 4))
        with client(server.address, other.secret[:-1] + "!") as http:
            told.append(http.post("/v1/predict", json=body).text)

        async def fail(*_: Any, **__: Any) -> Any:
            try:
                raise ValueError(f"could not make sense of {text!r}")
            except ValueError as error:
                raise RuntimeError(text) from error

        monkeypatch.setattr(Served, "answer", fail)
        broken = server.http.post("/v1/predict", json=body)
        assert broken.status_code == 500
        told.append(broken.text)
        assert broken.json()["error"]["request_id"] in caplog.text
        assert "RuntimeError" in caplog.text
        assert "ValueError" in caplog.text
        store.catalog.revoke_key(other.record.id)
        told.append(server.http.get("/metrics").text)
        secrets = [server.key.secret, other.secret, other.secret[:-1], store.secret()]
        secrets += [server.key.record.hash, other.record.hash]
    assert "feilun.api" in {record.name for record in caplog.records}
    for secret in secrets:
        assert secret not in caplog.text
        assert not [one for one in told if secret in one]
    for word in (text, label, retry):
        assert word not in caplog.text, word
        assert not [one for one in told if word in one], word


# TLS


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A real certificate for localhost, signed by itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_tls(store: Store, pair: tuple[Path, Path]) -> None:
    limits = Limits(head=1.0)
    with serving(store, security=Security(limits=limits, tls=check_tls(*pair))) as server:
        assert server.address.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(pair[0]))
        with httpx.Client(verify=context, trust_env=False) as http:
            headers = {"authorization": f"Bearer {server.key.secret}"}
            body = {"inputs": "great", "model": "reviews"}
            answer = http.post(f"{server.address}/v1/predict", json=body, headers=headers)
            assert answer.status_code == 200
            assert answer.headers["strict-transport-security"].startswith("max-age=")
            plain = server.address.replace("https", "http")
            with pytest.raises(httpx.HTTPError):
                http.get(f"{plain}/healthz")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.address}/healthz", trust_env=False)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with connect(server.address) as sock:
            assert isinstance(sock, ssl.SSLSocket)
            assert sock.version() in ("TLSv1.2", "TLSv1.3")
            assert reply_to(read_all(sock)).status == 408  # who says nothing is cut off here too


def test_the_workspaces_own_processes_reach_a_server_over_tls(
    store: Store, pair: tuple[Path, Path]
) -> None:
    from feilun.pipeline.steps.deploy import _verify

    with serving(store, security=Security(tls=check_tls(*pair))) as server:
        url = f"{server.address}/healthz"
        assert httpx.get(url, verify=_verify(url), trust_env=False).status_code == 200
    assert _verify("https://api.example.com:8000")


def test_certificates_that_cannot_be(pair: tuple[Path, Path], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for files in ((wrong, pair[1]), (pair[0], wrong), (pair[0], pair[0]), (tmp_path / "no", wrong)):
        with pytest.raises(EnvironmentProblem) as caught:
            check_tls(*files)
        assert caught.value.code == "api.tls"


def test_serve_speaks_tls_by_flags(workspace_dir: Path, pair: tuple[Path, Path]) -> None:
    from helpers.cli import command, environment, feilun
    from helpers.forked import Forked

    with Workspace(workspace_dir) as workspace:
        workspace.init("reviews")
        workspace.store.catalog.set_live("reviews", add_version(workspace.store).id)
    words = ("serve", "--port", "0", "--json", "--workspace", str(workspace_dir))
    flags = ("--tls-cert", str(pair[0]), "--tls-key", str(pair[1]), "--admin")
    with Forked(
        command(*words, *flags), stdout=subprocess.PIPE, env=environment(), text=True
    ) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            assert "address" in told, told
            context = ssl.create_default_context(cafile=str(pair[0]))
            with httpx.Client(verify=context, trust_env=False) as http:
                assert http.get(f"{told['address']}/healthz").status_code == 200
                assert http.get(f"{told['admin']}/keys").status_code == 401
                token = (workspace_dir / ".feilun" / "admin-token").read_text()
                headers = {"authorization": f"Bearer {token}"}
                assert http.get(f"{told['admin']}/keys", headers=headers).status_code == 200
        finally:
            process.terminate()
            process.wait(60)
    half = feilun(*words, "--tls-cert", str(pair[0]), cwd=workspace_dir)
    assert half.returncode == 2
    assert "--tls-key" in half.stdout + half.stderr


def test_after_all_this_the_server_answers_as_before(server: Answering) -> None:
    assert server.predict("great", model="reviews").json()["outputs"][0]["label"] == "good"
    assert not [t for t in threading.enumerate() if re.match(r"Exception", t.name)]
