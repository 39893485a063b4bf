"""Personal data is told by form and checksum; what only looks like it is left alone."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from feilun.data.personal import KINDS, Span, find, hidden

_ID = "11010519491231002X"  # the standard's own example
_COMPANY = "91350100M000100Y43"  # the standard's own example
_CARD = "6222021234567890128"


def luhn(body: str) -> str:
    """`body` with its check digit."""
    total = sum(sum(divmod(int(d) * (2 - place % 2), 10)) for place, d in enumerate(reversed(body)))
    return body + str(-total % 10)


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("write to ann.lee+shop@mail.example.co.uk.", "email", "ann.lee+shop@mail.example.co.uk"),
        ("邮箱zhang_san@qq.com，谢谢", "email", "zhang_san@qq.com"),
        ("邮箱ｚｈａｎｇ＠ｑｑ．ｃｏｍ", "email", "ｚｈａｎｇ＠ｑｑ．ｃｏｍ"),
        ("电话13812345678找我", "phone", "13812345678"),
        ("电话１３８１２３４５６７８。", "phone", "１３８１２３４５６７８"),
        ("打138-1234-5678", "phone", "138-1234-5678"),
        ("+86 138 1234 5678", "phone", "+86 138 1234 5678"),
        ("(010) 62345678", "phone", "(010) 62345678"),
        ("座机0571-88886666转8", "phone", "0571-88886666"),
        ("客服400-820-8820", "phone", "400-820-8820"),
        ("call +44 20 7946 0958 now", "phone", "+44 20 7946 0958"),
        ("call (212) 555-0187 now", "phone", "(212) 555-0187"),
        ("call 212-555-0187", "phone", "212-555-0187"),
        (f"身份证{_ID}号", "id", _ID),
        (f"身份证{_ID.lower()}", "id", _ID.lower()),
        (f"税号：{_COMPANY}", "company", _COMPANY),
        ("card 4111 1111 1111 1111 please", None, ""),  # too few different digits: a dummy
        ("card 4539 5787 6362 1486 please", "bank", "4539 5787 6362 1486"),
        ("车牌京A·12B45在门口", "plate", "京A·12B45"),
        ("车牌粤BD12345", "plate", "粤BD12345"),
    ],
)
def test_a_kind_is_found_where_it_stands(text: str, kind: str | None, found: str) -> None:
    spans = find(text)
    assert [(s.kind, text[s.start : s.end]) for s in spans] == ([(kind, found)] if kind else [])


def test_a_wrong_check_digit_is_no_finding() -> None:
    for right in (_ID, _COMPANY, luhn(_CARD[:-1])):
        assert len(find(f"x {right} x")) == 1
        place = 8
        digits = "0123456789"
        for other in digits.replace(right[place], ""):
            changed = right[:place] + other + right[place + 1 :]
            assert not [s for s in find(f"x {changed} x") if s.kind in ("id", "company", "bank")]


@pytest.mark.parametrize(
    "text",
    [
        "", "nothing here", "质量很好，下次还会再来", "12345678", "3.14159265358979", "user@host",
        "2026-11-22 07:30:00", "order 20261122073000123", "11010519491331002X",
        "99010519491231002X", "version 10.0.19045.3570", "$1,380,123,456", "ISBN 978-7-111-40772-0",
        "新A股上市公司", "price 13812345678.50", "138123456789",
    ],
)  # fmt: skip
def test_numbers_that_are_nobodys_are_left_alone(text: str) -> None:
    assert find(text) == []


def test_several_in_their_order_and_none_over_another() -> None:
    text = f"a@b.cn 13912345678 {_ID} {luhn(_CARD[:-1])} c@d.com"
    spans = find(text)
    assert [s.kind for s in spans] == ["email", "phone", "id", "bank", "email"]
    assert all(a.end <= b.start for a, b in pairwise(spans))
    assert {s.kind for s in spans} <= set(KINDS)
    assert spans[0] == Span(0, 6, "email")


def test_numbers_parted_by_commas_are_several() -> None:
    assert len(find("13812345678,13912345678，13712345678")) == 3
    assert hidden("打800-820-6666，400-820-6666。") == "打80**********，40**********。"


@pytest.mark.slow
def test_a_hostile_text_costs_no_more_than_its_length() -> None:
    texts = ["a" * 100_000 + "@", "1" * 100_000, "1 " * 50_000, "a@" * 50_000, "a.b@c." * 15_000]
    began = time.process_time()
    for text in texts:
        find(text)
    assert time.process_time() - began < 3
