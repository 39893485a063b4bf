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


class Slot(NamedTuple):
    """A place of `text` from `start` to `end`; its kind is ``address``, ``tag``, ``entity``,
    ``value`` or ``number``."""

    start: int
    end: int
    kind: str
    text: str


def slots(text: str) -> list[Slot]:
    """The placeholders and numbers of `text`, in their order."""
    return [
        Slot(*found.span(), str(found.lastgroup), found.group()) for found in _SLOT.finditer(text)
    ]


def placeholders(text: str) -> Counter[str]:
    """The placeholders of `text`, numbers apart, and how often each is there."""
    return Counter(one.text for one in slots(text) if one.kind != "number")


def kept(text: str, other: str) -> bool:
    """Whether both texts have the same placeholders, each as often, in any order."""
    return placeholders(text) == placeholders(other)
