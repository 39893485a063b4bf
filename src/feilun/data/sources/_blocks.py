"""Blocks of pages, PDF and Word files; what they are is told by `_sections`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

from feilun.data.sources._decode import decode
from feilun.data.sources._sections import Block, joined, record
from feilun.errors import EnvironmentProblem, InvalidData

__all__ = ["Unread", "page_blocks", "pdf_blocks", "word_blocks"]

_UNSEEN = frozenset(
    ("script", "style", "noscript", "template", "svg", "nav", "aside", "footer", "form", "button",
     "select", "textarea", "iframe", "title")
)  # fmt: skip
_PARTS = frozenset(
    ("p", "div", "section", "article", "main", "header", "li", "ul", "ol", "dl", "dt", "dd", "pre",
     "blockquote", "body", "html", "figure", "figcaption", "address", "hr", "table", "caption",
     "summary", "details")
)  # fmt: skip
_HEADING = re.compile(r"h([1-6])$")
_SPACE = re.compile(r"[ \t\r\n\f\xa0]+")
_STYLE = re.compile(r"(?:heading|标题)\s*(\d)", re.I)
_GAP = re.compile(r"\n\s*\n")
_STOP = re.compile(r"[.!?。！？:：;；]\s*$")


class Unread(NamedTuple):
    """A page without text, such as a scanned one."""

    page: int


def page_blocks(file: Path, encoding: str | None) -> Iterator[Block | Unread]:
    """The blocks of an HTML page: navigation, menus and forms are left out, a row of a table is a
    line."""
    page = _Page()
    page.feed(decode(file.read_bytes(), encoding or ""))
    page.close()
    page.flush()
    yield from page.found


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Block] = []
        self._held: list[str] = []
        self._level = 0
        self._unseen: list[str] = []
        self._rows: list[list[str]] | None = None
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._unseen.append(tag)
        if self._unseen:
            return
        if found := _HEADING.match(tag):
            self.flush()
            self._level = int(found[1])
        elif tag == "table":
            self.flush()
            self._rows = []
        elif tag == "tr" and self._rows is not None:
            self._end_cell()
            self._rows.append([])
        elif tag in ("td", "th") and self._rows:
            self._end_cell()
            self._held.clear()
            self._in_cell = True
        elif tag == "br":
            self._held.append("\0")
        elif tag in _PARTS and self._rows is None:
            self.flush()

    def handle_endtag(self, tag: str) -> None:
        if self._unseen:
            if tag in self._unseen:
                while self._unseen.pop() != tag:
                    pass
            return
        if tag in ("td", "th", "tr"):
            self._end_cell()
        elif tag == "table" and self._rows is not None:
            self._end_cell()
            rows, self._rows = [row for row in self._rows if any(row)], None
            names = rows[0] if len(rows) > 1 and all(rows[0]) else []
            lines = [record(names, row) for row in rows[bool(names) :]]
            self.found.append(Block("\n".join(lines)))
        elif (_HEADING.match(tag) or tag in _PARTS) and self._rows is None:
            self.flush()

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._held.append(data)

    def _end_cell(self) -> None:
        if self._in_cell and self._rows:
            self._rows[-1].append(self._text())
        self._in_cell = False

    def flush(self) -> None:
        """Ends the block that is open."""
        text = self._text()
        if text:
            self.found.append(Block(text, self._level))
        self._level = 0

    def _text(self) -> str:
        text = _SPACE.sub(" ", "".join(self._held))
        self._held.clear()
        return re.sub(r" ?\0 ?", "\n", text).strip()


def pdf_blocks(file: Path, encoding: str | None) -> Iterator[Block | Unread]:
    """The paragraphs of a PDF page by page. Raises `InvalidData` for one that is damaged or locked
    by a password, `EnvironmentProblem` where the extra ``documents`` is missing."""
    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ImportError:
        raise EnvironmentProblem("documents.needs_extra", kind="PDF", package="pypdf") from None
    try:
        reader = PdfReader(file)
        if reader.is_encrypted and not reader.decrypt(""):
            raise InvalidData("documents.locked", file=file.name)
        for number, page in enumerate(reader.pages, 1):
            text = page.extract_text().strip()
            if not text:
                yield Unread(number)
            for part in _paragraphs(text):
                yield Block(part, 0, number)
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        # What is wrong inside a PDF shows as any of these.
        reason = str(error) or type(error).__name__
        raise InvalidData("data.damaged", file=file.name, format="PDF", reason=reason) from None


def _paragraphs(text: str) -> Iterator[str]:
    """Lines of a PDF's page put together: a paragraph ends at a blank line, and at a line that
    stops well before the others do."""
    for part in _GAP.split(text):
        lines = [line.strip() for line in part.splitlines() if line.strip()]
        width = max(map(len, lines), default=0)
        held: list[str] = []
        for line in lines:
            held.append(line)
            if len(line) < 0.7 * width and _STOP.search(line):
                yield joined(held)
                held = []
        if held:
            yield joined(held)


def word_blocks(file: Path, encoding: str | None) -> Iterator[Block | Unread]:
    """The headings, paragraphs and tables of a Word file in their order. Raises `InvalidData` for
    one that is damaged, `EnvironmentProblem` where the extra ``documents`` is missing."""
    try:
        import docx
        from docx.table import Table as WordTable
    except ImportError:
        raise EnvironmentProblem(
            "documents.needs_extra", kind="Word", package="python-docx"
        ) from None
    try:
        document = docx.Document(str(file))
    except Exception as error:  # noqa: BLE001 - in zipfile, lxml or docx, as it is broken
        reason = str(error) or type(error).__name__
        raise InvalidData("data.damaged", file=file.name, format="Word", reason=reason) from None
    for part in document.iter_inner_content():
        if isinstance(part, WordTable):
            yield Block(_word_table(part))
            continue
        style = (part.style.name or "") if part.style is not None else ""
        found = _STYLE.match(style)
        level = int(found[1]) if found else int(style in ("Title", "标题"))
        yield Block(part.text, level)


def _word_table(table: Any) -> str:
    rows = []
    for row in table.rows:
        cells: list[str] = []
        last = None
        for cell in row.cells:  # a merged cell comes once for each column that it covers
            cells.append("" if cell._tc is last else cell.text.strip())
            last = cell._tc
        rows.append(cells)
    names = rows[0] if len(rows) > 1 and all(rows[0]) else []
    return "\n".join(record(names, row) for row in rows[bool(names) :])
