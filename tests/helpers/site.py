"""A small site on this machine, with everything that the web does to those who read it."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

__all__ = ["ARTICLE", "LONG", "Site", "serve"]

ARTICLE = """<!doctype html><html><head><meta charset="{charset}"><title>{title}</title>
<style>p {{ color: red }}</style><script>var x = "<p>no</p>";</script></head><body>
<nav><ul><li><a href="/a">Home</a></li><li><a href="/b">Shop</a></li></ul></nav>
<div class="side"><a href="/1">One link</a> <a href="/2">another link</a></div>
<div class="story"><h1>{title}</h1><p>{first}</p><p>{second} <a href="/x">a link</a>
and the rest.</p><ul><li>{third}</li></ul></div>
<footer>Copyright</footer></body></html>"""
"""A page without ``article`` or ``main``, as most are."""

LONG = "The tea is picked in spring, when the leaves are young and the mornings are still cold."


class Site:
    """What was asked, and when; `robots` is served as robots.txt, a number as its status."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str, dict[str, str]]] = []
        self.robots: str | int = 404
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.ended = Event()
        self.port = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def page(self, path: str, body: bytes | str, kind: str = "text/html", **headers: str) -> str:
        raw = body.encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = (200, {"content-type": kind, **named}, raw)
        return self.url(path)

    def moved(self, path: str, to: str, status: int = 302) -> str:
        self.pages[path] = (status, {"location": to}, b"")
        return self.url(path)

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.asked]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    site: Site


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def site(self) -> Site:
        assert isinstance(self.server, _Server)
        return self.server.site

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.site.asked.append((time.monotonic(), self.path, dict(self.headers.items())))
        if self.path == "/robots.txt":
            rules = self.site.robots
            status, body = (200, rules.encode()) if isinstance(rules, str) else (rules, b"")
            self._answer(status, {"content-type": "text/plain"}, body)
        elif self.path == "/drip":
            self._drip()
        elif self.path == "/endless":
            self._endless()
        elif self.path == "/cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n")
            self.wfile.write(b"Content-Length: 5000\r\n\r\n<p>half")
            self.close_connection = True
        elif self.path in self.site.pages:
            self._answer(*self.site.pages[self.path])
        else:
            self._answer(404, {"content-type": "text/html"}, b"<p>no such page</p>")

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        if "gzip" in headers.get("content-encoding", ""):
            body = gzip.compress(body)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        """Always in time for those who wait for the next byte alone."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>")
        while not self.site.ended.wait(0.1):
            try:
                self.wfile.write(b"a")
            except OSError:
                break
        self.close_connection = True

    def _endless(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
        try:
            while not self.site.ended.is_set():
                self.wfile.write(b"<p>more and more</p>" * 1000)
        except OSError:
            pass
        self.close_connection = True


@contextmanager
def serve() -> Iterator[Site]:
    """The site, answering."""
    site = Site()
    server = _Server(("127.0.0.1", 0), _Handler)
    server.site = site
    site.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
