"""A console that serves a workspace, and people who are signed in to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from feilun.project import Workspace
from feilun.web import run
from feilun.web.access import Access, Role
from feilun.web.guard import COOKIE

__all__ = ["Console", "console"]


@dataclass(frozen=True)
class Console:
    """A console that answers at `address`."""

    address: str
    access: Access
    workspace: Workspace

    def signed_in(self, role: Role, *, customer: str | None = None) -> httpx.Client:
        """A client with a session of this role; English."""
        secret, _ = self.access._begin(f"a {role}", role, customer)
        return self.client({COOKIE: secret, "lang": "en"})

    def client(self, cookies: dict[str, str] | None = None) -> httpx.Client:
        """A client that follows no redirection; its forms come from the console's own pages."""
        headers = {"sec-fetch-site": "same-origin"}
        return httpx.Client(
            base_url=self.address, cookies=cookies or {}, headers=headers, timeout=60
        )


@contextmanager
def console(workspace: Workspace, api_port: int | None = None) -> Iterator[Console]:
    """Serves `workspace` on a free port, until it is left."""
    stop, ready = threading.Event(), threading.Event()
    found: list[Console] = []

    def told(address: str, access: Access) -> None:
        found.append(Console(address, access, workspace))
        ready.set()

    def serve() -> None:
        try:
            run(workspace, port=0, api_port=api_port, on_ready=told, stop=stop)
        finally:
            ready.set()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(60)
        yield found[0]
    finally:
        stop.set()
        thread.join(60)
