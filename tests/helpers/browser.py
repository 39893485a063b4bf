"""Pages looked at in a real browser: what sticks out, is cut off, is missing, or speaks the other
language. Chromium alone, without a driver: a page of our own holds the looked-at one in a frame."""

from __future__ import annotations

import html
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

__all__ = ["CHROMIUM", "WIDTHS", "look", "print_pdf", "screenshot"]

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
WIDTHS = (390, 820, 1280)
"""A telephone, a tablet, a laptop."""

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

_LOOK = """<!doctype html><meta charset="utf-8"><iframe id="f" width="{width}" height="900"
style="border:0" src="{page}"></iframe><pre id="found"></pre><script>
const frame = document.getElementById("f");
frame.onload = () => setTimeout(() => {
  const page = frame.contentDocument, view = frame.contentWindow, faults = [];
  const button = page.getElementById("lang-{lang}");
  if (button) button.checked = true;
  page.querySelectorAll("details").forEach(one => one.open = true);
  const say = (what, node) => faults.push(what + ": <" + node.tagName.toLowerCase() + " class=" +
    (node.getAttribute("class") || "") + "> " + (node.textContent || "").trim().slice(0, 60));
  const root = page.documentElement;
  if (root.scrollWidth > root.clientWidth + 1)
    faults.push("the page is " + root.scrollWidth + " wide in " + root.clientWidth);
  const scrolls = node => { for (let up = node; up; up = up.parentElement)
    if (["auto", "scroll"].includes(view.getComputedStyle(up).overflowX)) return true;
    return false; };
  for (const node of page.body.querySelectorAll("*")) {
    const style = view.getComputedStyle(node), box = node.getBoundingClientRect();
    if (style.display === "none" || style.visibility === "hidden" || !box.width || !box.height)
      continue;
    if (box.right > root.clientWidth + 1 && !scrolls(node)) say("sticks out", node);
    const own = [...node.childNodes].some(c => c.nodeType === 3 && c.textContent.trim());
    if (own && style.overflowX === "hidden" && node.scrollWidth > node.clientWidth + 1 &&
        style.textOverflow !== "ellipsis") say("cut off", node);
    if (node.tagName === "IMG" && !node.naturalWidth) say("no picture", node);
    if (node.classList.contains("{other}")) say("the other language", node);
    if (/^H[1-3]$/.test(node.tagName) && !node.innerText.trim()) say("empty heading", node);
  }
  document.getElementById("found").textContent =
    JSON.stringify({faults, text: page.body.innerText});
}, 300);
</script>"""


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    handler = partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def look(page: Path, scratch: Path, lang: str, width: int) -> tuple[list[str], str]:
    """What is wrong with `page` in that language at that width, and the text that a reader sees.
    `scratch` is an empty folder for the browser."""
    assert CHROMIUM is not None
    folder = scratch / "pages"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(page, folder / "page.html")
    frame, other = _LOOK, {"en": "zh", "zh": "en"}[lang]
    for name, value in (
        ("width", str(width)),
        ("page", "page.html"),
        ("lang", lang),
        ("other", other),
    ):
        frame = frame.replace("{" + name + "}", value)
    (folder / "frame.html").write_text(frame, "utf-8")
    with _served(folder) as address:
        done = subprocess.run(
            [
                CHROMIUM,
                *_FLAGS,
                f"--user-data-dir={scratch / 'profile'}",
                "--virtual-time-budget=10000",
                "--window-size=1400,1000",
                "--dump-dom",
                f"{address}/frame.html",
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    raw = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert raw is not None, done.stdout[:500]
    found = json.loads(html.unescape(raw.group(1)))
    return found["faults"], found["text"]


def screenshot(page: Path, out: Path, scratch: Path, width: int = 1280, height: int = 2400) -> None:
    """A picture of `page` for eyes."""
    assert CHROMIUM is not None
    subprocess.run(
        [
            CHROMIUM,
            *_FLAGS,
            f"--user-data-dir={scratch / 'profile'}",
            f"--window-size={width},{height}",
            "--hide-scrollbars",
            f"--screenshot={out}",
            page.as_uri(),
        ],
        capture_output=True,
        check=True,
        timeout=120,
    )


def print_pdf(page: Path, out: Path, scratch: Path) -> None:
    """`page` on paper, by its own style for print."""
    assert CHROMIUM is not None
    subprocess.run(
        [
            CHROMIUM,
            *_FLAGS,
            f"--user-data-dir={scratch / 'profile'}",
            "--no-pdf-header-footer",
            f"--print-to-pdf={out}",
            page.as_uri(),
        ],
        capture_output=True,
        check=True,
        timeout=120,
    )
