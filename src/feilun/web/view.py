"""What a screen is, and what its function gets: one call of one person."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from feilun import messages
from feilun.errors import FeilunError, InvalidData
from feilun.messages import Language
from feilun.project import Project, Workspace
from feilun.project.advice import to_name
from feilun.table import Moment
from feilun.web.access import STAFF, Access, Role, Session
from feilun.web.links import Links
from feilun.web.menu import menu, tabs
from feilun.web.paths import path

__all__ = ["Page", "Upload", "View"]

_CURRENCY = re.compile(" [A-Z]{3}$")
_SAID = 20  # sentences kept for one session's next page


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came with a form, as it lies on disk under the name it had."""

    name: str
    file: Path


@dataclass(frozen=True, slots=True)
class Page:
    """One route: what `act` answers to `method` on `path`, for which `roles` (none: also for those
    who are not signed in). When a form fails, `again` shows the page it stood on, with what was
    wrong and what was typed. A `live` page is asked again and again, and sent as server-sent
    events; its function returns the HTML and whether it was the last."""

    method: Literal["GET", "POST"]
    path: str
    act: Callable[[View], Any]
    roles: tuple[Role, ...]
    again: Callable[[View], Response] | None = None
    live: bool = False


@dataclass
class View:
    """One call. `typed` are the fields of its form, `files` what was uploaded; `problem` is what
    the form failed with, on the page that is shown again."""

    request: Request
    workspace: Workspace
    access: Access
    session: Session | None
    lang: Language
    typed: Mapping[str, str] = field(default_factory=dict)
    many: Mapping[str, list[str]] = field(default_factory=dict)
    files: list[Upload] = field(default_factory=list)
    problem: FeilunError | None = None

    # What was asked

    def part(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        """A value of the query."""
        return self.request.query_params.get(name, default)

    def field(self, name: str, default: str = "") -> str:
        """A field of the form, without space around it."""
        return self.typed.get(name, default).strip()

    def number(self, name: str) -> float | None:
        """A field that is a number, None where it is empty. Raises `InvalidData`."""
        text = self.field(name).replace(",", "")
        if not text:
            return None
        try:
            return float(text)
        except ValueError:
            raise InvalidData("console.not_a_number", field=name, given=text[:40]) from None

    @property
    def project(self) -> Project:
        """The project that the path names: commands are advised for it. Raises `NotFound`."""
        project = self.workspace.project(self.part("project"))
        messages.speak_of(to_name(self.workspace.store, project.name))
        return project

    @property
    def who(self) -> Session:
        """Who is signed in: pages with roles are only shown to somebody who is."""
        assert self.session is not None
        return self.session

    # What is answered

    @property
    def reviewer(self) -> str:
        """By what name who is signed in holds a place in a queue: several may share a name."""
        return f"{self.who.role}:{self.who.who}"

    def render(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page."""
        if self.problem is not None:
            status = self.problem.status
        return HTMLResponse(self.html(template, **values), status)

    def html(self, template: str, **values: Any) -> str:
        """A page, or the part of one, as text."""
        common = {
            "lang": self.lang,
            "t": lambda key, **params: messages.t(f"console.{key}", self.lang, **params),
            "has": lambda key: messages.has(f"console.{key}"),
            "session": self.session,
            "problem": self.problem,
            "said": self._said(),
            "typed": self.typed,
            "here": path(*self.request.url.path.strip("/").split("/")),
            "other_language": self._other_language(),
            "zone": _zone(self.request),
            "leads": self.leads(),
            "writes": lambda name: bool(self.workspace.project(name).task.family.faults),
        }
        return _environment().get_template(template).render({**common, **values})

    def go(self, target: str, *said: str) -> Response:
        """Sends the browser on, where the next page says the sentences `said`."""
        key = self.request.cookies.get("feilun_console", "")
        if said and key:
            box = self.request.app.state.said
            if len(box) > 1000:
                box.clear()
            box.setdefault(key, []).extend(said[:_SAID])
        return RedirectResponse(target, 303)

    def leads(self) -> Callable[[str, str], str | None]:
        """Where cells lead; for customers and reviewers nowhere."""
        if self.session is None or self.session.role not in STAFF:
            return lambda cell, column: None
        return Links(self.workspace, self.lang)

    def _said(self) -> list[str]:
        key = self.request.cookies.get("feilun_console", "")
        if self.request.method != "GET" or self.request.url.path.endswith("/live"):
            return []
        return self.request.app.state.said.pop(key, []) if key else []

    def _other_language(self) -> str:
        other = "en" if self.lang == "zh" else "zh"
        return str(self.request.url.include_query_params(lang=other).replace(scheme="", netloc=""))


def _zone(request: Request) -> ZoneInfo | None:
    """The browser's time zone, told by a cookie of the page's script; None: UTC."""
    try:
        return ZoneInfo(request.cookies.get("zone", "").replace("%2F", "/") or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@pass_context
def _when(context: Any, moment: datetime | str | None) -> Markup:
    form = "%Y-%m-%d %H:%M"
    if isinstance(moment, Moment):
        form, moment = moment.form, moment.at
    elif isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if moment is None:
        return Markup("–")
    zone = context.get("zone") or UTC
    local = moment.astimezone(zone)
    name = "" if str(zone) != "UTC" else " UTC"
    return Markup('<time datetime="{}">{}{}</time>').format(
        moment.isoformat(), f"{local:{form}}", name
    )


def _parts(target: str | None) -> list[Any]:
    """The parts of a target that is a JSON list."""
    found = json.loads(target) if target and target[0] == "[" else []
    return found if isinstance(found, list) else []


def _numeric(value: str) -> bool:
    text = _CURRENCY.sub("", value.strip()).replace(",", "").rstrip("%")
    return bool(text) and (text.lstrip("-+").replace(".", "", 1).isdigit() or text == "–")


def _of_numbers(rows: Sequence[Sequence[str]]) -> list[bool]:
    """For each column whether all that stands there are numbers."""
    columns = zip(*rows, strict=False)
    return [all(map(_numeric, one)) and any(cell != "–" for cell in one) for one in columns]


def _all_mappings(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, Mapping) for one in value)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("feilun.web", "html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["when"] = _when
    made.filters["parts"] = _parts
    made.filters["pairs"] = lambda names: [(name, name) for name in names]
    made.filters["of_numbers"] = _of_numbers
    made.tests["numeric"] = _numeric
    made.tests["moment"] = lambda cell: isinstance(cell, Moment)
    made.tests["of_mappings"] = lambda value: bool(value) and _all_mappings(value)
    made.globals.update(path=path, menu=menu, tabs=tabs)
    return made
