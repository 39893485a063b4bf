"""The administration over HTTP: off unless it is asked for, its token and keys with the scope, its
verbs, and the log of who did what."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from feilun.api.security import ADMIN_TOKEN, Limits, Security, arrange, parse_address, token_of
from feilun.errors import EnvironmentProblem, InvalidSettings
from feilun.store.store import Store
from helpers.raw import talk
from helpers.serving import Answering, add_version, client, make_key, make_workspace, serving

TOKEN = "t" * 43


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with make_workspace(tmp_path_factory.mktemp("workspace")) as store:
        yield store


@pytest.fixture(scope="module")
def server(store: Store) -> Iterator[Answering]:
    security = Security(limits=Limits(wrong_keys=1000), admin=True, admin_token=TOKEN)
    with serving(store, security=security) as running:
        yield running


@pytest.fixture
def admin(server: Answering) -> Iterator[httpx.Client]:
    with client(server.address, TOKEN) as http:
        yield http


def routes(server: Answering) -> list[tuple[str, str]]:
    document = server.http.get("/openapi.json").json()
    return [
        (
            method,
            path.replace("{key}", "key_x")
            .replace("{endpoint}", "nowhere")
            .replace("{customer}", "cus_x"),
        )
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith("/admin/")
    ]


def test_it_is_off_unless_it_is_asked_for(store: Store, server: Answering) -> None:
    known = routes(server)
    assert len(known) >= 10
    with serving(store) as plain, client(plain.address, TOKEN) as http:
        assert routes(plain) == []
        for method, path in known:
            answer = http.request(method, path, json={})
            assert answer.status_code == 404
            assert answer.json()["error"]["code"] == "api.no_route"


def test_every_route_wants_the_token_or_a_key_with_the_scope(server: Answering) -> None:
    for secret, status in (
        ("", 401),
        (TOKEN[:-1], 401),
        (TOKEN + "t", 401),
        ("fl_" + "x" * 43, 401),
        (server.store.secret(), 401),
        (server.key.secret, 403),
    ):
        with client(server.address, secret) as http:
            for method, path in routes(server):
                answer = http.request(method, path, json={"name": "x", "customer": "x"})
                assert answer.status_code == status, (method, path, secret)
                assert set(answer.json()) == {"error"}
    assert not [act for act in server.store.catalog.acts(1000) if act.actor.startswith("admin")]


def test_no_token_is_no_way_in(store: Store) -> None:
    security = Security(admin=True, admin_token="")
    with serving(store, security=security) as server, client(server.address) as http:
        assert http.get("/admin/v1/keys").status_code == 401
        for value in ("", "Bearer", "Bearer ", "bearer   ", "Bearer \0"):
            line = f"GET /admin/v1/keys HTTP/1.1\r\nauthorization: {value}\r\n\r\n"
            assert talk(server.address, line.encode()).status in (400, 401)


def test_a_customers_way_from_name_to_revoked_key(server: Answering, admin: httpx.Client) -> None:
    made = admin.post("/admin/v1/customers", json={"name": "上海飞轮", "id": "cus_fl"})
    assert made.status_code == 201
    assert admin.post("/admin/v1/customers", json={"name": "x", "id": "cus_fl"}).status_code == 409
    again = admin.post("/admin/v1/customers", json={"name": "上海飞轮 "})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "plans.customer_exists")
    assert admin.post("/admin/v1/customers", json={"name": " "}).status_code == 400
    names = [one["name"] for one in admin.get("/admin/v1/customers").json()["data"]]
    assert names.count("上海飞轮") == 1
    key = admin.post(
        "/admin/v1/keys",
        json={
            "customer": "cus_fl",
            "name": "shop",
            "days": 30,
            "scopes": ["predict"],
            "limits": {"rate": 100, "burst": 200},
        },
    ).json()
    assert key["secret"].startswith("fl_")
    assert key["scopes"] == ["predict"]
    assert "hash" not in key
    with client(server.address, key["secret"]) as http:
        body = {"inputs": "great", "model": "reviews"}
        assert http.post("/v1/predict", json=body).status_code == 200
        assert http.get("/v1/usage").status_code == 403
    listed = admin.get("/admin/v1/keys", params={"customer": "cus_fl"})
    assert [one["id"] for one in listed.json()["data"]] == [key["id"]]
    assert key["secret"] not in listed.text
    assert "hash" not in listed.text
    new = admin.post(f"/admin/v1/keys/{key['id']}/rotate", json={"overlap": 3600}).json()
    assert new["old"]["successor"] == new["id"]
    for secret in (key["secret"], new["secret"]):
        with client(server.address, secret) as http:
            assert http.get("/v1/models").status_code == 200
    assert admin.post(f"/admin/v1/keys/{key['id']}/rotate", json={}).status_code == 409
    assert admin.delete(f"/admin/v1/keys/{new['prefix']}").status_code == 200
    with client(server.address, new["secret"]) as http:
        body = {"inputs": "great", "model": "reviews"}
        assert http.post("/v1/predict", json=body).status_code == 401
    usage = admin.get("/admin/v1/usage").json()["data"]
    assert [row["inputs"] for row in usage if row["customer"] == "上海飞轮"] == [1]
    assert admin.get("/admin/v1/projects/reviews/savings").status_code == 404


def test_an_invoice_is_seen_before_its_month_ends(server: Answering, admin: httpx.Client) -> None:
    assert server.predict("great", model="reviews").status_code == 200
    path = "/admin/v1/customers/Ada/invoice-preview"
    found = admin.get(path).json()
    [document] = found["data"]
    [ada] = [one for one in server.store.catalog.customers() if one.name == "Ada"]
    assert document["customer"]["id"] == ada.id
    assert found["month"] == document["month"]
    assert document["lines"][0]["calls"] >= 1
    assert server.store.invoices.invoices() == []  # nothing was closed
    taxed = admin.get(path, params={"tax": "19"}).json()["data"][0]
    assert taxed["tax"]["rate"] == "19"
    for bad, status in (({"month": "2026-13"}, 422), ({"month": "x"}, 422), ({"tax": "-1"}, 422)):
        assert admin.get(path, params=bad).status_code == status, bad
    assert admin.get("/admin/v1/customers/nobody/invoice-preview").status_code == 404


def test_every_act_names_its_actor(server: Answering, admin: httpx.Client) -> None:
    key = make_key(server.store, scopes=("admin",))
    with client(server.address, key.secret) as http:
        assert http.post("/admin/v1/customers", json={"name": "by key"}).status_code == 201
    assert admin.post("/admin/v1/customers", json={"name": "by token"}).status_code == 201
    token, by_key, *_ = admin.get("/admin/v1/audit", params={"limit": 5}).json()["data"]
    assert (by_key["actor"], by_key["action"]) == (key.record.id, "customer.create")
    assert token["actor"] == "admin-token@127.0.0.1"
    older = admin.get("/admin/v1/audit", params={"before": by_key["number"], "limit": 1}).json()
    assert older["data"][0]["number"] == by_key["number"] - 1
    assert server.store.catalog.verify_audit().broken is None
    # A thread that served a request is not left acting for it.
    server.store.catalog.add_customer("by hand")
    assert server.store.catalog.acts(1)[0].actor not in (token["actor"], by_key["actor"])


def test_rollback(server: Answering, admin: httpx.Client) -> None:
    assert admin.post("/admin/v1/deployments/nowhere/rollback", json={}).status_code == 404
    catalog = server.store.catalog
    catalog.set_live("reviews", add_version(server.store, flipped=True).id)
    before = admin.get("/admin/v1/deployments").json()["data"]
    assert [d["version"] for d in before if d["role"] == "live"] == ["reviews@2"]
    answer = admin.post("/admin/v1/deployments/reviews/rollback", json={})
    assert answer.json()["version"] == "reviews@1"
    act = catalog.acts(1)[0]
    assert (act.action, act.subject) == ("deployment.live", "reviews")
    assert act.actor == "admin-token@127.0.0.1"
    assert act.detail["before"] == "reviews@2"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/admin/v1/customers", {"name": ""}),
        ("/admin/v1/customers", {"name": "x", "id": "../x"}),
        ("/admin/v1/customers", {"name": "x", "more": 1}),
        ("/admin/v1/keys", {"customer": "nobody"}),
        ("/admin/v1/keys", {"customer": "cus_1", "scopes": ["root"]}),
        ("/admin/v1/keys", {"customer": "cus_1", "scopes": []}),
        ("/admin/v1/keys", {"customer": "cus_1", "limits": {"rate": -1}}),
        ("/admin/v1/keys", {"customer": "cus_1", "limits": {"speed": 1}}),
        ("/admin/v1/keys", {"customer": "cus_1", "project": "nowhere"}),
        ("/admin/v1/keys", {"customer": "cus_1", "days": 10**30}),
        ("/admin/v1/keys/key_x/rotate", {"overlap": -1}),
        ("/admin/v1/keys/key_x/rotate", {}),
    ],
)
def test_what_cannot_be(
    server: Answering, admin: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    if not any(one.id == "cus_1" for one in server.store.catalog.customers()):
        server.store.catalog.add_customer("One", id="cus_1")
    before = server.store.catalog.audit_head(), len(server.store.catalog.keys())
    answer = admin.post(path, json=body)
    assert answer.status_code in (400, 404, 422)
    assert set(answer.json()["error"]) == {"message", "type", "code", "param", "request_id"}
    assert (server.store.catalog.audit_head(), len(server.store.catalog.keys())) == before


def test_an_address_of_its_own(store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    security = Security(admin=True, admin_token=TOKEN, admin_address=("127.0.0.1", port))
    with serving(store, security=security) as server:
        with client(server.address, TOKEN) as http:
            assert http.get("/admin/v1/keys").status_code == 404
            assert routes(server) == []
        with client(f"http://127.0.0.1:{port}", TOKEN) as http:
            assert http.get("/admin/v1/keys").status_code == 200
            made = http.post("/admin/v1/customers", json={"name": "beside"})
            assert made.status_code == 201
            # And nothing else is there: a customer's call is not answered past the limits of both.
            body = {"inputs": "great", "model": "reviews"}
            assert http.post("/v1/predict", json=body).status_code == 404
            assert "/admin/v1/keys" in http.get("/openapi.json").json()["paths"]
        assert server.predict("great", model="reviews").status_code == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=2)


def test_the_tokens_file(tmp_path: Path) -> None:
    made = token_of(tmp_path)
    file = tmp_path / ADMIN_TOKEN
    assert len(made) >= 43
    assert file.stat().st_mode & 0o777 == 0o600
    assert token_of(tmp_path) == made
    assert arrange(tmp_path, admin=True).admin_token == made
    assert arrange(tmp_path).admin_token == ""
    file.chmod(0o644)
    with pytest.raises(EnvironmentProblem) as caught:
        token_of(tmp_path)
    assert made not in caught.value.message("en")
    with pytest.raises(InvalidSettings) as weak:
        token_of(tmp_path, "short-token")
    assert "short-token" not in weak.value.message("en")
    assert token_of(tmp_path, TOKEN) == TOKEN
    assert TOKEN not in repr(arrange(tmp_path, admin=True, admin_token=TOKEN))


@pytest.mark.parametrize("text", ["", "8001", ":8001", "127.0.0.1", "127.0.0.1:", "h:99999", "h:x"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InvalidSettings):
        parse_address(text)


def test_addresses() -> None:
    assert parse_address("127.0.0.1:8001") == ("127.0.0.1", 8001)
    assert parse_address("[::1]:0") == ("::1", 0)
