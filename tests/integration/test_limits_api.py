"""Plans and limits over real HTTP: prices, headers, refusals, and that every way in has them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from feilun.billing.leases import REFUSED_SECONDS
from feilun.billing.plans import parse_plan, set_plan, subscribe
from feilun.project import Workspace
from feilun.store import Store
from helpers.forked import Forked
from helpers.serving import (
    Answering,
    client,
    make_key,
    make_workspace,
    server_process,
    serving,
)

PER_INPUT = "1000"
"""A price per 1,000 that makes one input cost one unit of the currency."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    with make_workspace(tmp_path_factory.mktemp("workspace")) as store, serving(store) as running:
        yield running


def on_plan(store: Store, customer: str, **document: Any) -> str:
    """A customer of this name on a plan of its own; its id."""
    made = store.catalog.add_customer(customer).id
    rates = [{"tiers": [{"per_1000": PER_INPUT}]}]
    name = customer.lower()
    set_plan(store.catalog, name, parse_plan({"currency": "EUR", "rates": rates} | document, "x"))
    subscribe(store.catalog, made, name)
    return made


def ask(http: httpx.Client, inputs: int = 1) -> httpx.Response:
    return http.post("/v1/predict", json={"model": "reviews", "inputs": ["great"] * inputs})


def test_a_plan_prices_the_call_in_the_ledger(server: Answering) -> None:
    rates = [
        {"included": 2, "tiers": [{"up_to": 5, "per_1000": "500"}, {"per_1000": "100"}]},
        {"unit": "calls", "tiers": [{"per_1000": "7"}]},
    ]
    ada = on_plan(server.store, "Tiered", rates=rates)
    [version] = server.store.catalog.plan_versions("tiered")
    with client(server.address, make_key(server.store, "Tiered").secret) as http:
        amounts = []
        for inputs in (1, 3, 4):
            answered = ask(http, inputs)
            assert answered.status_code == 200, answered.text
            (event,) = server.store.ledger.events(call_id=answered.json()["id"])
            amounts.append(event.amount)
            assert (event.currency, event.price_version) == ("EUR", version.id)
    # Included 1–2 free, 3–5 at .5, from 6 on at .1; each call .007 beside it.
    assert amounts == [7_000, 1_007_000, 807_000]
    assert server.store.ledger.usage(customer=ada)[0].amount == sum(amounts)


def test_headers_tell_of_the_rate(server: Answering) -> None:
    key = make_key(server.store, limits={"rate": 0.5, "burst": 2})
    with client(server.address, key.secret) as http:
        first, second, refused = ask(http), ask(http), ask(http)
    assert (first.status_code, second.status_code, refused.status_code) == (200, 200, 429)
    left = [r.headers["x-ratelimit-remaining-requests"] for r in (first, second, refused)]
    assert left == ["1", "0", "0"]
    for response in (first, second, refused):
        assert response.headers["x-ratelimit-limit-requests"] == "2"
        assert re.fullmatch(r"[0-4]\.\d{3}s", response.headers["x-ratelimit-reset-requests"])
    assert refused.headers["retry-after"] in ("1", "2")
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "billing.key_too_fast")
    assert "x-should-retry" not in refused.headers


def test_without_limits_no_header_speaks_of_any(server: Answering) -> None:
    answered = ask(server.http)
    assert answered.status_code == 200
    assert not [name for name in answered.headers if "ratelimit" in name or "budget" in name]


def test_a_budget_ends_and_warns_before(server: Answering) -> None:
    on_plan(server.store, "Budgeted", limits={"monthly_budget": "3", "warn_at": "2"})
    with client(server.address, make_key(server.store, "Budgeted").secret) as http:
        answered = [ask(http) for _ in range(3)]
        assert [r.status_code for r in answered] == [200] * 3
        warnings = [r.headers.get("x-feilun-budget-warning") for r in answered]
        assert warnings == [
            None,
            *(f"used={n}.00; warn_at=2; limit=3; currency=EUR; of=customer" for n in (2, 3)),
        ]
        refused = ask(http)
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == (
        "insufficient_quota",
        "billing.customer_budget_used",
    )
    assert refused.headers["x-should-retry"] == "false"
    end = datetime.now(UTC)
    assert 0 < int(refused.headers["retry-after"]) <= 32 * 86400 - end.day


def test_a_balance_is_spent_and_a_top_up_opens_the_way_again(server: Answering) -> None:
    on_plan(server.store, "Prepaying")
    customers = Workspace.over(server.store).customers
    shown = customers.top_up("Prepaying", "2.50")
    assert (shown.in_force["prepaid"], shown.balance) == (True, {"EUR": "2.50"})
    with client(server.address, make_key(server.store, "Prepaying").secret) as http:
        assert [ask(http).status_code for _ in range(2)] == [200, 200]
        refused = ask(http)
        assert (refused.status_code, refused.headers.get("retry-after")) == (402, None)
        error = refused.json()["error"]
        assert (error["type"], error["code"]) == ("insufficient_balance", "billing.balance_short")
        assert "0.50 EUR" in error["message"]
        chinese = http.post(
            "/v1/predict",
            json={"model": "reviews", "inputs": ["great"]},
            headers={"accept-language": "zh"},
        )
        assert "充值" in chinese.json()["error"]["message"]
        [left] = http.get("/v1/usage").json()["limits"]
        assert left["balances"] == [{"currency": "EUR", "remaining": "0.50"}]
        customers.top_up("Prepaying", "0.50")
        time.sleep(REFUSED_SECONDS)  # for so long the word of the refusal holds
        assert ask(http).status_code == 200
        assert ask(http).json()["error"]["code"] == "billing.balance_used"


def test_a_refusal_speaks_the_caller_s_language(server: Answering) -> None:
    key = make_key(server.store, limits={"monthly_inputs": 0})
    with client(server.address, key.secret) as http:
        words = http.post(
            "/v1/predict",
            json={"model": "reviews", "inputs": "x"},
            headers={"accept-language": "zh-CN"},
        ).json()["error"]["message"]
    assert "每月最多可提交 0 条输入" in words


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/predict", {"model": "reviews", "inputs": "x"}),
        (
            "/v2/models/reviews/infer",
            {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["x"]}]},
        ),
    ],
)
def test_every_way_in_is_limited(server: Answering, path: str, body: Any) -> None:
    key = make_key(server.store, limits={"monthly_inputs": 1, "rate": 100})
    with client(server.address, key.secret) as http:
        answered, refused = http.post(path, json=body), http.post(path, json=body)
    assert (answered.status_code, refused.status_code) == (200, 429), answered.text
    for response in (answered, refused):
        assert response.headers["x-ratelimit-limit-requests"] == "100"
    assert refused.headers["x-should-retry"] == "false"


def test_calls_that_fail_use_nothing_of_a_quota(server: Answering) -> None:
    key = make_key(server.store, limits={"monthly_inputs": 2})
    with client(server.address, key.secret) as http:
        for wrong in ({"inputs": []}, {"inputs": [None]}, {"inputs": "x", "model": "none"}):
            assert http.post("/v1/predict", json={"model": "reviews"} | wrong).status_code >= 400
        assert [ask(http).status_code for _ in range(3)] == [200, 200, 429]


def test_places_come_back_when_callers_go_away(server: Answering) -> None:
    """Clients that hang up in the middle leave no place taken."""
    key = make_key(server.store, limits={"concurrency": 2})

    def hang_up(_: int) -> None:
        with client(server.address, key.secret) as http, suppress(httpx.ReadTimeout):
            http.post(
                "/v1/predict",
                json={"model": "reviews", "inputs": ["great"] * 500},
                timeout=httpx.Timeout(5, read=0.002),
            )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(hang_up, range(24)))
    with client(server.address, key.secret) as http:
        seen = set()
        for _ in range(200):
            seen.add(ask(http).status_code)
            if 200 in seen:
                break
            time.sleep(0.05)
        # Both places are free again, one after the other and together.
        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda _: ask(http).status_code, range(2)))
    assert 200 in seen
    assert both == [200, 200]


def test_a_plan_that_begins_holds_without_a_restart(server: Answering) -> None:
    key = make_key(server.store, "Later")
    with client(server.address, key.secret) as http:
        assert ask(http).status_code == 200
        later = server.store.catalog.customer_named("Later")
        assert later is not None
        server.store.catalog.set_customer(later.id, limits={"monthly_inputs": 1})
        # The server reads plans again by the second, so it is asked until it has.
        for _ in range(200):
            refused = ask(http)
            if refused.status_code == 429:
                break
            time.sleep(0.05)
    assert refused.json()["error"]["code"] == "billing.customer_quota_used"


def test_a_server_that_was_killed_forgets_nothing(tmp_path: Path) -> None:
    with make_workspace(tmp_path) as store:
        on_plan(store, "Ada", limits={"monthly_budget": "5"})
        key = make_key(store, "Ada")
        answered = 0
        for expected in (3, 2):
            with server_process(tmp_path) as (_, address), client(address, key.secret) as http:
                for _ in range(expected):
                    answered += ask(http).status_code == 200
                if expected == 2:
                    refused = ask(http)
        assert answered == 5
        assert refused.json()["error"]["code"] == "billing.customer_budget_used"


@pytest.mark.slow
def test_replicas_share_a_budget(tmp_path: Path, migrated_url: str) -> None:
    """Three servers on one PostgreSQL, hammered with one key: what they spend together."""
    budget = 300
    with make_workspace(tmp_path, migrated_url) as store:
        ada = on_plan(store, "Ada", limits={"monthly_budget": str(budget)})
        key = make_key(store, "Ada")
        with ExitStack() as stack:
            addresses = [stack.enter_context(replica(tmp_path, migrated_url)) for _ in range(3)]

            def hammer(number: int) -> int:
                answered = 0
                with client(addresses[number % 3], key.secret) as http:
                    for _ in range(60):
                        answered += ask(http).status_code == 200
                return answered

            with ThreadPoolExecutor(9) as pool:
                answered = sum(pool.map(hammer, range(9)))
        (usage,) = store.ledger.usage(customer=ada)
        spent = usage.amount / 1e6
        print(f"{spent:.0f} of {budget} spent by 3 servers; overshoot {spent - budget:+.0f}")
        assert spent == answered
        assert budget - 3 * budget / 100 <= spent <= budget


class replica:  # noqa: N801 (a context manager)
    """A server process on PostgreSQL; its address."""

    def __init__(self, folder: Path, url: str) -> None:
        self._child = Forked(
            [sys.executable, "-m", "feilun.api", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"FEILUN_DATABASE": url},
        )

    def __enter__(self) -> str:
        import json

        assert self._child.stdout is not None
        address: str = json.loads(self._child.stdout.readline())["address"]
        return address

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()
