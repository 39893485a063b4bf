"""What a text holds for a program and not for its reader, and a translation has to carry over:
places for values (``%s``, ``%1$d``, ``{name}``), tags, entities, addresses. And numbers.

Formats known are those of C and Objective-C (printf), Python (``%`` and ``str.format``), Qt, ICU
without its plurals, shell and template strings (``${name}``), and XML with HTML.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

__all__ = ["Slot", "kept", "placeholders", "slots"]

# No flag of a space, and no digit before a percent sign: "50 % done" holds none.
_SLOT = re.compile(
    r"""
      (?P<address> (?:https?|ftp|file)://[^\s<>"'，。；、）】]*[^\s<>"'，。；、）】.,;:!?)\]]
                 | [\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+ )
    | (?P<tag> </?[A-Za-z][\w:.-]*(?:\s[^<>]*)?/?> )
    | (?P<entity> &(?:[A-Za-z]\w*|\#\d+|\#[xX][0-9A-Fa-f]+); )
    | (?P<value> \$?\{\{?[\w.:!\[\]-]*\}?\}
               | (?<!\d)%(?: (?:\(\w+\)|\d+\$)?[-+#0']*(?:\d+|\*)?(?:\.(?:\d+|\*))?
                             (?:hh|h|ll|l|L|q|j|z|t)?[diouxXeEfFgGaAcspnmr@]
                           | % | L?\d+ ) )
    | (?P<number> \d+(?:[.,:]\d+)* )
    """,
    re.VERBOSE | re.ASCII,
)

_UNNAMED = re.compile(r"%[-+#0']*(?:\d+|\*)?(?:\.(?:\d+|\*))?[a-zA-Z@]+")
_NAMES = (
    "a abbr b big blockquote br code dd div dl dt em font h1 h2 h3 h4 h5 h6 hr i img kbd li link ol"
    " p pre q s samp small span strong sub sup table tbody td th thead tr tt u ul var"
    " bpt bx ept ex g hi it mrk ph ut x"
)
_TAGS = frozenset(_NAMES.split())


class Slot(NamedTuple):
    """A place of `text` from `start` to `end`; its kind is ``address``, ``tag``, ``entity``,
    ``value`` or ``number``."""

    start: int
    end: int
    kind: str
    text: str


def slots(text: str) -> list[Slot]:
    """The placeholders and numbers of `text`, in their order. A word in angle brackets is a tag
    where it is one of HTML or of TMX, has attributes, or is closed: ``<unknown>`` is none."""
    found = []
    for one in _SLOT.finditer(text):
        kind = str(one.lastgroup)
        if kind != "tag" or _is_tag(one.group(), text):
            found.append(Slot(*one.span(), kind, one.group()))
    return found


def placeholders(text: str) -> Counter[str]:
    """The placeholders of `text`, numbers apart, and how often each is there. Those without a name
    or number of their own are numbered in their order: ``%s of %d`` has ``%1$s`` and ``%2$d``, as
    ``%2$d 的 %1$s`` has, and ``{}`` is ``{0}``."""
    found: list[str] = []
    percents = braces = 0
    for one in slots(text):
        said = one.text
        if one.kind == "number":
            continue
        if one.kind == "value" and _UNNAMED.fullmatch(said):
            percents += 1
            said = f"%{percents}${said[1:]}"
        elif said == "{}":
            said = f"{{{braces}}}"
            braces += 1
        found.append(said)
    return Counter(found)


def kept(text: str, other: str) -> bool:
    """Whether both texts have the same placeholders, each as often."""
    return placeholders(text) == placeholders(other)


def _is_tag(tag: str, text: str) -> bool:
    name = tag.strip("</>").split()[0] if tag.strip("</> ") else ""
    known = name.rstrip("/").casefold() in _TAGS
    return known or "=" in tag or tag.endswith("/>") or f"</{name}" in text
