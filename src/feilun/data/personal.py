"""Personal data in a text: what can be told by its form, and by its checksum where it has one.

E-mail addresses, telephone numbers, and by their check digits: the resident identity card (GB
11643, 18 places), bank cards (Luhn, within the issuers' ranges) and the unified social credit code
of an organisation (GB 32100); number plates of mainland China by form. Names are not looked for:
what finds them is a language model of hundreds of megabytes, or a list that misses most.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

__all__ = ["KINDS", "Span", "find", "hidden"]

KINDS = ("email", "phone", "id", "bank", "company", "plate")
"""What is looked for. Where two lie over each other, `find` keeps the one with a checksum."""


@dataclass(frozen=True, slots=True)
class Span:
    """One finding: ``text[start:end]`` is of `kind`, one of `KINDS`."""

    start: int
    end: int
    kind: str


# One for one, so that places stay: full-width ASCII, the ideographic space, dashes.
_NARROW = {0xFF01 + i: 0x21 + i for i in range(94)} | {0x3000: 0x20}
_NARROW |= dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2212), 0x2D)

_PROVINCE_SIGNS = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_WIDE = re.compile("[\uff01-\uff5e\u3000\u2010-\u2014\u2212]")
_RUN = re.compile(r"\d(?:[ ().-]{0,2}\d){5}|[0-9A-Z]{18}", re.ASCII)
_EMAIL = re.compile(
    r"(?<![\w.%+-])(?:[A-Za-z0-9][\w.%+-]{0,63})@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}"
    r"(?![A-Za-z0-9@-])",
    re.ASCII,
)
# A part of a decimal fraction is nobody's number; one of several parted by commas may be.
_BEFORE, _AFTER = r"(?<![0-9A-Za-z])(?<!\d\.)", r"(?![0-9A-Za-z]|\.\d)"
_ID = re.compile(rf"{_BEFORE}\d{{17}}[\dXx]{_AFTER}", re.ASCII)
_COMPANY = re.compile(rf"{_BEFORE}[1-9ANY][0-9A-HJ-NPQRTUWXY]{{17}}{_AFTER}", re.ASCII)
_CARD = re.compile(rf"{_BEFORE}[2-6]\d{{3}}(?:[ -]?\d){{9,15}}{_AFTER}", re.ASCII)
_PHONE = re.compile(
    rf"{_BEFORE}(?:"
    r"(?:(?:\+|00)86[ -]?|\(\+?86\)[ -]?|86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}"  # 手机号
    r"|(?:(?:\+|00)86[ -]?)?\(?0(?:10|2\d|[3-9]\d{2})\)?[ -]\d{7,8}(?:-\d{1,5})?"  # 座机
    r"|[48]00-\d{3}-?\d{4}|[48]00\d-\d{3}-\d{3}"
    r"|\+[1-9]\d{0,2}[ -]?\(?\d{1,4}\)?(?:[ .-]?\d{2,4}){2,4}"
    r"|(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}"  # North America
    rf"){_AFTER}|(?<=[+])86[ -]?1[3-9]\d{{9}}{_AFTER}",
    re.ASCII,
)
_PLATE = re.compile(
    rf"[{_PROVINCE_SIGNS}][A-HJ-NP-Z][·•. -]?"
    r"(?:[DF][A-HJ-NP-Z0-9]\d{4}|\d{5}[DF]|(?=[A-Z]*\d[A-Z]*\d)[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9挂学警港澳])"
    r"(?![0-9A-Za-z])"
)

_PROVINCES = frozenset(
    number
    for first, last in (
        (11, 15),
        (21, 23),
        (31, 37),
        (41, 46),
        (50, 54),
        (61, 65),
        (71, 71),
        (81, 83),
    )
    for number in range(first, last + 1)
)
_ORGANISATIONS = frozenset({"11", "12", "13", "51", "52", "53", "91", "92", "93"})
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"
_CODE = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CODE_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)


def find(text: str) -> list[Span]:
    """What of `text` is personal data, in its order, nothing over another.

    Full-width letters and digits count as ordinary ones. Pure and linear in the text's length.
    """
    if not text.isascii() and _WIDE.search(text):
        text = text.translate(_NARROW)
    if not _worth(text):
        return []
    taken: list[Span] = []
    for span in _all(text):
        if all(span.end <= other.start or span.start >= other.end for other in taken):
            taken.append(span)
    return sorted(taken, key=lambda span: span.start)


def hidden(text: str) -> str:
    """`text` with all but the first two characters of each finding as ``*``, for reports, which go
    further than the data they are about."""
    for span in reversed(find(text)):
        kept = min(span.start + 2, span.end)
        text = text[:kept] + "*" * (span.end - kept) + text[span.end :]
    return text


def _worth(text: str) -> bool:
    """Whether a closer look can find anything: most texts have neither an @ nor so many digits,
    and counting ten characters is faster than any pattern."""
    if "@" in text:
        return True
    digits = sum(map(text.count, "0123456789"))
    if digits >= 2 and not text.isascii():
        return True
    return digits >= 6 and _RUN.search(text) is not None


def _all(text: str) -> Iterator[Span]:
    """Every candidate, the surest kinds first."""
    kinds: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
        ("email", _EMAIL, lambda _: True),
        ("id", _ID, _is_id),
        ("company", _COMPANY, _is_company),
        ("bank", _CARD, _is_card),
        ("phone", _PHONE, lambda _: True),
        ("plate", _PLATE, lambda _: True),
    )
    for kind, pattern, holds in kinds:
        if (kind == "email" and "@" not in text) or (kind == "plate" and text.isascii()):
            continue
        for match in pattern.finditer(text):
            if holds(match.group()):
                yield Span(match.start(), match.end(), kind)


def _is_id(number: str) -> bool:
    """Province, date of birth and check character of GB 11643."""
    if int(number[:2]) not in _PROVINCES:
        return False
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number, _ID_WEIGHTS, strict=False))
    return 1850 <= born.year < 2100 and _ID_CHECKS[total % 11] == number[17].upper()


def _is_company(code: str) -> bool:
    """The region and the check character of GB 32100; where only digits stand, which are rather an
    order's number, also a kind of organisation that there is."""
    if not code[2:8].isdigit() or int(code[2:4]) not in _PROVINCES | {10}:
        return False
    if code[:17].isdigit() and code[:2] not in _ORGANISATIONS:
        return False
    total = sum(_CODE.index(c) * w for c, w in zip(code, _CODE_WEIGHTS, strict=False))
    return _CODE[-total % 31] == code[17]


def _is_card(number: str) -> bool:
    """Luhn's check digit, and a length that the issuer's range has."""
    digits = [int(c) for c in number if c.isdigit()]
    if not _issued("".join(map(str, digits))) or len(set(digits)) < 3:
        return False
    doubled = (2 * d - 9 * (d > 4) for d in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _issued(digits: str) -> bool:
    size = len(digits)
    if digits.startswith("62"):  # UnionPay
        return 16 <= size <= 19
    if digits[0] == "4":  # Visa
        return size in (13, 16, 19)
    if "51" <= digits[:2] <= "55" or "2221" <= digits[:4] <= "2720":  # Mastercard
        return size == 16
    if digits[:2] in {"34", "37"}:  # American Express
        return size == 15
    if digits[:2] == "35":  # JCB
        return size == 16
    return digits[:2] in {"60", "65"} and size in (16, 19)
