"""What a server knows of keys, prices and limits, and in which order it learns of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from feilun.api.context import Api
from feilun.billing.plans import parse_plan, set_plan, subscribe
from feilun.serving.service import Service
from feilun.store import open_store
from helpers.serving import make_key

PLAN = {"currency": "EUR", "rates": [{"tiers": [{"per_1000": "1.00"}]}]}


@pytest.mark.parametrize("name", ["_reload", "_catch_up"])
def test_no_key_is_known_before_its_plan(
    workspace_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A call that comes while prices are being read is charged by its customer's plan, or waits."""
    with open_store(workspace_dir) as store:
        api = Api(Service(store))
        api._reload()
        key = make_key(store)
        secret, customer = key.secret.encode(), key.record.customer
        seen: list[bool] = []

        def watched(reload: Callable[[], None]) -> Callable[[], None]:
            def run() -> None:
                seen.append(api.keys.knows(secret))
                reload()
                seen.append(api.keys.knows(secret))

            return run

        for one in (api.rates, api.limits):
            monkeypatch.setattr(one, "reload", watched(one.reload))
        set_plan(store.catalog, "usual", parse_plan(PLAN, "here"))
        subscribe(store.catalog, customer, "usual")
        getattr(api, name)()
        assert seen == [False] * 4
        assert api.keys.knows(secret)
        rating = api.rates.rate(customer, "reviews", "predict", {"inputs": 1})
        assert rating.price_version is not None
