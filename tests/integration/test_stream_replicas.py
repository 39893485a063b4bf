"""Two servers on one PostgreSQL: a stream is charged once whichever answers it, and what a killed
server held is seen and ended by the other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from feilun.billing.holds import release_expired
from feilun.billing.plans import parse_plan, set_plan
from feilun.project import Workspace
from helpers.serving import NewKey, client, make_key
from helpers.toys import add_parrot, spawned, write_site

PLAN = {
    "currency": "EUR",
    "rates": [
        {"unit": "tokens_in", "tiers": [{"per_1000": "1.00"}]},
        {"unit": "tokens_out", "tiers": [{"up_to": 40, "per_1000": "9.00"}, {"per_1000": "3.00"}]},
    ],
}


def _body(**order: Any) -> dict[str, Any]:
    return {"stream": True, "messages": [{"role": "user", "content": json.dumps(order)}]}


def _key(workspace: Workspace, name: str, **options: Any) -> NewKey:
    return make_key(workspace.store, name, "tokens", **options)


@pytest.fixture
def servers(tmp_path: Path, migrated_url: str) -> Iterator[tuple[Workspace, list[Any]]]:
    site = write_site(tmp_path / "site")
    with Workspace(tmp_path / "workspace", database=migrated_url) as workspace:
        add_parrot(workspace.store)
        set_plan(workspace.store.catalog, "tokens", parse_plan(PLAN, "here"))
        with (
            spawned(workspace.store, site, migrated_url) as one,
            spawned(workspace.store, site, migrated_url) as other,
        ):
            yield workspace, [one, other]


@pytest.mark.slow
def test_two_servers_charge_as_one(servers: tuple[Workspace, list[Any]]) -> None:
    workspace, (one, other) = servers
    ledger = workspace.store.ledger
    twice, many = _key(workspace, "Ada"), _key(workspace, "Bo")
    poor = _key(workspace, "Cy", limits={"monthly_budget": "0.32"})

    def ask(number: int, key: NewKey, body: dict[str, Any], named: str = "") -> httpx.Response:
        headers = {"idempotency-key": named} if named else {}
        address = (one, other)[number % 2][1]
        with client(address, key.secret) as http:
            return http.post("/v1/chat/completions", json=body, headers=headers)

    # One key for one stream, asked of both at once: one answer, and one charge.
    with ThreadPoolExecutor(6) as pool:
        body = _body(say="tea and lamps", pause=0.02)
        answers = list(pool.map(lambda n: ask(n, twice, body, "order-1"), range(6)))
    assert {answer.status_code for answer in answers} == {200}
    events = list(ledger.events(customer=twice.record.customer))
    ends = [event for event in events if event.kind == "settle"]
    assert [event.outcome for event in ends] == ["ok"]
    assert not ledger.holds(customer=twice.record.customer)
    again = ask(1, twice, body, "order-1")
    assert again.headers["idempotency-replayed"] == "true"
    assert ends[0].call_id in again.text

    # A month's tiers are one month's, whichever server writes it down.
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: ask(n, many, _body(say="soap " * 5)), range(12)))
    settled = [e for e in ledger.events(customer=many.record.customer) if e.kind == "settle"]
    read, written = (sum(e.units[unit] for e in settled) for unit in ("tokens_in", "tokens_out"))
    assert len(settled) == 12
    assert sum(e.amount for e in settled) == read * 1000 + 40 * 9000 + (written - 40) * 3000

    # A server that is killed leaves its hold, which counts at the other until its time is over.
    with client(one[1], poor.secret) as http, pytest.raises(httpx.TransportError):  # noqa: PT012
        body = {**_body(say="chair " * 50, pause=0.02), "max_tokens": 15}
        with http.stream("POST", "/v1/chat/completions", json=body) as lines:
            for place, _ in enumerate(lines.iter_lines()):
                if place == 4:
                    one[0].kill()
                    one[0].wait()
    (hold,) = ledger.holds(customer=poor.record.customer)
    small = {**_body(say="tea"), "max_tokens": 5}
    refused = ask(1, poor, small)
    assert (refused.status_code, refused.json()["error"]["code"]) == (
        429,
        "billing.key_budget_used",
    )
    assert int(refused.headers["retry-after"]) > 0
    assert release_expired(ledger, datetime.now(UTC)) == 0
    assert release_expired(ledger, datetime.now(UTC) + timedelta(hours=1)) == 1
    assert not ledger.holds()
    kinds = [(event.kind, event.amount) for event in ledger.events(call_id=hold.call_id)]
    assert kinds == [("hold", hold.amount), ("release", -hold.amount)]
    until = time.monotonic() + 60
    while (answer := ask(1, poor, small)).status_code == 429:  # the other looks now and then
        assert time.monotonic() < until, answer.text
        time.sleep(0.5)
    assert answer.status_code == 200
    assert not ledger.verify().faults
