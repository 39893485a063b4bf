"""One request, sent as often as one likes: answered alike, charged once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from feilun.api import claim
from feilun.errors import Gone, InvalidData
from feilun.money import Tariff
from feilun.store import Store
from feilun.store.ledger_records import (
    CallOutcome,
    Event,
    Idempotent,
    LedgerCall,
    Prediction,
    Rated,
)
from helpers.serving import Answering, client, make_key, make_workspace, serving

DAY = timedelta(hours=24)


def asked(call: str, key: str = "k1", body: bytes = b"", **changes: Any) -> LedgerCall:
    values: dict[str, Any] = {
        "customer": "ann",
        "key": key,
        "fingerprint": "f1",
        "call_id": call,
        "body": body or call.encode(),
        "expires": datetime.now(UTC) + DAY,
    }
    rates = (Rated("inputs", 10, Tariff.flat(1_000)),)
    event = Event(call, units={"inputs": 10}, customer="ann", project="p", rates=rates)
    row = Prediction(call, 0, "x", {"label": "a"}, "a", 0.9, 0.8, "p@1", "p", "ann")
    return LedgerCall([event], [row], Idempotent(**values | changes))


def bodies(outcomes: list[CallOutcome]) -> list[bytes | None]:
    return [outcome.earlier.body if outcome.earlier else None for outcome in outcomes]


def test_the_second_gets_the_first_ones_answer_and_is_not_written(any_store: Store) -> None:
    ledger = any_store.ledger
    assert ledger.earlier("ann", "k1") is None
    first = ledger.commit_group([asked("c1"), asked("c2"), asked("c3", "k2")])
    assert [outcome.written for outcome in first] == [True, False, True]
    assert bodies(first) == [None, b"c1", None]
    [second] = ledger.commit_group([asked("c4")])
    assert second.earlier is not None
    assert (second.earlier.body, second.earlier.call_id) == (b"c1", "c1")
    assert ledger.earlier("ann", "k1") == second.earlier
    assert [event.call_id for event in ledger.events()] == ["c1", "c3"]
    assert ledger.counts()["predictions"] == 2
    assert ledger.usage()[0].amount == 20
    # Another customer's key of the same name is another key.
    other = asked("c5", customer="bob")
    assert ledger.commit_group([other])[0].written
    assert ledger.verify().ok


def test_another_request_with_the_key_is_refused(any_store: Store) -> None:
    ledger = any_store.ledger
    other = asked("c2", fingerprint="f2")
    for outcome in (ledger.commit_group([asked("c1"), other])[1], ledger.commit_group([other])[0]):
        assert isinstance(outcome.error, InvalidData)
        assert (outcome.error.status, outcome.written) == (422, False)
        assert "k1" in outcome.error.message()
    assert ledger.counts()["events"] == 1


def test_after_its_time_an_answer_makes_room(any_store: Store) -> None:
    ledger = any_store.ledger
    past = datetime.now(UTC) - timedelta(seconds=1)
    ledger.commit_group([asked("c1", expires=past), asked("c2", "k2")])
    assert ledger.earlier("ann", "k1") is None
    assert ledger.commit_group([asked("c3", fingerprint="f2", expires=past)])[0].written
    ledger.commit_group([asked(f"d{n}", f"old{n}", expires=past) for n in range(1_100)])
    assert ledger.forget_answers() == 1_101
    assert ledger.forget_answers() == 0
    assert ledger.earlier("ann", "k2") is not None


def test_what_was_not_written_leaves_its_key_free(any_store: Store) -> None:
    ledger = any_store.ledger
    call = asked("c1")
    refused = LedgerCall([Event("nohold", kind="settle", seq=1)], idempotent=call.idempotent)
    [outcome] = ledger.commit_group([refused])
    assert isinstance(outcome.error, Gone)
    assert ledger.commit_group([call])[0].written
    # A credit takes the answer back with the charge.
    assert call.idempotent is not None
    back = LedgerCall([Event("c1", kind="credit", seq=1, amount=-10)], withdraws=call.idempotent)
    ledger.commit_group([back])
    assert ledger.earlier("ann", "k1") is None
    assert ledger.commit_group([asked("c2", fingerprint="f2")])[0].written


def test_servers_that_race_let_one_win(open_any: Callable[[], Store]) -> None:
    stores = [open_any() for _ in range(3)]
    got: list[tuple[str, bytes]] = []
    failed: list[Exception] = []

    def work(number: int) -> None:
        keys = [f"k{n}" for n in range(12)]
        try:
            for turn in range(6):
                turned = keys[number + turn :] + keys[: number + turn]
                calls = [asked(f"{number}-{turn}-{key}", key) for key in turned]
                outcomes = stores[number].ledger.commit_group(calls)
                for call, outcome in zip(calls, outcomes, strict=True):
                    assert call.idempotent is not None
                    body = outcome.earlier.body if outcome.earlier else call.idempotent.body
                    got.append((call.idempotent.key, body))
        except Exception as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(got) == 3 * 6 * 12
    assert len(set(got)) == 12
    assert Counter(event.call_id.rpartition("-")[2] for event in stores[0].ledger.events()) == (
        Counter(f"k{n}" for n in range(12))
    )


# Through the API


@pytest.fixture
def server(workspace_dir: Path) -> Iterator[Answering]:
    with make_workspace(workspace_dir) as store, serving(store) as running:
        yield running


def ask(http: httpx.Client, key: str, inputs: Any = "great") -> httpx.Response:
    return http.post("/v1/predict", json={"inputs": inputs}, headers={"idempotency-key": key})


def test_a_retry_gets_the_same_bytes(server: Answering) -> None:
    first = ask(server.http, "order-7")
    again = ask(server.http, "order-7")
    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert again.headers["content-type"] == first.headers["content-type"]
    assert server.store.ledger.counts()["events"] == 1
    # Another key of the same customer may repeat it; another customer's is another request.
    for name, same in (("Ada", True), ("Bob", False)):
        with client(server.address, make_key(server.store, name).secret) as http:
            assert (ask(http, "order-7").content == first.content) is same
    assert server.store.ledger.counts()["events"] == 2


def test_another_body_or_path_with_the_key_is_refused(server: Answering) -> None:
    assert ask(server.http, "k").status_code == 200
    response = ask(server.http, "k", "broken")
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "store.idempotency_key_reused"
    assert server.store.ledger.counts()["events"] == 1


@pytest.mark.parametrize("key", ["", "a b", "k" * 256, "a\tb", b"caf\xe9", "茶".encode()])
def test_keys_that_are_none(server: Answering, key: str | bytes) -> None:
    response = server.http.post(
        "/v1/predict",
        json={"inputs": "x"},
        headers=[(b"idempotency-key", key)],  # type: ignore[list-item]
    )
    assert response.status_code == 400
    assert response.json()["error"]["code"] in ("api.bad_idempotency_key", "api.bad_request")
    assert server.store.ledger.counts()["events"] == 0
    assert ask(server.http, "k" * 255).status_code == 200


def test_a_failed_call_leaves_its_key_free(server: Answering) -> None:
    bad = server.http.post("/v1/predict", content=b"{", headers={"idempotency-key": "k"})
    assert bad.status_code == 400
    assert ask(server.http, "k", []).status_code == 422
    assert ask(server.http, "k").status_code == 200
    assert server.store.ledger.counts()["events"] == 1


def test_many_at_once_wait_for_the_first(server: Answering) -> None:
    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(lambda n: ask(server.http, f"k{n % 4}"), range(64)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 4
    replayed = [r for r in responses if "idempotency-replayed" in r.headers]
    assert len(replayed) == 60
    assert server.store.ledger.counts()["events"] == 4


def test_answers_are_kept_over_a_restart(workspace_dir: Path) -> None:
    with make_workspace(workspace_dir) as store:
        with serving(store) as server:
            first = ask(server.http, "k")
        with serving(store) as server:
            assert ask(server.http, "k").content == first.content
        assert store.ledger.counts()["events"] == 1


def test_an_answer_too_large_to_keep_is_refused_before_it_is_charged(
    server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "MOST_KEPT", 100)
    response = ask(server.http, "k")
    assert response.status_code == 413
    assert "100" in response.json()["error"]["message"]
    assert server.store.ledger.counts()["events"] == 0
    monkeypatch.setattr(claim, "MOST_KEPT", 1024 * 1024)
    assert ask(server.http, "k").status_code == 200


def test_a_revoked_key_gets_no_kept_answer(server: Answering) -> None:
    assert ask(server.http, "k").status_code == 200
    server.store.catalog.revoke_key(server.key.record.id)
    assert ask(server.http, "k").status_code == 401
