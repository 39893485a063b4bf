"""Fetches a list of pages into JSON lines, politely, and goes on where it was interrupted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from feilun.errors import EnvironmentProblem, InvalidData, UsageError
from feilun.messages import t
from feilun.store.dataset import writing
from feilun.store.files import write_atomically
from feilun.table import Result, Table
from feilun.types import Progress

__all__ = ["Fetched", "fetch"]

MAX_BYTES = 5 << 20
"""Bytes of one page by default."""

_KINDS = ("text/html", "application/xhtml+xml", "text/plain")
_HOPS = 5
_LONGEST = 60.0
"""Seconds between two pages beyond which a site does not want to be read by robots."""


@dataclass(frozen=True)
class Fetched(Result):
    """What came of a list: pages `written` to `out`, those `known` there already, and those that
    `failed`, each with its reason; `failures` is the file that holds them."""

    out: Path
    written: int
    known: int
    failed: Sequence[dict[str, str]] = field(default=())
    failures: Path | None = None

    def tables(self) -> Sequence[Table]:
        rows = [[one["url"], one["reason"]] for one in self.failed[:20]]
        title = t("web.done", file=self.out, pages=self.written, known=self.known)
        notes = [t("web.failed", pages=len(self.failed), file=self.failures)] if rows else []
        columns = [t("web.url"), t("web.reason")]
        return (Table(title, columns if rows else (), rows, notes),)


def fetch(
    urls: Path,
    out: Path,
    *,
    contact: str = "",
    delay: float = 1.0,
    max_bytes: int = MAX_BYTES,
    seconds: float = 30.0,
    private: Sequence[str] = (),
    report: Callable[[Progress], None] | None = None,
) -> Fetched:
    """Fetches the pages that the file `urls` names, one a line, into `out`: ``url``, ``title``,
    ``text`` and ``fetched``. Pages that stand in `out` are passed by, so that the same call goes
    on; pages that failed are tried again.

    robots.txt is respected. Between two pages of a site lie `delay` seconds, more where it asks
    for more; `contact` (an address) stands in the User-Agent. A page has `max_bytes` and
    `seconds`. Addresses that are not public are refused but for those in the networks `private`.
    """
    try:
        from feilun.data.web.http import Web
        from feilun.data.web.robots import Robots
    except ImportError as error:
        raise EnvironmentProblem("web.needs", package=error.name) from None
    from feilun import __version__

    if not (contact.isascii() and contact.isprintable()):
        raise UsageError("web.contact", given=contact)
    wanted = _read_list(urls)
    known = _resume(out)
    todo = [url for url in wanted if url not in known]
    agent = f"feilun/{__version__}" + (f" (+{contact})" if contact else "")
    failed: list[dict[str, str]] = []
    written = 0
    with (
        closing(Web(agent, private=private, seconds=seconds)) as web,
        writing(out),
        out.open("a", encoding="utf-8") as stream,
    ):
        reader = _Reader(web, Robots(web, agent), delay, max_bytes)
        for count, url in enumerate(_in_turn(todo), 1):
            try:
                stream.write(json.dumps(reader.page(url), ensure_ascii=False) + "\n")
                stream.flush()
                written += 1
            except InvalidData as error:
                failed.append({"url": url, "reason": error.message(), "code": error.code})
            if report is not None:
                report(Progress("fetch", count, len(todo), "pages", {"failed": len(failed)}))
    failures = out.with_name(f"{out.stem}.failed.jsonl")
    if failed:
        lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in failed)
        write_atomically(failures, lines.encode())
    else:
        failures.unlink(missing_ok=True)
    return Fetched(out, written, len(wanted) - len(todo), failed, failures if failed else None)


class _Reader:
    def __init__(self, web: Any, robots: Any, delay: float, limit: int) -> None:
        self._web, self._robots = web, robots
        self._delay, self._limit = delay, limit
        self._ready: dict[str, float] = {}

    def page(self, asked: str) -> dict[str, str]:
        """One page as a row. Every address on the way is looked at as the first one was."""
        from feilun.data.sources._decode import decode
        from feilun.data.web.http import sound_url
        from feilun.data.web.words import words

        url = sound_url(asked)
        for _ in range(_HOPS + 1):
            self._wait(url)
            answer = self._web.get(url, self._limit, _KINDS)
            if answer.location is None:
                break
            url = sound_url(urljoin(url, answer.location))
        else:
            raise InvalidData("web.redirects", limit=_HOPS)
        if answer.status != 200:
            raise InvalidData("web.status", status=answer.status)
        text = decode(answer.body, answer.charset)
        title, text = ("", text.strip()) if answer.kind == "text/plain" else words(text)
        if not text:
            raise InvalidData("web.no_words")
        row = {"url": url, "title": title, "text": text}
        row["fetched"] = datetime.now(UTC).isoformat(timespec="seconds")
        return row if url == asked else {**row, "asked": asked}

    def _wait(self, url: str) -> None:
        """Until it is this site's turn again."""
        from feilun.data.web.http import origin_of

        delay = max(self._delay, self._robots.check(url))
        if delay > _LONGEST:
            raise InvalidData("web.delay", seconds=f"{delay:g}", limit=f"{_LONGEST:g}")
        origin = origin_of(url)
        time.sleep(max(0.0, self._ready.get(origin, 0.0) - time.monotonic()))
        self._ready[origin] = time.monotonic() + delay


def _read_list(file: Path) -> list[str]:
    """The addresses, each once; empty lines and those that begin with # are none."""
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InvalidData("data.no_file", file=file) from None
    except UnicodeDecodeError:
        raise InvalidData("data.unknown_encoding", file=file) from None
    stripped = (line.strip() for line in lines)
    found = list(dict.fromkeys(line for line in stripped if line and not line.startswith("#")))
    if not found:
        raise InvalidData("web.no_urls", file=file)
    return found


def _resume(out: Path) -> set[str]:
    """The addresses that `out` holds. A last line without its end was being written when somebody
    ended the process: it is taken off."""
    if not out.exists():
        return set()
    known = set()
    with out.open("r+b") as stream:
        whole = 0
        for line in stream:
            try:
                row = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                row = {}
            if row is None:
                break
            if not isinstance(row, dict) or "url" not in row:
                raise InvalidData("web.other_file", file=out)
            whole += len(line)
            known |= {row["url"], row.get("asked", row["url"])}
        stream.truncate(whole)
    return known


def _in_turn(urls: Sequence[str]) -> Iterator[str]:
    """One page of each site, then the next of each: nobody waits who need not."""
    from feilun.data.web.http import origin_of

    queues: dict[str, list[str]] = {}
    for url in urls:
        try:
            queues.setdefault(origin_of(url), []).append(url)
        except ValueError:
            queues.setdefault("", []).append(url)
    for row in range(max(map(len, queues.values()), default=0)):
        yield from (queue[row] for queue in queues.values() if row < len(queue))
