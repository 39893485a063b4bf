"""The catalog: projects, versions, deployments, runs, access; on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from feilun import messages
from feilun.errors import Conflict, NotFound, UsageError
from feilun.messages import t
from feilun.store import Store
from feilun.store.records import Executions
from feilun.types import Progress

REF = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


@pytest.fixture
def store(any_store: Store) -> Store:
    any_store.catalog.add_project("reviews", "text-classification")
    return any_store


def test_projects(store: Store) -> None:
    catalog = store.catalog
    catalog.add_project("digits", "image-classification", endpoint="numbers")
    assert [p.name for p in catalog.projects()] == ["digits", "reviews"]
    assert catalog.project("reviews").endpoint == "reviews"
    assert catalog.project("reviews").created.tzinfo is UTC
    assert catalog.project_of_endpoint("numbers").name == "digits"
    with pytest.raises(Conflict, match="'reviews' already"):
        catalog.add_project("reviews", "text-classification")
    with pytest.raises(NotFound, match="digits, reviews"):
        catalog.project("revews")
    with pytest.raises(NotFound, match="numbers, reviews"):
        catalog.project_of_endpoint("digits")


def test_data_versions_count_up_and_keep_what_they_were_given(store: Store) -> None:
    catalog = store.catalog
    assert catalog.latest_data("reviews") is None
    counts = {"train": {"great": 8, "很好": 2}}
    first = catalog.add_data_version("reviews", REF, "add", counts=counts, roles={"label": "score"})
    second = catalog.add_data_version("reviews", OTHER, "feedback", parent=first.id)
    assert (first.id, second.id, second.number) == ("reviews:1", "reviews:2", 2)
    assert catalog.data_version("reviews:1") == first
    assert catalog.data_version("reviews:1").counts == counts
    assert catalog.data_versions("reviews") == [first, second]
    assert catalog.latest_data("reviews") == second
    with pytest.raises(NotFound, match="reviews:9"):
        catalog.data_version("reviews:9")
    with pytest.raises(NotFound, match="no project"):
        catalog.add_data_version("nobody", REF, "add")


def test_a_step_that_runs_again_adds_nothing_twice(store: Store) -> None:
    catalog = store.catalog
    first = catalog.add_data_version("reviews", REF, "add", key="run-1/data")
    assert catalog.add_data_version("reviews", OTHER, "add", key="run-1/data") == first
    model = catalog.add_model_version("reviews", "linear", key="run-1/train")
    assert catalog.add_model_version("reviews", "linear", key="run-1/train") == model
    assert len(catalog.model_versions("reviews")) == 1


def test_model_versions(store: Store) -> None:
    catalog = store.catalog
    data = catalog.add_data_version("reviews", REF, "add")
    first = catalog.add_model_version(
        "reviews", "linear", data_version=data.id, weights=REF, config={"seed": 0}
    )
    assert (first.id, first.state, first.artifact()) == ("reviews@1", "candidate", REF)
    changed = catalog.update_model_version(
        first.id,
        variants={"int8": {"artifact": OTHER, "accuracy": 0.9}},
        variant="int8",
        metrics={"accuracy": {"value": 0.9, "low": float("nan")}},
    )
    assert changed.artifact() == OTHER
    assert changed.artifact("float") == REF
    assert changed.metrics == {"accuracy": {"value": 0.9, "low": None}}
    assert catalog.model_version("reviews@1") == changed
    failed = catalog.add_model_version("reviews", "full", state="failed", parent=first.id)
    assert catalog.model_version("reviews") == changed
    assert catalog.model_version("reviews@2") == failed
    for name in ("reviews@7", "reviews@live", "reviews@best"):
        with pytest.raises(NotFound, match="reviews@1, reviews@2"):
            catalog.model_version(name)
    with pytest.raises(NotFound, match="no project"):
        catalog.model_version("nobody@1")
    with pytest.raises(NotFound):
        catalog.update_model_version("reviews@9", state="failed")


def test_going_live_retires_the_former_version(store: Store) -> None:
    catalog = store.catalog
    one = catalog.add_model_version("reviews", "linear", weights=REF)
    two = catalog.add_model_version(
        "reviews", "full", weights=REF, variants={"int8": {"artifact": OTHER}}, variant="int8"
    )
    assert catalog.live("reviews") is None
    before = catalog.epoch()
    first = catalog.set_live("reviews", one.id)
    assert catalog.epoch() > before
    second = catalog.set_live("reviews", two.id, reason="emergency", forced=True, actor="me")
    assert (second.artifact, second.variant, second.forced) == (OTHER, "int8", True)
    assert catalog.live("reviews") == second
    assert catalog.model_version("reviews@live").id == two.id
    states = {v.id: v.state for v in catalog.model_versions("reviews")}
    assert states == {one.id: "retired", two.id: "live"}
    newest, oldest = catalog.history("reviews")
    assert (newest, oldest.id) == (second, first.id)
    assert oldest.until == second.since
    # The same again, as when a step is executed twice, changes nothing.
    assert catalog.set_live("reviews", two.id) == second
    catalog.set_live("reviews", one.id, reason="rollback")
    assert catalog.model_version("reviews@live").id == one.id
    assert [d.version for d in catalog.active()] == [one.id]


def test_a_version_stays_live_while_another_endpoint_has_it(store: Store) -> None:
    catalog = store.catalog
    one = catalog.add_model_version("reviews", "linear", weights=REF)
    two = catalog.add_model_version("reviews", "linear", weights=OTHER)
    catalog.set_live("reviews", one.id)
    catalog.set_live("beta", one.id)
    catalog.set_live("beta", two.id)
    assert catalog.model_version(one.id).state == "live"
    assert catalog.endpoints() == ["beta", "reviews"]


def test_what_cannot_go_live(store: Store) -> None:
    catalog = store.catalog
    empty = catalog.add_model_version("reviews", "linear")
    failed = catalog.add_model_version("reviews", "linear", state="failed", weights=REF)
    whole = catalog.add_model_version("reviews", "linear", weights=REF)
    for version in (empty, failed):
        with pytest.raises(Conflict, match="cannot answer"):
            catalog.set_live("reviews", version.id)
    catalog.prune([whole.id])
    with pytest.raises(Conflict):
        catalog.set_live("reviews", whole.id)
    with pytest.raises(NotFound):
        catalog.set_live("reviews", "reviews@9")
    other = catalog.add_model_version("reviews", "linear", weights=REF)
    with pytest.raises(NotFound, match="int8"):
        catalog.set_live("reviews", other.id, "int8")
    assert catalog.active() == []


def test_canary_and_shadow_beside_the_live_version(store: Store) -> None:
    catalog = store.catalog
    one = catalog.add_model_version("reviews", "linear", weights=REF)
    two = catalog.add_model_version("reviews", "full", weights=OTHER)
    catalog.set_live("reviews", one.id)
    with pytest.raises(Conflict, match=one.id):
        catalog.deploy_beside("reviews", one.id, role="canary", weight=0.1)
    canary = catalog.deploy_beside("reviews", two.id, role="canary", weight=0.1)
    assert [d.role for d in catalog.active("reviews")] == ["live", "canary"]
    catalog.set_live("reviews", two.id)
    assert [(d.role, d.version) for d in catalog.active("reviews")] == [("live", two.id)]
    catalog.end_deployment(canary.id)  # ended already: nothing happens
    live = catalog.live("reviews")
    assert live is not None
    catalog.end_deployment(live.id)
    assert catalog.live("reviews") is None
    assert catalog.model_version(two.id).state == "retired"


def test_runs_and_their_steps_are_counted(store: Store) -> None:
    catalog = store.catalog
    run = catalog.add_run("w1", "reviews", "run", config={"training": {"epochs": 2}})
    assert catalog.add_run("w1", "reviews", "run") == run
    assert (run.state, run.started) == ("queued", None)
    started = catalog.update_run("w1", state="running", pid=42, plan={"method": "full"})
    assert started.started is not None
    assert started.plan == {"method": "full"}

    catalog.begin_step("w1", "train")
    progress = Progress("train", 3, 10, "step", {"loss": 0.4})
    catalog.step_progress("w1", "train", progress)
    assert catalog.steps("w1")[0].progress == progress
    with messages.knowing():
        note = t("training.note_features")
    catalog.step_progress("w1", "train", replace(progress, note=note), (), ["by hand", note])
    messages.use("zh")
    (told,) = catalog.steps("w1")
    assert told.progress is not None
    assert (told.progress.note, told.notes) == ("计算特征", ["by hand", "计算特征"])
    messages.use("en")
    again = catalog.begin_step("w1", "train")  # the first attempt's process was killed
    assert again.attempt == 2
    assert catalog.finished_step("w1", "train") is None
    done = catalog.finish_step("w1", "train", {"weights": REF})
    assert [s.state for s in catalog.steps("w1")] == ["interrupted", "finished"]
    assert catalog.finished_step("w1", "train") == done
    assert catalog.executions("w1") == {"train": Executions(2, 1)}
    with pytest.raises(NotFound, match="not running"):
        catalog.finish_step("w1", "train")

    resumed = catalog.update_run("w1", state="running", pid=43)
    assert resumed.started == started.started
    ended = catalog.update_run("w1", state="finished", result={"version": "reviews@1"})
    assert ended.finished is not None
    catalog.heartbeat_run("w1")
    assert catalog.run("w1").heartbeat > ended.heartbeat  # type: ignore[operator]
    catalog.add_run("w2", "reviews", "update")
    assert [r.id for r in catalog.runs("reviews")] == ["w2", "w1"]
    assert [r.id for r in catalog.runs(states=("queued",))] == ["w2"]
    assert len(catalog.runs(limit=1)) == 1
    with pytest.raises(NotFound):
        catalog.run("w9")
    with pytest.raises(NotFound):
        catalog.update_run("w9", state="failed")


def test_why_a_run_failed_is_said_in_the_readers_language(store: Store) -> None:
    catalog, error = store.catalog, NotFound("store.no_file_system", url="w0", reason="none")
    catalog.add_run("w1", "reviews", "run")
    failed = catalog.update_run("w1", state="failed", error=error.sentence())
    assert (failed.error, failed.hint) == (error.message("en"), error.hint("en"))
    messages.use("zh")
    said = {"error": error.message("zh"), "hint": error.hint("zh")}
    assert catalog.run("w1") == replace(failed, **said)
    assert catalog.runs("reviews") == [catalog.run("w1")]

    def erased(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: erased(one) for name, one in value.items()}
        return "–" if isinstance(value, str) and "w0" in value else value

    assert catalog.rewrite_runs("reviews", erased) == 1
    assert catalog.run("w1").error == t("store.no_file_system", url="–", reason="none")
    for text in ("the disk is full", "{as it was", '{"sentence": 3}', None):  # of earlier versions
        told = catalog.update_run("w1", error=text)
        assert (told.error, told.hint) == (text, "")


def test_servers_live_as_long_as_they_say_so(store: Store) -> None:
    catalog = store.catalog
    server = catalog.register_server("127.0.0.1", 8000, "http://127.0.0.1:8000")
    assert catalog.servers() == [server]
    assert catalog.servers(max_age=-1) == []
    catalog.heartbeat_server(server)
    assert catalog.servers()[0].heartbeat > server.heartbeat
    catalog.unregister_server(server.id)
    assert catalog.servers() == []
    catalog.heartbeat_server(server)  # its row was lost: it is noted again
    assert [s.id for s in catalog.servers()] == [server.id]


def test_keys(store: Store) -> None:
    catalog = store.catalog
    customer = catalog.add_customer("Käthe 凯特\0")
    assert catalog.customer(customer.id).name == "Käthe 凯特\ufffd"
    assert catalog.customer_named("Käthe 凯特\ufffd") is not None
    before = catalog.epoch()
    key = catalog.add_key(customer.id, "fl_abcd", "f" * 64, name="shop", store_inputs=0)
    assert catalog.epoch() > before
    assert catalog.key_by_hash("f" * 64) == key
    assert catalog.key_by_hash("e" * 64) is None
    soon = datetime.now(UTC) + timedelta(days=1)
    other = catalog.add_key(customer.id, "fl_abcd", "e" * 64, project="reviews", expires=soon)
    assert catalog.keys(project="reviews") == [key, other]
    assert catalog.keys(customer="nobody") == []
    with pytest.raises(Conflict, match="on record"):
        catalog.add_key(customer.id, "fl_abcd", "f" * 64)
    with pytest.raises(NotFound):
        catalog.add_key("nobody", "fl_x", "d" * 64)
    with pytest.raises(NotFound, match="reviews"):
        catalog.add_key(customer.id, "fl_x", "d" * 64, project="nothing")
    with pytest.raises(Conflict, match="several"):
        catalog.revoke_key("fl_abcd")
    before = catalog.epoch()
    revoked = catalog.revoke_key(key.id)
    assert catalog.epoch() > before
    assert revoked.revoked is not None
    assert catalog.revoke_key(key.id) == revoked
    with pytest.raises(NotFound):
        catalog.revoke_key("key_unknown")
    with pytest.raises(Conflict):
        catalog.add_customer("again", id=customer.id)
    with pytest.raises(NotFound):
        catalog.customer("nobody")
    assert catalog.customers() == [catalog.customer(customer.id)]


def test_prices_take_effect_in_time(store: Store) -> None:
    catalog = store.catalog
    assert catalog.price("reviews") is None
    now = datetime.now(UTC)
    old = catalog.add_price("reviews", 500_000, "USD", now - timedelta(days=2))
    assert catalog.add_price("reviews", 500_000, "USD") == old
    new = catalog.add_price("reviews", 700_000, "USD", now + timedelta(days=2))
    assert catalog.price("reviews") == old
    assert catalog.price("reviews", now + timedelta(days=3)) == new
    assert catalog.prices("reviews") == [old, new]


def test_settings(store: Store) -> None:
    assert store.catalog.setting("schedule", 7) == 7
    store.catalog.set_setting("schedule", {"next": [1, "二"]})
    store.catalog.set_setting("schedule", {"next": [2, "二"]})
    assert store.catalog.setting("schedule") == {"next": [2, "二"]}


def test_artifacts_are_noted_once(store: Store) -> None:
    first = store.catalog.add_artifact(REF, "weights", 10)
    assert store.catalog.add_artifact(REF, "weights", 11) == first
    assert store.catalog.artifacts("report") == []
    store.catalog.forget_artifacts([REF])
    assert store.catalog.artifacts() == []


def test_references_and_who_needs_them(store: Store) -> None:
    catalog = store.catalog
    refs = ["sha256:" + digit * 64 for digit in "0123456789"]
    catalog.add_data_version("reviews", refs[0], "add")
    one = catalog.add_model_version(
        "reviews",
        "full",
        weights=refs[1],
        report=refs[2],
        variants={"int8": {"artifact": refs[3]}},
    )
    catalog.add_run("going", "reviews", "run")
    catalog.begin_step("going", "train")
    catalog.finish_step("going", "train", {"nested": [{"ref": refs[4]}]})
    catalog.add_run("over", "reviews", "run", state="finished")
    catalog.begin_step("over", "train")
    catalog.finish_step("over", "train", {"ref": refs[5]})
    assert catalog.references() == set(refs[:5])
    assert catalog.needed() == {refs[0]: "reviews:1"} | dict.fromkeys(refs[1:4], one.id)
    assert catalog.references(without=[one.id]) == {refs[0], refs[4]}
    catalog.prune([one.id])
    assert catalog.references() == {refs[0], refs[4]}


def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(Exception, match="without a zone"):
        store.catalog.add_price("reviews", 1, "USD", datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_customers_name_is_one_however_it_is_written(store: Store) -> None:
    catalog = store.catalog
    made = catalog.add_customer("  Ka\u0308the\u3000凯特 \n")
    assert made.name == "K\u00e4the 凯特"
    for name in ("K\u00e4the 凯特", "Ka\u0308the  凯特", "K\u00e4the\u00a0凯特 "):
        found = catalog.customer_named(name)
        assert found is not None
        assert found.id == made.id
        with pytest.raises(Conflict, match="K\u00e4the 凯特"):
            catalog.add_customer(name, unique=True)
    assert catalog.customer_named("Käthe凯特") is None
    for nothing in ("", " \t", "\u3000"):
        with pytest.raises(UsageError, match="name that shows"):
            catalog.add_customer(nothing)
    assert catalog.set_customer(made.id, name=" Kate  Lee ").name == "Kate Lee"
    assert len(catalog.customers()) == 1


def test_names_of_earlier_workspaces_are_found_as_they_stand(store: Store) -> None:
    catalog = store.catalog
    from sqlalchemy import update

    from feilun.store import tables_catalog as tables

    spaced, plain = catalog.add_customer("Acme-").id, catalog.add_customer("Acme").id
    lone = catalog.add_customer("Lone-").id
    with catalog._db.write() as connection:
        for id, name in ((spaced, "Acme "), (lone, "Lone ")):
            connection.execute(
                update(tables.customers).where(tables.customers.c.id == id).values(name=name)
            )
    named = {n: getattr(catalog.customer_named(n), "id", None) for n in ("Acme ", "Acme", "Lone")}
    assert named == {"Acme ": spaced, "Acme": plain, "Lone": lone}
    assert getattr(catalog.customer_named("  Acme"), "id", None) in (spaced, plain)
