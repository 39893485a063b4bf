"""Wikitext as plain text: what a reader of the page would read, in time linear in the page.

The subset, which is meant to be small: templates, tables, references, comments, pictures,
categories and mathematics go; links keep their words; language variants keep the mainland Chinese
one; headings keep their words and go when nothing stands below them. Templates are not expanded,
so what only they say (dates, units, pronunciations) is lost. What never closes is kept as text.
"""

from __future__ import annotations

import html
import re

__all__ = ["plain"]

_DROPPED = (
    "ref|references|gallery|math|chem|timeline|imagemap|score|syntaxhighlight|source|graph|"
    "templatestyles|mapframe|hiero|categorytree|inputbox|noinclude"
)
_TOKEN = re.compile(
    rf"<!--|-->|<(?P<open>{_DROPPED})\b[^<>]{{0,2000}}>|</(?P<close>{_DROPPED})\s*>"
    r"|\{\{|\}\}|\{\||\|\}(?!\})|\[\[|\]\]|-\{(?!\{)|\}-",
    re.IGNORECASE,
)
_DEPTH = 60
"""Openers inside one another; a page that has more means harm, and would cost its square."""
_PAIRS = {"}}": "{{", "|}": "{|", "]]": "[[", "}-": "-{", "-->": "<!--"}
_NO_WORDS = re.compile(
    r"\s*(?:file|image|media|category|文件|檔案|档案|图像|圖像|图片|分类|分類)\s*:", re.IGNORECASE
)
_INTERWIKI = re.compile(r"\s*[a-z]{2,3}(?:-[a-z]{2,8})?:\S", re.IGNORECASE)
_OUTSIDE = re.compile(r"\[(?:https?:)?//[^\s\]]{1,2000} ?([^\]\n]{0,500})\]")
_BREAK = re.compile(r"<br\s*/?>|</p>|</div>|</li>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,500}>")
_SWITCH = re.compile(r"__[A-Z]{3,30}__|__[\u4e00-\u9fff]{2,10}__")
_EMPHASIS = re.compile(r"'{2,5}")
_VARIANTS = ("zh-cn", "zh-hans", "zh", "zh-sg", "zh-my", "zh-hant", "zh-tw", "zh-hk", "zh-mo")
_HEADING = re.compile(r"(={1,6})\s*([^=].{0,500}?)\s*\1")
_REDIRECT = re.compile(r"\s*#(?:redirect|重定向|重新導向)\b", re.IGNORECASE)


def plain(text: str) -> str:
    """The words of a page, paragraphs on lines of their own; empty for a redirect."""
    if _REDIRECT.match(text):
        return ""
    text = _OUTSIDE.sub(r"\1", _nested(text))
    text = _TAG.sub("", _BREAK.sub("\n", text))
    text = _EMPHASIS.sub("", _SWITCH.sub("", text))
    return _lines(html.unescape(text).replace("\xa0", " "))


def _nested(text: str) -> str:
    """What is nested, taken out or replaced by its words, in one pass from left to right. `held`
    are the openings that wait for their end: the mark, and where in `out` their content begins."""
    out: list[str] = []
    held: list[tuple[str, int]] = []
    waiting: dict[str, int] = {}
    end = 0
    for found in _TOKEN.finditer(text):
        token = found[0]
        out.append(text[end : found.start()])
        end = found.end()
        inside_comment = bool(held) and held[-1][0] == "<!--"
        if inside_comment and token != "-->":
            continue
        tag = found["open"] or found["close"]
        mark = f"<{tag.lower()}" if tag else token
        closes = mark if found["close"] else _PAIRS.get(mark)
        if closes is None:
            if len(held) < _DEPTH and not token.endswith("/>"):
                held.append((mark, len(out)))
                waiting[mark] = waiting.get(mark, 0) + 1
        elif waiting.get(closes):
            while True:
                opened, begin = held.pop()
                waiting[opened] -= 1
                if opened == closes:
                    break
            content = "".join(out[begin:])
            del out[begin:]
            out.append(_words(closes, content))
    out.append(text[end:])
    return "".join(out)


def _words(mark: str, content: str) -> str:
    """What a reader sees of something that was opened by `mark` and has closed."""
    if mark == "[[":
        return _link(content)
    return _variant(content) if mark == "-{" else ""


def _link(content: str) -> str:
    target, bar, label = content.partition("|")
    if _NO_WORDS.match(target) or (_INTERWIKI.match(target) and not bar):
        return ""
    return (label or target).strip().removeprefix(":")


def _variant(content: str) -> str:
    """The words of ``-{zh-hans:…;zh-hant:…}-``: the first variant that stands there, from the
    mainland's on. Rules that only rename elsewhere (``-{H|…}-``) have no words."""
    flag, bar, rest = content.partition("|")
    if bar and len(flag) <= 3:
        if set(flag.upper()) & set("HT-"):
            return ""
        content = rest
    variants = {}
    for part in content.split(";"):
        name, colon, words = part.partition(":")
        if colon:
            variants[name.strip().lower()] = words.strip()
    return next((variants[name] for name in _VARIANTS if name in variants), content)


def _lines(text: str) -> str:
    kept: list[str] = []
    headings: list[tuple[int, str]] = []
    for raw in text.split("\n"):
        line = raw.strip()
        if found := _HEADING.fullmatch(line):
            level = len(found[1])
            headings = [one for one in headings if one[0] < level]
            headings.append((level, found[2]))
            continue
        line = line.lstrip("*#:;").strip()
        if not line or line.startswith(("|", "{|", "|}", "!", "----")):
            continue
        kept += [heading for _, heading in headings]
        headings = []
        kept.append(line)
    return "\n".join(kept)
