"""A console that serves a workspace, and people who are signed in to it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from feilun.project import Workspace
from feilun.web import run
from feilun.web.access import Access, Role
from feilun.web.guard import COOKIE
from feilun.web.view import Page

__all__ = ["Console", "console", "filled", "item_of", "worked"]


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
        assert ready.wait(240)
        yield found[0]
    finally:
        stop.set()
        thread.join(60)


def worked(workspace: Workspace, *runs: str) -> None:
    """Works until the runs have ended; the console's own worker may hold one of them."""
    under_way = {"queued", "running"}
    while {workspace.store.catalog.run(run).state for run in runs} & under_way:
        workspace.work(once=True, say=lambda _: None)
        time.sleep(0.05)


def filled(page: Page, names: Mapping[str, str]) -> str:
    """The path of `page` with what `names` says in the place of its parts."""
    return re.sub(r"{(\w+)}", lambda found: names[found[1]], page.path)


def item_of(page: str) -> dict[str, str]:
    """The answer that a page of reviews asks about."""
    hidden = r'name="id" value="([^"]+)"><input type="hidden" name="index" value="(\d+)"'
    found = re.search(hidden, page)
    assert found
    return {"id": found[1], "index": found[2]}
