"""The words of a page: its title, and the text that it is about.

What only leads elsewhere (navigation, menus, forms) is left out. The main part is the page's own
``article`` or ``main`` where it names one; else the element under which most of the running text
stands, links counting for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

__all__ = ["words"]

_ASIDE = (
    "script, style, noscript, template, svg, iframe, form, nav, aside, footer, button, select, "
    "textarea, dialog, canvas, object, [hidden], [aria-hidden=true], [role=navigation], "
    "[role=banner], [role=contentinfo], [role=complementary]"
)
_BLOCKS = frozenset(
    ("address", "article", "blockquote", "body", "dd", "div", "dl", "dt", "fieldset", "figcaption",
     "figure", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "ol", "p", "pre",
     "section", "table", "tbody", "td", "th", "thead", "tr", "ul")
)  # fmt: skip
_CLIMB = 40
_ENOUGH = 200
_LINKS = 0.5


def words(page: str) -> tuple[str, str]:
    """The title of an HTML page and its main text, paragraphs on lines of their own; empty where
    there is none."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(page)
    title = tree.css_first("title")
    named = _line(title.text()) if title is not None else ""
    for node in tree.css(_ASIDE):
        node.decompose()
    if tree.body is None:
        return named, ""
    return named, _text(_main(tree.body))


def _main(body: LexborNode) -> LexborNode:
    own = body.css("article, main, [role=main]")
    own = sorted(own, key=lambda node: -len(node.text()))
    if own and len(own[0].text().strip()) >= _ENOUGH:
        return own[0]
    scores: dict[int, float] = {}
    nodes: dict[int, LexborNode] = {}
    for block in body.css("p, pre, blockquote, td, li, dd"):
        length = len(block.text().strip())
        running = length - sum(len(link.text().strip()) for link in block.css("a"))
        share = 1.0
        parent = block.parent
        for _ in range(2):  # a paragraph speaks for its parent, and half for the one above
            if parent is None or parent.tag == "html":
                break
            scores[parent.mem_id] = scores.get(parent.mem_id, 0.0) + share * max(0, running)
            nodes[parent.mem_id] = parent
            parent, share = parent.parent, share / 2
    best = max(scores, key=lambda key: scores[key], default=None)
    if best is None or 2 * scores[best] <= _running(body):
        return body  # no element holds more than half of the page's words
    return nodes[best]


def _running(node: LexborNode) -> int:
    return len(node.text().strip()) - sum(len(link.text().strip()) for link in node.css("a"))


def _text(root: LexborNode) -> str:
    """The text of `root`, a line for each block; lines that are all links are left out."""
    lines: list[list[str]] = []
    linked: list[int] = []
    last: int | None = None
    for node in root.traverse(include_text=True):
        if node.tag == "br":
            last = None
        if not node.is_text_node:
            continue
        piece = node.text_content or ""
        block, inside = _block(node)
        if block != last or not lines:
            lines.append([])
            linked.append(0)
            last = block
        lines[-1].append(piece)
        linked[-1] += len(piece.strip()) if inside else 0
    kept = []
    for pieces, links in zip(lines, linked, strict=True):
        line = _line("".join(pieces))
        if line and not (links > _LINKS * len(line) and len(line) < _ENOUGH):
            kept.append(line)
    return "\n".join(kept)


def _block(node: LexborNode) -> tuple[int, bool]:
    """Which block a text stands in, and whether it is a link's."""
    inside = False
    parent = node.parent
    for _ in range(_CLIMB):
        if parent is None or parent.tag in _BLOCKS:
            break
        inside = inside or parent.tag == "a"
        parent = parent.parent
    return (parent.mem_id if parent is not None else 0), inside


def _line(text: str) -> str:
    return " ".join(text.split())
