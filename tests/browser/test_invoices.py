"""Invoices in a real browser: on a telephone and a laptop, and printed, in both languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pypdf import PageObject, PdfReader

from feilun.billing.credits import give_credit
from feilun.billing.invoice_page import invoice_html
from feilun.billing.invoices import close_month
from feilun.project.invoicing import Invoices
from feilun.store import open_store
from feilun.store.ledger_records import Invoice
from helpers.browser import CHROMIUM, WIDTHS, look, print_pdf
from helpers.month import AFTER, MONTH, add_customer, add_plan, call, day

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
]

POINTS = 72 / 25.4
A4 = (210 * POINTS, 297 * POINTS)
_UNFILLED = re.compile(r"\b(None|NaN|nan|undefined)\b|\{[a-z_]+\}|\binvoice\.[a-z_]+\b")
LONG = "Vereinigte Wasserwerke und Abfallwirtschaftsbetriebe Nordrhein-Westfalen-Süd " * 2


@pytest.fixture(scope="module")
def invoices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Invoice]]:
    """A short one in Chinese, and one of many lines with long names."""
    with open_store(tmp_path_factory.mktemp("invoices")) as store:
        store.catalog.add_project("reviews", "text-classification")
        rates = [
            {
                "endpoint": f"endpoint-{number:02d}-of-the-department-of-complaints",
                "unit": "inputs",
                "included": 100,
                "tiers": [{"up_to": 10**9, "per_1000": "1234567.891234"}, {"per_1000": "0.000001"}],
            }
            for number in range(30)
        ]
        add_plan(store, "long", {"currency": "EUR", "rates": rates})
        add_plan(
            store,
            "short",
            {
                "currency": "CNY",
                "monthly_minimum": "300",
                "rates": [{"unit": "inputs", "tiers": [{"per_1000": "6"}]}],
            },
        )
        Invoices(store).seller(
            legal_name="上海回答科技有限公司 Answers (Shanghai) Ltd",
            address="上海市杨浦区大学路 2 号\n3 层",
            tax_id="91310110MA1G800000",
            note="开户行：中国银行",
            payment_days=14,
        )
        long = add_customer(
            store, "long", "long", legal_name=LONG, address="a\n" * 6, tax_rate="19"
        )
        short = add_customer(store, "灯塔书店", "short", language="zh", tax_rate="6")
        for rate in rates:
            call(store, long, day(2), 123_456_789, endpoint=rate["endpoint"])
        give_credit(store, long.id, 999_999_999_999, LONG * 2, currency="EUR", now=day(3))
        call(store, short, day(4), 1000)
        made = close_month(store, MONTH, now=AFTER)
        yield {one.document["language"]: one for one in made}


def _page(invoice: Invoice, folder: Path) -> Path:
    file = folder / "invoice.html"
    file.write_text(invoice_html(invoice), "utf-8")
    return file


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_an_invoice_fits(
    invoices: dict[str, Invoice], tmp_path: Path, lang: str, width: int
) -> None:
    faults, text = look(_page(invoices[lang], tmp_path), tmp_path, lang, width)
    assert not faults, faults[:5]
    assert not _UNFILLED.search(text)
    assert invoices[lang].number in text


def _outside(page: PageObject) -> list[str]:
    """Texts that begin beyond the sheet's edges."""
    found: list[str] = []

    def visit(text: str, _cm: list[float], tm: list[float], *_: object) -> None:
        x = tm[4] * _cm[0] + _cm[4]
        if text.strip() and not 0 <= x <= A4[0]:
            found.append(text)

    page.extract_text(visitor_text=visit)
    return found


@pytest.mark.parametrize(("lang", "sheets"), [("zh", range(1, 2)), ("en", range(3, 9))])
def test_an_invoice_prints(
    invoices: dict[str, Invoice], tmp_path: Path, lang: str, sheets: range
) -> None:
    invoice = invoices[lang]
    out = tmp_path / "invoice.pdf"
    print_pdf(_page(invoice, tmp_path), out, tmp_path)
    pages = PdfReader(out).pages
    assert len(pages) in sheets
    texts = [page.extract_text() for page in pages]
    for number, (page, text) in enumerate(zip(pages, texts, strict=True), 1):
        assert (float(page.mediabox.width), float(page.mediabox.height)) == pytest.approx(A4, abs=1)
        # Every sheet says whose it is and where it belongs, and none is empty.
        assert invoice.number in text
        assert f"{number} / {len(pages)}" in text
        assert len(text) > 100
        assert not _outside(page)
    whole = "\n".join(texts)
    assert invoice.digest in whole.replace("\n", "")
    total = f"{abs(invoice.total) / 1e6:,.2f}"
    assert total in whole
    if lang == "en":
        heads = [text for text in texts if "DESCRIPTION" in text.upper()]
        assert len(heads) >= len(pages) - 1, "the table's head stands on every sheet with lines"
        for number in range(30):
            assert f"endpoint-{number:02d}" in whole
