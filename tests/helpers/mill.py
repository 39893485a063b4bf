"""Grinds right requests into wrong ones: bodies, types, encodings, headers, and what is not HTTP.

Everything comes from one seed, so that a request that breaks something can be made again.
"""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Mill", "Request"]

TEMPLATES: list[tuple[str, str, Any]] = [
    ("POST", "/v1/predict", {"model": "reviews", "inputs": ["great", {"text": "很好"}]}),
    ("POST", "/v1/predict", {"model": "reviews@1", "inputs": "broken", "all_scores": True}),
    ("POST", "/v1/predict", {"model": "reviews", "inputs": [1, True], "explain": True}),
    ("POST", "/v1/predict", {"model": "pictures", "inputs": [{"image": {"$base64": "AAAA"}}]}),
    ("POST", "/v1/embeddings", {"model": "reviews", "input": ["a", "b"], "dimensions": 2}),
    ("POST", "/v1/feedback", {"prediction_id": "pred_1", "index": 0, "label": "good"}),
    (
        "POST",
        "/v2/models/reviews/infer",
        {
            "id": "1",
            "inputs": [{"name": "text", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]}],
            "outputs": [{"name": "label", "parameters": {"binary_data": False}}],
        },
    ),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/reviews", None),
    ("GET", "/v1/usage?since=2026-01-01&until=2026-12-31", None),
    ("GET", "/v1/invoices", None),
    ("GET", "/v1/invoices/2026-0001", None),
    ("GET", "/v2/models/reviews/versions/1", None),
    ("GET", "/docs?lang=zh", None),
    ("GET", "/readyz", None),
    ("POST", "/admin/v1/customers", {"name": "Ada", "id": "cus_ada"}),
    ("GET", "/admin/v1/customers/cus_1/invoice-preview?month=2026-11&tax=19", None),
    ("POST", "/admin/v1/keys", {"customer": "cus_1", "scopes": ["predict"], "limits": {"rate": 1}}),
    ("POST", "/admin/v1/keys/key_1/rotate", {"overlap": 10}),
    ("DELETE", "/admin/v1/keys/key_1", None),
    ("GET", "/admin/v1/audit?limit=5&before=9", None),
    ("GET", "/admin/v1/usage?days=3", None),
    ("GET", "/admin/v1/projects/reviews/savings", None),
    ("POST", "/internal/v1/load", {"version": "reviews@1", "variant": None}),
]
NASTY: list[Any] = [
    *(None, True, False, 0, -1, 1e308, -0.0, 1e-320, 2**31, 2**63, -(2**63) - 1, 10**40),
    *("", " ", "\0", "\ud800", "\udfff\ud800", "\ufeff", "\u202etxet", "é" * 300, "𝔘" * 300),
    *("a" * 5000, "'; DROP TABLE events; --", "../../etc/passwd", "{{7*7}}", "%s%n%x", "NaN"),
    *("reviews@" + "9" * 400, "reviews@-1", "@", "reviews@٣", "http://127.0.0.1:1/"),
    *([], {}, [[]], [{}], {"": ""}, {"$base64": "!"}, {"$base64": None}, {"$base64": "QQ=="}),
    *({"text": {"text": {"text": "x"}}}, [None] * 50, {"text": "x", "\0": "y"}),
    {"$base64": base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 40).decode()},
]
HEADERS = [
    *("content-type", "accept", "accept-language", "accept-encoding", "authorization", "host"),
    *("idempotency-key", "x-request-id", "x-forwarded-for", "content-encoding", "expect", "range"),
    *("cookie", "origin", "if-none-match", "te", "upgrade", "connection", "x-request-timeout"),
    *("inference-header-content-length", "prefer", "x-timeout", "user-agent", "transfer-encoding"),
]
VALUES = [
    *(
        "",
        "*",
        "gzip",
        "identity",
        "0",
        "-1",
        "9" * 40,
        "nan",
        "inf",
        "1e400",
        "\x7f",
        "é",
        "ÿ" * 50,
    ),
    *(
        "application/json; charset=utf-16",
        "text/plain",
        "multipart/form-data; boundary=x",
        "zh;q=x",
    ),
    *("Bearer", "Bearer  x", "Basic eDp5", "bytes=0-", "100-continue", "a" * 3000, ",,,;;;q=q=q"),
    *("close", "upgrade", "websocket", "h2c", "en;q=1e999, zh;q=-1", "::1, 127.0.0.1", "{}"),
]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND"]


@dataclass
class Request:
    """One request over a connection that speaks HTTP."""

    method: str
    path: str
    body: bytes = b""
    headers: list[tuple[str, bytes]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.method} {self.path[:200]} {self.headers} {self.body[:400]!r}"


class Mill:
    """A stream of requests, the same for the same `seed`."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def request(self) -> Request:
        """The next wrong request; one in ten is right but for its headers."""
        pick = self._random
        method, path, body = copy.deepcopy(pick.choice(TEMPLATES))
        request = Request(method, path, headers=[("content-type", b"application/json")])
        kind = pick.random()
        if body is not None:
            if kind < 0.5:
                for _ in range(pick.randint(1, 3)):
                    body = self._mutated(body)
                request.body = _dump(body)
            elif kind < 0.85:
                request.body = pick.choice(self._wreckers)(_dump(body))
            else:
                request.body = _dump(body)
        elif kind < 0.2:
            request.body = pick.randbytes(pick.randint(0, 2000))
        if pick.random() < 0.15:
            request.method = pick.choice(METHODS)
        if pick.random() < 0.3:
            request.path = self._path(path)
        for _ in range(pick.choice((0, 0, 0, 1, 2, 5))):
            name = pick.choice(HEADERS)
            if name in ("transfer-encoding", "host", "connection"):
                continue  # these belong to `garbage`
            request.headers.append((name, pick.choice(VALUES).encode("latin-1")))
        return request

    def garbage(self) -> bytes:
        """Bytes that are not HTTP, or hardly."""
        pick = self._random
        body = _dump({"inputs": "great", "model": "reviews"})
        head = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\n"
        made: Callable[[], bytes] = pick.choice(
            (
                lambda: pick.randbytes(pick.randint(1, 3000)),
                lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + pick.randbytes(200),
                lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + pick.randbytes(60),
                lambda: b"GET " + pick.randbytes(40) + b" HTTP/1.1\r\nhost: x\r\n\r\n",
                lambda: b"GET / HTTP/" + pick.choice((b"9.9", b"1.", b"0.9", b"-1")) + b"\r\n\r\n",
                lambda: head + b"content-length: 5\r\ncontent-length: 60\r\n\r\n" + body,
                lambda: head + b"content-length: -5\r\n\r\n" + body,
                lambda: head + b"content-length: 99999999999999999999\r\n\r\n" + body,
                lambda: head + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n" + body,
                lambda: head + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
                lambda: head + b"transfer-encoding: chunked\r\n\r\nzz\r\n" + body,
                lambda: head + b"transfer-encoding: chunked\r\n\r\n5\r\n" + body + b"\r\n0\r\n\r\n",
                lambda: head + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + body,
                lambda: head + pick.randbytes(30).replace(b"\n", b"") + b": x\r\n\r\n",
                lambda: head + b"x: a\r\n b\r\n\r\n",
                lambda: head + b"x\0y: a\r\n\r\n",
                lambda: head + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n" + body,
                lambda: head + b"expect: 200-ok\r\ncontent-length: 3\r\n\r\nabc",
                lambda: b"CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n",
                lambda: b"GET http://example.com/v1/models HTTP/1.1\r\nhost: y\r\n\r\n",
                lambda: b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
                lambda: b"GET //%00%ff%zz/..;/?a=%gg HTTP/1.1\r\nhost: x\r\n\r\n",
                lambda: b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 20 + pick.randbytes(50),
                lambda: b"\r\n" * 500 + b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
                lambda: b"GET / HTTP/1.1\nhost: x\n\n",
                lambda: head + b"content-length: %d\r\n\r\n" % (len(body) + 10) + body,
            )
        )
        return made()

    def _mutated(self, value: Any) -> Any:
        """`value` with one of its parts replaced, removed, doubled or buried."""
        pick = self._random
        if not isinstance(value, (dict, list)) or not value or pick.random() < 0.1:
            return copy.deepcopy(pick.choice(NASTY))
        key = pick.choice(list(value)) if isinstance(value, dict) else pick.randrange(len(value))
        what = pick.random()
        if what < 0.45:
            value[key] = self._mutated(value[key])
        elif what < 0.7:
            value[key] = copy.deepcopy(pick.choice(NASTY))
        elif what < 0.8:
            del value[key]
        elif what < 0.9:
            deep: Any = value[key]
            for _ in range(pick.choice((1, 5, 100, 250))):
                deep = [deep] if pick.random() < 0.5 else {"text": deep}
            value[key] = deep
        elif isinstance(value, dict):
            value[str(pick.choice(NASTY))[:50]] = copy.deepcopy(pick.choice(NASTY))
        else:
            value += [copy.deepcopy(pick.choice(NASTY)) for _ in range(pick.choice((1, 3, 600)))]
        return value

    def _path(self, path: str) -> str:
        pick = self._random
        bad = pick.choice(
            (
                "%00",
                "%ff",
                "..%2f..%2f",
                "%e9",
                "x" * 3000,
                "@",
                "%",
                "?",
                "//",
                ";a=b",
                "%F0%9F%92",
            )
        )
        at = pick.randrange(1, len(path) + 1)
        return path[:at] + bad + path[at:]

    @property
    def _wreckers(self) -> list[Callable[[bytes], bytes]]:
        pick = self._random
        return [
            lambda raw: raw[: pick.randrange(len(raw))],
            lambda raw: raw + pick.randbytes(20),
            lambda raw: bytes(b if pick.random() > 0.05 else pick.randrange(256) for b in raw),
            lambda raw: raw.decode("utf-8", "replace").encode("utf-16"),
            lambda raw: b"\xef\xbb\xbf" + raw,
            lambda raw: raw.decode("utf-8", "replace").encode("utf-32-be"),
            lambda raw: raw.replace(b'"', b"'"),
            lambda raw: raw.replace(b":", b":NaN,", 1),
            lambda raw: raw.replace(b'"inputs"', b'"inputs": 1, "inputs"'),
            lambda raw: b"[" * pick.choice((10, 5000, 100_000)) + raw,
            lambda raw: b'{"inputs": ' + b"9" * pick.choice((20, 5000)) + b"}",
            lambda raw: b"a=1&b=2",
            lambda raw: b"",
            lambda raw: b"\0" * 100,
            lambda raw: raw * 50,
        ]


def _dump(value: Any) -> bytes:
    """As JSON, lone surrogates as escapes."""
    return json.dumps(value).encode()
