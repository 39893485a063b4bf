"""Proves a version on golden requests through the serving path, then puts it live."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from itertools import cycle, islice
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from feilun.billing.prices import set_price
from feilun.client import encode_item
from feilun.engines.base import Engine, open_engine
from feilun.engines.card import read_card
from feilun.engines.cascade import CascadeEngine, unit
from feilun.errors import EnvironmentProblem, InvalidData
from feilun.messages import in_each, language, t
from feilun.pipeline.context import Context
from feilun.pipeline.steps.upstream import first_step
from feilun.serving.golden import GoldenResult, compare, golden_items
from feilun.serving.internal import make_token
from feilun.serving.process import temporary_server
from feilun.store.records import GOLDEN, REASON_IN, ModelVersion, Role
from feilun.tasks import base as tasks
from feilun.types import EngineRequest, Item, Output, Progress

__all__ = ["deploy"]

_BATCH = 16
_SLOW = 40
"""Golden requests of a costly engine, beside the extremes."""
_WRITTEN = 0.95
"""Share of the golden requests whose written answers have to be the same."""
_QUANTIZED = 0.75
"""The same below float; those that differ are listed in the result."""
_NATS = 0.02
"""That a token of a reference answer may be off in a float variant."""
_FLOAT = ("fp32", "f16")
_REFERENCES = 20
_SHOWN = 300
_EACH, _NEAR = 10, 5
"""Golden requests that each stage of a cascade answers, and on either side of a switch."""


def deploy(
    context: Context,
    version: str,
    forced: bool = False,
    reason: str = "",
    beside: tuple[Role, float] | None = None,
    stepwise: bool = False,
) -> dict[str, Any]:
    """Whether the version went live, and the golden requests' result. A server that runs takes the
    candidate under an internal address while the live version keeps answering; without one, a
    server is started for the proof and ended after it.

    With `beside`, a role and its share of the calls, the version stands beside the live one;
    `stepwise` puts one that takes over from another server on the first of ``upstream.steps``.
    """
    catalog = context.store.catalog
    model = catalog.model_version(version)
    endpoint = catalog.project(context.project).endpoint
    live = catalog.live(endpoint)
    if live is not None and (live.version, live.artifact) == (version, model.artifact()):
        return {"promoted": True, "golden": {}, "already": True}
    if stepwise and beside is None:
        beside = first_step(context, model)
    with _server(context) as address:
        golden, far, levels = _prove(context, model, address)
        found: dict[str, Any] = {
            "total": golden.total,
            "equal": golden.labels_equal,
            "worst": golden.worst_difference,
        }
        if golden.failures:
            found["differing"] = [
                [str(one.expected)[:_SHOWN], str(one.got)[:_SHOWN]] for one in golden.failures
            ]
        if far is not None:
            found |= {"nats_per_token": far, "limit": _NATS}
        if levels:
            found["levels"] = levels
        if not golden.passed or (far or 0.0) > _NATS:
            key = "pipeline.golden_unlike" if golden.passed else "pipeline.golden_failed"
            told = in_each(lambda: t(key, version=version, **found))
            why = told[language()]
            kept = {**catalog.model_version(version).metrics, GOLDEN: found, REASON_IN: told}
            catalog.update_model_version(version, state="refused", reason=why, metrics=kept)
            several = {lang: [one] for lang, one in told.items()}
            return {
                "promoted": False,
                "refused": key,
                "golden": found,
                "reasons": [why],
                "reasons_in": several,
            }
        kept = {**catalog.model_version(version).metrics, GOLDEN: found}
        catalog.update_model_version(version, metrics=kept)
        _place(context, model, endpoint, forced, reason, beside)
        # It is live now; a server that does not hear of it at once finds out by itself.
        with suppress(EnvironmentProblem), _caller(context, address) as client:
            client.post("/internal/v1/refresh")
    return {"promoted": True, "golden": found}


def _place(
    context: Context,
    model: ModelVersion,
    endpoint: str,
    forced: bool,
    reason: str,
    beside: tuple[Role, float] | None,
) -> None:
    """Puts a proven version where it is wanted."""
    catalog, serving = context.store.catalog, context.config.serving
    actor = context.run_id or "deploy"
    if beside is not None:
        role, weight = beside
        catalog.deploy_beside(
            endpoint, model.id, model.variant, role=role, weight=weight, reason=reason, actor=actor
        )
        return
    set_price(catalog, context.project, serving.price_per_1000, serving.currency)
    catalog.set_live(endpoint, model.id, model.variant, reason=reason, forced=forced, actor=actor)


def _prove(
    context: Context, model: ModelVersion, address: str
) -> tuple[GoldenResult, float | None, dict[str, int]]:
    """The golden requests' result, how far the served variant is from what was trained, and how
    many of the requests each stage of a cascade answered over the serving path."""
    with closing(open_engine(context.folder(model))) as engine:
        items = _items(context, model, engine)
        least = _least(engine)
        limit = getattr(engine, "context", None)
        if limit is not None:  # longer ones are refused, which is no other answer
            asked: Any = engine
            items = [item for item in items if asked.asked(item) < limit]
        items = _here(engine, items)
        expected: list[Output] = []
        for start in range(0, len(items), _BATCH):
            # As the serving path hands them on: a blank cell of a table is an empty one.
            read = [context.task.check(item) for item in items[start : start + _BATCH]]
            expected += engine.predict(read, all_scores=True)
            _tell(context, len(expected), items)
        far = _unlike(context, model, engine)
        names = engine.info.get("levels", ())
    got, units = _ask(context, model, address, items)
    levels = {name: units.get(unit(name), 0) for name in names}
    return compare(context.task.family, expected, got, least=least), far, levels


def _least(engine: Engine) -> float:
    """The share of the golden requests that have to be answered alike. Written answers part at a
    token that is as likely as another, and below float it hangs on how many are written together
    which one that is."""
    if not engine.info.get("costly"):
        return 1.0
    return _WRITTEN if engine.card.precision in _FLOAT else _QUANTIZED


def _tell(context: Context, done: int, items: list[Item]) -> None:
    """Each request is answered twice: in process, and over the serving path."""
    context.report(Progress("golden", done, 2 * len(items), t("pipeline.requests")))


def _unlike(context: Context, model: ModelVersion, engine: Engine) -> float | None:
    """How many nats a token the probability of reference answers is off, on average, between what
    is served and the weights as they were trained: it shows a template or a tokenizer that was lost
    on the way. None where there is nothing to compare, or the variant was made to differ."""
    if engine.card.precision not in _FLOAT or not hasattr(engine, "likelihood"):
        return None
    trained = context.folder(model, "")
    if read_card(trained).format == engine.card.format or not model.data_version:
        return None
    examples = context.dataset(context.data_of(model)).examples()
    rows = [(one.item, one.label) for one in islice(examples, _REFERENCES) if one.label]
    with closing(open_engine(trained)) as other:
        if not rows or not hasattr(other, "likelihood"):
            return None
        pairs = [(engine.likelihood(*row), other.likelihood(*row)) for row in rows]
    off = [abs(one - other) / tokens for (one, tokens), (other, _) in pairs]
    return round(float(np.mean(off)), 4)


def _items(context: Context, model: ModelVersion, engine: Engine) -> list[Item]:
    """Golden requests from the version's own rows; an imported version, whose rows are elsewhere,
    is asked the project's latest, or where there are none the task's examples."""
    wanted = context.config.serving.golden_requests
    wanted = min(wanted, _SLOW) if engine.info.get("costly") else wanted
    data = (
        context.data_of(model)
        if model.data_version
        else context.store.catalog.latest_data(context.project)
    )
    if data is None:
        task = tasks.of(read_card(context.folder(model)).schema)
        return list(islice(cycle(task.example_items()), wanted))
    dataset = context.dataset(data)
    found = golden_items(dataset, wanted, context.config.training.seed)
    if isinstance(engine, CascadeEngine) and not engine.info.get("remote"):
        found += _switched(engine, [*dataset.items("validation")])
    return [item for item in found if _fits(engine, item)]


def _switched(engine: CascadeEngine, items: list[Item]) -> list[Item]:
    """Rows that prove each stage and each switch: some that each stage answers, and the nearest on
    either side of every threshold."""
    if not items:
        return []
    routes = engine.routes(items)
    places = [
        row
        for place in range(len(engine.stages))
        for row in np.flatnonzero(routes == place)[:_EACH]
    ]
    return [items[row] for row in dict.fromkeys([*places, *engine.nearest(items, _NEAR)])]


def _here(engine: Engine, items: list[Item]) -> list[Item]:
    """Without those that come to another server, which wants money for them and may word an answer
    otherwise each time."""
    if not engine.info.get("remote"):
        return items
    passes = getattr(engine, "passes", None)
    passed = passes(items) if passes is not None else [True] * len(items)
    return [item for item, gone in zip(items, passed, strict=True) if not gone]


def _fits(engine: Engine, item: Item) -> bool:
    """Whether it is short enough for the model to answer."""
    try:
        engine.most(EngineRequest([item], stream=True))
    except InvalidData:
        return False
    return True


def _ask(
    context: Context, model: ModelVersion, address: str, items: list[Item]
) -> tuple[list[Output], Mapping[str, int]]:
    """Sends the golden requests in calls of one and of several, as customers do. The answers, and
    what they consumed by units."""
    outputs: list[Output] = []
    units: Counter[str] = Counter()
    with _caller(context, address) as client:
        _checked(client.post("/internal/v1/load", json={"version": model.id}))
        start, turn = 0, 0
        while start < len(items):
            size = 1 if turn % 2 else _BATCH
            batch = items[start : start + size]
            body = {"inputs": [encode_item(item) for item in batch], "all_scores": True}
            answer = _checked(
                client.post("/internal/v1/predict", params={"version": model.id}, json=body)
            )
            outputs += answer["outputs"]
            units.update(answer["usage"])
            start, turn = start + len(batch), turn + 1
            _tell(context, len(items) + start, items)
    return outputs, units


def _checked(response: Any) -> dict[str, Any]:
    try:
        body: dict[str, Any] = response.json()
    except ValueError:
        body = {}
    if response.status_code != 200 or not body:
        reason = body.get("error", {}).get("message", response.status_code)
        raise EnvironmentProblem("pipeline.server_refused", url=response.url, reason=reason)
    return body


@contextmanager
def _caller(context: Context, address: str) -> Iterator[Any]:
    """A client of the server's internal routes. A server that goes away is an
    `EnvironmentProblem`: the next turn proves the version again."""
    import httpx

    token = make_token(context.store.secret())
    headers = {"Authorization": f"Bearer {token}"}
    options: dict[str, Any] = {"headers": headers, "timeout": 120, "trust_env": False}
    try:
        with httpx.Client(base_url=address, verify=_verify(address), **options) as client:
            yield client
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise EnvironmentProblem("pipeline.server_refused", url=address, reason=reason) from None


def _verify(address: str) -> bool:
    """Whether the certificate at `address` must fit: not on this machine itself, where it is made
    out to the name that customers use."""
    return urlsplit(address).hostname not in ("127.0.0.1", "::1", "localhost")


@contextmanager
def _server(context: Context) -> Iterator[str]:
    """The address of a server of this workspace that answers now."""
    import httpx

    for server in context.store.catalog.servers():
        try:
            ok = httpx.get(
                f"{server.address}/healthz",
                timeout=5,
                trust_env=False,
                verify=_verify(server.address),
            )
        except httpx.HTTPError:
            continue
        if ok.status_code == 200:
            yield server.address
            return
    begun = time.monotonic()
    with temporary_server(context.store.folder.parent, context.settings) as address:
        context.report(Progress("deploy", time.monotonic() - begun, 0))
        yield address
