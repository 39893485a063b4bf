"""The audit log: every administrative act in one chain, written with the act, on both databases."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from feilun.billing.keys import create_key, rotate_key
from feilun.errors import Conflict, NotFound
from feilun.store import Store
from feilun.store.catalog_audit import FIRST, AuditHead, acting, note
from feilun.store.gc import collect
from helpers.processes import finish, start

OPEN = """
    import sys
    from pathlib import Path
    from feilun.store import open_store
    store = open_store(Path(sys.argv[1]), sys.argv[2] or None)
"""


def some_acts(store: Store, count: int = 5) -> None:
    for index in range(count):
        store.catalog.note("test.act", f"subject {index}", {"index": index, "ü": [1.5, None]})


def tamper(store: Store, *statements: str) -> None:
    """As somebody who owns the database: the triggers first, then the rows."""
    with store.databases["catalog"].write() as connection:
        if store.sqlite:
            connection.execute(text("DROP TRIGGER IF EXISTS audit_no_update"))
            connection.execute(text("DROP TRIGGER IF EXISTS audit_no_delete"))
        else:
            connection.execute(text("DROP TRIGGER IF EXISTS audit_append_only ON audit"))
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_an_empty_log_is_whole(any_store: Store) -> None:
    check = any_store.catalog.verify_audit()
    assert (check.rows, check.broken) == (0, None)
    assert any_store.catalog.audit_head() == AuditHead(0, FIRST)


def test_every_act_writes_its_row(any_store: Store) -> None:
    catalog = any_store.catalog
    catalog.add_project("reviews", "text-classification")
    customer = catalog.add_customer("Ada")
    key = create_key(catalog, customer.id, name="shop")
    new = rotate_key(catalog, key.record.id, overlap=timedelta(hours=1))
    catalog.revoke_key(new.record.id)
    catalog.add_price("reviews", 1_000_000, "USD")
    version = catalog.add_model_version("reviews", "linear", weights="sha256:" + "a" * 64)
    live = catalog.set_live("reviews", version.id, reason="first", forced=True)
    catalog.end_deployment(live.id)
    collect(any_store, keep_versions=1)
    acts = list(reversed(catalog.acts()))
    assert [act.action for act in acts] == [
        "project.create",
        "customer.create",
        "key.create",
        "key.rotate",
        "key.revoke",
        "price.set",
        "deployment.live",
        "deployment.end",
        "gc.run",
    ]
    assert [act.number for act in acts] == list(range(1, 10))
    assert acts[6].detail["forced"] is True
    assert all("@" in act.actor for act in acts)
    assert catalog.verify_audit().broken is None
    told = repr(acts)
    for secret in (key.secret, new.secret, key.record.hash, new.record.hash):
        assert secret not in told


def note_and_fail(store: Store) -> None:
    with store.databases["catalog"].write() as connection:
        note(connection, "test.act", "x")
        raise ZeroDivisionError


def test_an_act_that_fails_leaves_no_row(any_store: Store) -> None:
    catalog = any_store.catalog
    catalog.add_customer("Ada", id="cus_1")
    before = catalog.audit_head()
    with pytest.raises(Conflict):
        catalog.add_customer("Ada again", id="cus_1")
    with pytest.raises(NotFound):
        catalog.revoke_key("key_nobody")
    with pytest.raises(ZeroDivisionError):
        note_and_fail(any_store)
    assert catalog.audit_head() == before
    catalog.add_customer("Eve")
    assert catalog.audit_head().number == before.number + 1
    assert catalog.verify_audit().broken is None


def test_the_actor_is_who_acts(any_store: Store) -> None:
    with acting("key_42"):
        any_store.catalog.add_customer("Ada")
    any_store.catalog.add_customer("Eve")
    eve, ada = any_store.catalog.acts()
    assert ada.actor == "key_42"
    assert re.fullmatch(r"[^@]+@.+", eve.actor)


def test_words_of_strangers_do_not_break_the_chain(any_store: Store) -> None:
    hostile = "a\0b\ud800c " + "飞轮" + "x" * 5000
    any_store.catalog.add_customer(hostile)
    any_store.catalog.note("test.act", hostile, {hostile: hostile, "n": float("nan"), "i": 10**30})
    assert any_store.catalog.verify_audit().broken is None


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET detail = '{\"index\":9}' WHERE number = 3",
        "UPDATE audit SET actor = 'somebody@else' WHERE number = 3",
        "UPDATE audit SET subject = 'other' WHERE number = 3",
        "UPDATE audit SET action = 'other' WHERE number = 3",
        "UPDATE audit SET at = '2020-01-01 00:00:00' WHERE number = 3",
        f"UPDATE audit SET previous = '{FIRST}' WHERE number = 3",
    ],
)
def test_an_edited_row_is_named(any_store: Store, change: str) -> None:
    some_acts(any_store)
    tamper(any_store, change)
    check = any_store.catalog.verify_audit()
    assert (check.rows, check.broken, check.why) == (2, 3, "changed")


def test_a_row_taken_out_of_the_middle_is_named(any_store: Store) -> None:
    some_acts(any_store)
    tamper(any_store, "DELETE FROM audit WHERE number = 3")
    check = any_store.catalog.verify_audit()
    assert (check.broken, check.why) == (3, "missing")
    # Closing the gap does not help: the number is hashed, and so is what came before.
    tamper(
        any_store,
        "UPDATE audit SET number = 3 WHERE number = 4",
        "UPDATE audit SET number = 4 WHERE number = 5",
    )
    check = any_store.catalog.verify_audit()
    assert (check.broken, check.why) == (3, "changed")


def test_a_cut_tail_is_seen_by_the_count_and_by_an_exported_head(any_store: Store) -> None:
    some_acts(any_store)
    head = any_store.catalog.audit_head()
    assert any_store.catalog.verify_audit(head).broken is None
    tamper(any_store, "DELETE FROM audit WHERE number > 3")
    check = any_store.catalog.verify_audit()
    assert (check.rows, check.broken, check.why) == (3, 4, "cut")
    # Whoever counts down as well is caught by what was exported, even when rows are added since.
    tamper(any_store, "UPDATE counters SET value = 3 WHERE name = 'audit'")
    assert any_store.catalog.verify_audit().broken is None
    check = any_store.catalog.verify_audit(head)
    assert (check.broken, check.why) == (4, "cut")
    some_acts(any_store, 4)
    check = any_store.catalog.verify_audit(head)
    assert (check.broken, check.why) == (5, "other_head")


def test_the_table_itself_refuses_changes(any_store: Store) -> None:
    some_acts(any_store)
    for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit"):
        with (
            pytest.raises(Exception, match="append-only"),
            any_store.databases["catalog"].write() as connection,
        ):
            connection.execute(text(statement))
    assert any_store.catalog.verify_audit().rows == 5


def test_two_processes_that_append_at_once_keep_one_chain(
    open_any: Callable[[], Store], workspace_dir: Path, any_database: str | None
) -> None:
    store = open_any()
    code = OPEN + (
        "    for index in range(40):\n"
        "        if index % 2:\n"
        "            store.catalog.note('test.act', sys.argv[3], {'index': index})\n"
        "        else:\n"
        "            made = store.catalog.add_customer(sys.argv[3])\n"
        "            store.catalog.add_key(made.id, 'fl_x', f'{index:02}{sys.argv[3] * 31}')\n"
        "    store.close()"
    )
    finish([start(code, workspace_dir, any_database or "", name) for name in ("aa", "bb")])
    check = store.catalog.verify_audit()
    assert (check.rows, check.broken) == (2 * (20 + 40), None)
    assert {act.subject for act in store.catalog.acts(1000, action="test.act")} == {"aa", "bb"}


def test_heads_are_written_and_read(lite: Store) -> None:
    some_acts(lite)
    head = lite.catalog.audit_head()
    assert AuditHead.parse(f" {head}\n") == head
    for wrong in ("", "5", "5:abc", "x:" + "0" * 64, "5:" + "G" * 64):
        with pytest.raises(ValueError, match=r"|".join([re.escape(wrong), "invalid"])):
            AuditHead.parse(wrong)


def test_acts_are_read_by_page_and_by_action(lite: Store) -> None:
    some_acts(lite)
    lite.catalog.add_customer("Ada")
    assert [act.number for act in lite.catalog.acts(2)] == [6, 5]
    assert [act.number for act in lite.catalog.acts(2, before=5)] == [4, 3]
    assert [act.action for act in lite.catalog.acts(action="customer")] == ["customer.create"]
    assert lite.catalog.acts(action="cust") == []
