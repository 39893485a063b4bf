"""What customers see of the console, and what is seen of them: calls, keys, invoices, money."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime

from feilun import messages
from feilun.store.ledger_records import Event
from feilun.web.app import pages
from feilun.web.guard import COOKIE
from helpers.console import Console, filled


def test_a_customer_sees_no_invoice_of_another(shop: Console, names: dict[str, str]) -> None:
    catalog = shop.workspace.store.catalog
    mine, other = [c.id for c in catalog.customers()][:2]
    shop.workspace.invoices.credit(other, "1.00", "a gift", currency="USD")
    with shop.signed_in("customer", customer=mine) as http:
        page = http.get("/mine").text
        assert catalog.customer(mine).name in page
        assert catalog.customer(other).name not in page
        for path in (f"/customers/{other}", f"/money/{other}"):
            assert http.get(path).status_code == 403
        for path in ("/invoices/INV-2026-0001", "/invoices/INV-2026-0001/csv"):
            assert http.get(path).status_code == 404


def test_a_customer_who_tries_what_others_own_finds_nothing(
    shop: Console, names: dict[str, str]
) -> None:
    """On every route with an id in it, whatever the method, and in every query."""
    workspace = shop.workspace
    other = workspace.init("secret", exist_ok=True)
    key = workspace.create_key("Limited", project=other.name)  # not live, and nothing is called
    mine = workspace.store.catalog.customer_named("Limited")
    assert mine is not None
    secret, _ = shop.access.admit(mine.id, mine.name, key.id)
    tried = 0
    with shop.client({COOKIE: secret, "lang": "en"}) as http:
        for page in pages():
            if "{" not in page.path or not page.roles or page.live:
                continue
            answer = http.request(page.method, filled(page, names))
            expected = 404 if "customer" in page.roles else 403
            assert answer.status_code == expected, (page.method, page.path)
            tried += "customer" in page.roles
        listed = http.get("/mine/calls", params={"customer": names["customer"]})
        assert messages.t("calls.none", "en") in listed.text
        assert "curl" not in http.get("/mine").text  # the key opens nothing that is live
    assert tried >= 7
    with shop.signed_in("operator") as http:
        shown = http.get("/calls/call-5-0").text
        assert 'href="/p/reviews"' in shown
        assert messages.t("calls.cost", "en") in shown


def test_a_customer_sees_calls_without_what_they_cost_and_says_what_is_right(shop: Console) -> None:
    workspace = shop.workspace
    key = workspace.create_key("Customer")
    customer = workspace.store.catalog.customer_named("Customer")
    assert customer is not None
    secret, _ = shop.access.admit(customer.id, customer.name, key.id)
    with shop.client({COOKIE: secret, "lang": "en"}) as http:
        assert "call-5-1" in http.get("/mine/calls").text
        page = http.get("/mine/calls/call-5-1").text
        assert messages.t("calls.cost", "en") not in page
        said = http.post("/mine/calls/call-5-1", data={"index": "0", "label": "great"})
        assert said.status_code == 303
        [told] = workspace.store.ledger.feedback_of("call-5-1", 0)
        assert (told.label, told.source, told.key_id) == ("great", "customer", key.id)
        workspace.store.ledger.take_back(told.id)
        # No server answers, and nothing is answered to a customer without being metered.
        tried = http.post("/mine/try/reviews", data={"in:text": "great"})
        assert tried.status_code == 404
    bare = workspace.create_key("Customer", scopes=("usage",))
    secret, _ = shop.access.admit(customer.id, customer.name, bare.id)
    with shop.client({COOKIE: secret}) as http:
        assert http.post("/mine/calls/call-5-1", data={"label": "bad"}).status_code == 403


def test_a_customer_is_out_when_the_key_is(shop: Console) -> None:
    key = shop.workspace.create_key("Second")
    with shop.client() as http:
        assert http.post("/login/key", data={"key": key.secret}).status_code == 303
        assert http.get("/mine").status_code == 200
        shop.workspace.revoke_key(key.prefix)
        assert http.get("/mine").headers["location"].startswith("/login")


def test_a_customer_comes_in_by_a_link_once_and_is_out_when_the_key_is(shop: Console) -> None:
    key = shop.workspace.create_key("Linked")
    made = shop.workspace.store.catalog.customer_named("Linked")
    assert made is not None
    page = f"/customers/{made.id}"
    with shop.signed_in("operator") as http:
        shown = http.post(f"{page}/keys/{key.id}/link").text
        found = re.search(r"/enter\?link=([\w-]+)", shown)
        assert found
        assert found[1] not in http.get(page).text
        assert shop.workspace.acts.list(1).rows[0]["action"] == "console.link"
    with shop.client() as http:
        assert http.post("/enter", data={"link": found[1]}).headers["location"] == "/"
        assert "Linked" in http.get("/mine").text
        for path in (page, "/system"):
            assert http.get(path).status_code == 403
        shop.workspace.revoke_key(key.prefix)
        assert http.get("/mine").headers["location"].startswith("/login")
    with shop.client() as http:
        assert http.post("/enter", data={"link": found[1]}).status_code == 401
    with shop.signed_in("operator") as http:
        assert http.post(f"{page}/keys/{key.id}/link").status_code == 404
        assert f"{key.id}/link" not in http.get(page).text


def test_a_customer_comes_in_by_a_key_that_works(shop: Console) -> None:
    key = shop.workspace.create_key("Customer")
    with shop.client() as http:
        assert http.post("/login/key", data={"key": key.secret}).headers["location"] == "/"
    shop.workspace.revoke_key(key.prefix)
    with shop.client() as http:
        assert http.post("/login/key", data={"key": key.secret}).status_code == 401


def test_numbers_lead_to_their_calls_and_calls_to_version_and_data(
    shop: Console, names: dict[str, str]
) -> None:
    shop.workspace.store.ledger.commit(
        [
            Event(
                call_id="priced",
                units={"calls": 1, "inputs": 1},
                amount=2_000,
                customer=names["customer"],
                project="reviews",
                endpoint="reviews",
                model_version="reviews@1",
                data_version="reviews:1",
            )
        ]
    )
    month = f"{datetime.now(UTC):%Y-%m}"
    with shop.signed_in("operator") as http:
        money = html.unescape(http.get("/money").text)
        assert f'href="/calls?customer=Customer&period={month}"' in money
        listed = http.get("/calls", params={"customer": "Customer", "period": month}).text
        assert 'href="/calls/priced"' in listed
        call = http.get("/calls/priced").text
        assert 'href="/p/reviews/versions/reviews@1"' in call
        assert 'href="/p/reviews/data/versions/reviews:1"' in call
        assert "/calls?project=reviews" in http.get("/").text
        version = http.get("/p/reviews/versions/reviews@1").text
        assert messages.t("project.golden_requests", "en") in version
        assert messages.t("project.golden_never", "en") not in version
        assert http.get("/calls", params={"period": "soon"}).status_code == 422
        assert http.get("/calls/none").status_code == 404
        form = {"name": "basic", "currency": "EUR", "per_1000": "0.80"}
        assert http.post("/money/plans", data=form).status_code == 303
        assert http.post("/money/plans", data={**form, "per_1000": "dear"}).status_code >= 400
        suggested = http.get("/money", params={"project": "reviews", "margin": "40"})
        assert suggested.status_code == 200
        limits = {"plan": "", "monthly_budget": "5", "rate": "", "monthly_inputs": "100"}
        assert http.post(f"/customers/{names['customer']}", data=limits).status_code == 303
    kept = shop.workspace.store.catalog.customer(names["customer"]).limits
    assert (kept["monthly_inputs"], float(kept["monthly_budget"])) == (100, 5.0)


def test_an_invoice_is_a_page_and_a_file_and_leads_to_its_calls(shop: Console) -> None:
    workspace, month = shop.workspace, "2026-01"
    customer = workspace.customers.add("Invoiced").id
    event = Event(
        call_id="old",
        units={"calls": 1, "inputs": 1},
        amount=2_000_000,
        customer=customer,
        project="reviews",
        endpoint="reviews",
        created=datetime(2026, 1, 9, tzinfo=UTC),
    )
    workspace.store.ledger.commit([event])
    workspace.invoices.close(month)
    [invoice] = workspace.invoices.list(customer=customer).rows
    with shop.signed_in("operator") as http:
        shown = html.unescape(http.get(f"/money/{customer}").text)
        calls = f"/calls?customer=Invoiced&period={month}"
        assert f'href="{calls}"' in shown
        assert "/calls/old" in http.get(calls).text
        mine = html.unescape(http.get(f"/customers/{customer}").text)
        assert 'href="#keys"' in mine
    with shop.signed_in("customer", customer=customer) as http:
        shown = http.get("/mine/invoices").text
        assert f'href="/mine/calls?period={month}"' in shown
        file = f"/invoices/{invoice['number']}/csv"
        assert f'href="{file}"' in shown
        assert http.get(file).headers["content-type"].startswith("text/csv")


def test_a_top_up_is_recorded_once_and_shown_to_its_customer(shop: Console) -> None:
    customer = shop.workspace.customers.add("Prepaying").id
    with shop.signed_in("operator") as http:
        page = http.get(f"/money/{customer}").text
        once = re.search(r'name="once" value="(\w+)"', page)
        assert once
        form = {"topup": "12.50", "currency": "EUR", "note": "by bank", "once": once[1]}
        for _ in range(2):  # a button that is pressed twice
            assert http.post(f"/money/{customer}/topup", data=form).status_code == 303
        page = http.get(f"/money/{customer}").text
        assert page.count("by bank") == 1
        assert messages.t("console.balance_left", "en", amount="12.50", currency="EUR") in page
        wrong = http.post(f"/money/{customer}/topup", data={**form, "topup": "lots", "once": "2"})
        assert wrong.status_code == 422
        assert 'value="lots"' in wrong.text
    assert shop.workspace.acts.list(3).rows[-1]["actor"] == "operator:a operator"
    with shop.signed_in("customer", customer=customer) as http:
        page = http.get("/mine").text
        assert "12.50 EUR" in page
        assert "by bank" in page
