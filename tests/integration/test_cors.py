"""What a browser is told: nothing by default, and what the operator allowed where there is some."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from feilun.api.security import HEADERS, Security, parse_origins
from feilun.config import load_settings
from feilun.errors import InvalidSettings
from feilun.store.store import Store
from helpers.serving import Answering, make_workspace, serving

SHOP = "https://shop.example.com"
ASKS = {
    "origin": SHOP,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,idempotency-key,x-stainless-os",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with make_workspace(tmp_path_factory.mktemp("workspace")) as store:
        yield store


@pytest.fixture(scope="module")
def opened(store: Store) -> Iterator[Answering]:
    security = Security(origins=(SHOP, "http://localhost:3000"), admin=True, admin_token="t" * 40)
    with serving(store, security=security) as running:
        yield running


def _told(response: httpx.Response) -> set[str]:
    return {name for name in response.headers if name.startswith("access-control-")}


def test_no_page_may_call_unless_it_is_allowed(store: Store) -> None:
    with serving(store) as server:
        preflight = server.http.options("/v1/predict", headers=ASKS)
        assert not _told(preflight)
        answer = server.http.post("/v1/predict", json={"inputs": "great"}, headers={"origin": SHOP})
        assert answer.status_code == 200  # a program may say where it comes from; no browser shows
        assert not _told(answer)
        assert "vary" not in answer.headers


def test_a_page_of_an_allowed_origin_asks_calls_and_reads(opened: Answering) -> None:
    with httpx.Client(base_url=opened.address) as browser:
        asked = browser.options("/v1/predict", headers=ASKS)  # without a key, as browsers ask
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == SHOP
        assert "POST" in asked.headers["access-control-allow-methods"]
        allowed = asked.headers["access-control-allow-headers"].split(",")
        assert {"authorization", "idempotency-key", "x-stainless-os"} <= set(allowed)
        assert "access-control-allow-credentials" not in asked.headers
        assert asked.headers["access-control-max-age"] == "600"
        assert {name.decode() for name, _ in HEADERS} <= set(asked.headers)
    body = {"inputs": ["great", "bad"]}
    answer = opened.http.post("/v1/predict", json=body, headers={"origin": SHOP})
    assert (answer.status_code, len(answer.json()["outputs"])) == (200, 2)
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["vary"] == "Origin"
    exposed = answer.headers["access-control-expose-headers"].lower()
    assert {"x-request-id", "retry-after"} <= {name.strip() for name in exposed.split(",")}
    models = opened.http.get("/v1/models", headers={"origin": "http://localhost:3000"})
    assert models.headers["access-control-allow-origin"] == "http://localhost:3000"


def test_failures_can_be_read_by_the_page_too(opened: Answering) -> None:
    said = {"origin": SHOP}
    wrong_key = httpx.post(
        f"{opened.address}/v1/predict",
        json={"inputs": "x"},
        headers={**said, "authorization": "Bearer fl_wrong"},
    )
    no_route = opened.http.get("/v1/nothing", headers=said)
    not_json = opened.http.post("/v1/predict", content=b"{", headers=said)
    assert [r.status_code for r in (wrong_key, no_route, not_json)] == [401, 404, 400]
    for answer in (wrong_key, no_route, not_json):
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "http://shop.example.com", f"{SHOP}.evil.com", "null"]
)
def test_a_page_of_another_origin_is_told_nothing(opened: Answering, origin: str) -> None:
    asked = opened.http.options("/v1/predict", headers={**ASKS, "origin": origin})
    assert asked.status_code == 400
    assert "access-control-allow-origin" not in asked.headers
    answer = opened.http.post("/v1/predict", json={"inputs": "x"}, headers={"origin": origin})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/admin/v1/customers", "/metrics", "/healthz", "/docs"])
def test_what_is_not_for_customers_stays_closed(opened: Answering, path: str) -> None:
    assert not _told(opened.http.options(path, headers=ASKS))
    assert not _told(opened.http.get(path, headers={"origin": SHOP}))


def test_every_page_where_that_is_wanted(store: Store) -> None:
    with serving(store, security=Security(origins=("*",))) as server:
        asked = server.http.options("/v1/predict", headers=ASKS)
        assert asked.headers["access-control-allow-origin"] == "*"
        answer = server.http.post("/v1/predict", json={"inputs": "x"}, headers={"origin": SHOP})
        assert answer.headers["access-control-allow-origin"] == "*"


def test_origins_are_written_as_browsers_send_them() -> None:
    env = {"FEILUN_CORS_ORIGINS": f"{SHOP}/, HTTP://Localhost:3000 ,"}
    assert load_settings({}).cors_origins == ()
    assert parse_origins(load_settings(env).cors_origins) == (SHOP, "http://localhost:3000")
    assert parse_origins(["*"]) == ("*",)
    for wrong in ("shop.example.com", f"{SHOP}/page", "ftp://x", "https://", "https://u@x", "*.x",
                  "https://x:y", "null"):  # fmt: skip
        with pytest.raises(InvalidSettings, match="not the origin"):
            parse_origins([wrong])
