"""A page as a browser sees it."""

from __future__ import annotations

from html.parser import HTMLParser

__all__ = ["Page"]

_EMPTY = {"meta", "link", "input", "img", "br"}


class Page(HTMLParser):
    """Tags, attributes and words, each with the language it is in; every tag is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in _EMPTY:
            lang = dict(attrs).get("lang") or (self.open[-1].split(":")[1] if self.open else "")
            lang = "" if tag == "html" else lang  # what has one language alone, not the page's
            self.open.append(f"{tag}:{lang}")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().split(":")[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1].split(":")[0] != "style":
            self.words.append((self.open[-1].split(":")[1], data))
