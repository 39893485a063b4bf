"""The ledger's chain: what was changed, taken out, put in or cut off is found, and said where."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from sqlalchemy.exc import DBAPIError

from feilun.errors import UsageError
from feilun.store import Store, ids, open_store, tables_ledger
from feilun.store.backup import backup, restore
from feilun.store.blobs import Blobs
from feilun.store.check import check
from feilun.store.database import Database, postgres_url, sqlite_url
from feilun.store.ledger import Ledger
from feilun.store.ledger_chain import EVENT_COLUMNS, canonical
from feilun.store.ledger_records import CheckResult, Event, LedgerCall
from feilun.store.ledger_roots import FOLDER, Root, export_root, read_roots
from feilun.store.ledger_rows import event_row
from feilun.store.ledger_verify import Fault
from feilun.store.migrate import migrate
from helpers.cli import feilun_json

TODAY = datetime.now(UTC).date().isoformat()
TRIGGERS = {"events": "events", "links": "links"}


def charge(call: str, **changes: Any) -> Event:
    values: dict[str, Any] = {
        "call_id": call,
        "units": {"calls": 1, "inputs": 2, "frames": 3},
        "amount": 1000,
        "customer": "ann",
        "project": "reviews",
    }
    return Event(**values | changes)


def fill(store: Store, groups: int = 4, calls: int = 3) -> None:
    for group in range(groups):
        store.ledger.commit_group(
            [LedgerCall([charge(f"g{group}c{call}")]) for call in range(calls)]
        )


def tamper(store: Store, *statements: str) -> None:
    """What somebody with the database's password does: the triggers first."""
    with store.databases["ledger"].write() as connection:
        for table in ("events", "links"):
            if store.sqlite:
                for action in ("update", "delete"):
                    connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {table}_no_{action}")
            else:
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {table}_append_only ON {table}")
        for statement in statements:
            connection.exec_driver_sql(statement)


def codes(faults: Sequence[Fault]) -> list[str]:
    return [fault.code.removeprefix("store.fault_") for fault in faults]


def test_what_nobody_touched_is_whole(any_store: Store) -> None:
    fill(any_store)
    found = any_store.ledger.verify()
    assert found.ok, [fault.text() for fault in found.faults]
    assert (found.events, found.links) == (12, 4)
    assert any_store.ledger.verify(day=TODAY).events == 12
    # By hand, from the rows alone, as the documentation describes it.
    events = list(any_store.ledger.events())
    writer = events[0].writer
    hash_ = hashlib.sha256(f"feilun ledger\n{writer}\n{TODAY}\n".encode()).digest()
    for number in range(1, 5):
        digest = hashlib.sha256(hash_)
        for event in events:
            if event.link == number:
                assert event.created is not None
                row = event_row(event, event.amount, event.created, writer, number)
                values = list(row)
                since = event.created - datetime(1970, 1, 1, tzinfo=UTC)
                values[EVENT_COLUMNS.index("created")] = round(since / timedelta(microseconds=1))
                values[EVENT_COLUMNS.index("more_units")] = '{"frames":3}'
                line = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
                digest.update(line.encode() + b"\n")
        hash_ = digest.digest()
    root = any_store.ledger.make_roots(datetime.now(UTC) + timedelta(days=2))[0]
    assert root.chains == [[writer, 1, 4, 12, hash_.hex()]]


@given(some.text(some.characters(exclude_categories=["Cs"])), some.integers(-(2**63), 2**63 - 1))
def test_canonical_bytes_are_plain_json(name: str, amount: int) -> None:
    event = Event(name, customer=name, created=datetime(2026, 11, 22, tzinfo=UTC))
    row = event_row(event, amount, datetime.now(UTC), "w", 1)
    again = json.loads(canonical(row))
    assert (
        canonical(row)
        == json.dumps(again, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    )
    assert again[EVENT_COLUMNS.index("amount")] == amount


def test_the_columns_are_written_in_their_order() -> None:
    row = event_row(charge("c"), 5, datetime.now(UTC), "w", 7)
    values = dict(zip(EVENT_COLUMNS, row, strict=True))
    assert (values["call_id"], values["inputs"], values["amount"]) == ("c", 2, 5)
    assert (values["customer"], values["writer"], values["link"]) == ("ann", "w", 7)
    assert len(row) == len(tables_ledger.events.c)


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["UPDATE events SET customer = 'bob' WHERE call_id = 'g1c1'"], {"link_hash", "totals"}),
        (["UPDATE events SET outcome = 'free' WHERE call_id = 'g1c1'"], {"link_hash", "totals"}),
        (["UPDATE events SET amount = 0 WHERE call_id = 'g1c1'"], {"link_hash", "totals"}),
        (["DELETE FROM events WHERE call_id = 'g1c1'"], {"link_count", "totals"}),
        (["DELETE FROM links WHERE number = 2"], {"link_missing", "event_stray"}),
        (
            ["DELETE FROM events WHERE link = 2", "DELETE FROM links WHERE number = 2"],
            {"link_missing", "totals"},
        ),
        (["UPDATE totals SET amount = amount - 1"], {"totals"}),
        (["DELETE FROM totals"], {"totals"}),
        (["UPDATE links SET hash = previous WHERE number = 4"], {"link_hash"}),
        (["UPDATE links SET hash = previous WHERE number = 3"], {"link_hash", "link_previous"}),
    ],
)
def test_what_was_changed_is_found(
    any_store: Store, statements: list[str], found: set[str]
) -> None:
    fill(any_store)
    writer = next(any_store.ledger.events()).writer
    tamper(any_store, *statements)
    for result in (any_store.ledger.verify(), any_store.ledger.verify(day=TODAY)):
        assert set(codes(result.faults)) == found
        assert all(fault.writer == writer for fault in result.faults)
        for fault in result.faults:
            assert fault.day == TODAY
            assert writer in fault.text()


def test_an_event_that_was_put_in_is_found(any_store: Store) -> None:
    fill(any_store)
    names = ", ".join(f'"{name}"' for name in EVENT_COLUMNS)
    for number, (link, code) in enumerate(
        [("2", "link_count"), ("99", "event_stray"), ("NULL", "event_unlinked")]
    ):
        values = names.replace('"link"', link).replace('"seq"', f"{number + 5}")
        values = values.replace('"id"', f"replace(id, substr(id, 28), 'fffe{number}')")
        tamper(
            any_store,
            f"INSERT INTO events ({names}) SELECT {values} FROM events "
            "WHERE call_id = 'g1c1' AND seq = 0",
        )
        result = any_store.ledger.verify()
        assert {code, "totals"} <= set(codes(result.faults))


def test_a_day_whose_tail_was_cut_with_care_is_found_by_its_exported_root(
    any_store: Store, tmp_path: Path
) -> None:
    fill(any_store)
    later = datetime.now(UTC) + timedelta(days=2)
    [root] = any_store.ledger.make_roots(later)
    assert any_store.ledger.make_roots(later) == []
    assert export_root(root, tmp_path / "roots").name == f"{TODAY}.json"
    exported = read_roots(tmp_path / "roots")
    assert exported == {TODAY: root}
    assert any_store.ledger.verify(exported=exported).ok
    tamper(
        any_store,
        "DELETE FROM events WHERE link = 4",
        "DELETE FROM links WHERE number = 4",
        # Sums and roots as well: nothing in the database gives it away.
        "UPDATE totals SET events = 9, calls = 9, inputs = 18, amount = 9000, "
        "more_units = '{\"frames\":27}'",
        *(
            ["DROP TRIGGER roots_no_delete"]
            if any_store.sqlite
            else ["DROP TRIGGER roots_append_only ON roots"]
        ),
        "DELETE FROM roots",
    )
    assert any_store.ledger.verify().ok
    any_store.ledger.make_roots(later)
    assert any_store.ledger.verify().ok
    result = any_store.ledger.verify(exported=exported)
    assert codes(result.faults) == ["root_exported"]
    assert result.faults[0].day == TODAY
    # What was exported is not replaced by what came after.
    export_root(any_store.ledger.roots()[0], tmp_path / "roots")
    assert read_roots(tmp_path / "roots") == exported


def test_a_tail_that_was_cut_is_found_when_the_writer_goes_on(any_store: Store) -> None:
    fill(any_store)
    tamper(any_store, "DELETE FROM events WHERE link = 4", "DELETE FROM links WHERE number = 4")
    fill_more = LedgerCall([charge("later")])
    any_store.ledger.commit_group([fill_more])
    assert {"link_missing", "totals"} <= set(codes(any_store.ledger.verify().faults))


@pytest.mark.parametrize("clock", ["ran", "was set"])
def test_chains_of_several_writers_and_days(
    open_any: Callable[[], Store], clock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = open_any(), open_any()
    first = datetime.now(UTC) - timedelta(days=3)
    for day in range(3):
        moment = first + timedelta(days=day)
        monkeypatch.setattr("feilun.store.ledger.now", lambda moment=moment: moment)
        if clock == "ran":
            monkeypatch.setattr(ids.time, "time_ns", lambda: 0)
            monkeypatch.setattr(ids, "_last", int(moment.timestamp() * 1000) << 12)
        for number, store in enumerate((one, other)):
            store.ledger.commit([charge(f"{day}-{number}-a"), charge(f"{day}-{number}-b")])
            store.ledger.commit([charge(f"{day}-{number}-c")])
    monkeypatch.undo()
    for day in range(3):
        date = (first + timedelta(days=day)).date().isoformat()
        result = one.ledger.verify(day=date)
        assert (result.ok, result.events) == (True, 6)
    result = one.ledger.verify()
    assert result.ok, [fault.text() for fault in result.faults]
    assert (result.days, result.links, result.events) == (3, 12, 18)
    roots = one.ledger.make_roots()
    assert [len(root.chains) for root in roots] == [2] * 3
    assert other.ledger.make_roots() == []
    assert [root.events for root in other.ledger.roots()] == [6] * 3
    # Numbers go on over days, so that a day that vanished whole leaves a gap.
    date = (first + timedelta(days=1)).date().isoformat()
    where = f"day = '{date}' AND writer = '{one.ledger.writer}'"
    tamper(
        one,
        f"DELETE FROM events WHERE link IN (3, 4) AND writer = '{one.ledger.writer}'",
        f"DELETE FROM links WHERE {where}",
        f"DELETE FROM totals WHERE {where}",
    )
    assert codes(one.ledger.verify().faults) == ["link_missing", "root"]


def test_a_file_that_is_no_root_is_refused(tmp_path: Path) -> None:
    export_root(Root("2026-11-22", "ab", [["w", 1, 1, 1, "ab"]], 1), tmp_path)
    path = tmp_path / "2026-11-22.json"
    path.rename(tmp_path / "2026-11-23.json")
    with pytest.raises(UsageError, match="2026-11-23"):
        read_roots(tmp_path)


def test_after_a_commit_of_unknown_outcome_the_chain_is_a_new_one(any_store: Store) -> None:
    fill(any_store, groups=1)
    before = any_store.ledger.writer
    with pytest.raises((TypeError, DBAPIError)):
        any_store.ledger.commit([charge("bad", amount="a lot")])
    assert any_store.ledger.writer != before
    fill(any_store, groups=0)
    any_store.ledger.commit([charge("good")])
    result = any_store.ledger.verify()
    assert result.ok
    assert result.links == 2


def test_doctor_sees_a_closed_day_that_was_changed(any_store: Store) -> None:
    def ledger_line() -> CheckResult:
        return next(line for line in check(any_store) if line.name == "ledger chains")

    fill(any_store)
    [root] = any_store.ledger.make_roots(datetime.now(UTC) + timedelta(days=2))
    export_root(root, any_store.folder.parent / FOLDER)
    assert (ledger_line().ok, "1 closed" in ledger_line().detail) == (True, True)
    tamper(any_store, "DELETE FROM events WHERE link = 4", "DELETE FROM links WHERE number = 4")
    assert not ledger_line().ok
    assert "feilun ledger verify" in ledger_line().fix


def test_commands_say_what_is_wrong_and_where(
    any_store: Store, any_database: str | None, workspace_dir: Path
) -> None:
    env = {"FEILUN_DATABASE": any_database} if any_database else {}

    def run(*words: str, code: int = 0) -> dict[str, Any]:
        return feilun_json("ledger", *words, cwd=workspace_dir, code=code, **env)

    fill(any_store)
    any_store.ledger.make_roots(datetime.now(UTC) + timedelta(days=2))
    shown = run("root")
    assert [root["day"] for root in shown["roots"]] == [TODAY]
    assert (workspace_dir / FOLDER / f"{TODAY}.json").exists()
    shown = run("verify")
    assert (shown["ok"], shown["events"], shown["roots"]) == (True, 12, 1)
    tamper(any_store, "UPDATE events SET amount = 1 WHERE call_id = 'g2c0'")
    shown = run("verify", "--day", TODAY, code=3)
    assert (shown["ok"], shown["found"]) == (False, 2)
    first = shown["faults"][0]
    assert (first["link"], first["day"]) == (3, TODAY)
    assert first["writer"] == any_store.ledger.writer
    assert first["event"] == next(any_store.ledger.events(call_id="g2c0")).id
    run("verify", "--day", "2026-02-30", code=2)


def test_what_an_earlier_feilun_wrote_is_summed_and_chained(
    any_empty_database: str | None, workspace_dir: Path, tmp_path: Path
) -> None:
    url = (
        postgres_url(any_empty_database)
        if any_empty_database
        else sqlite_url(tmp_path / "ledger.db")
    )
    database = Database(url, "ledger")
    migrate(database, "0002")
    blank = (
        "INSERT INTO events (id, call_id, seq, kind, calls, inputs, tokens, pixels, more_units, "
        "price_version, amount, currency, customer, project, endpoint, writer, cost, engine_us, "
        "outcome, created) VALUES "
    )
    with database.write() as connection:
        for number in range(3):
            connection.exec_driver_sql(
                blank + f"('0{number}', 'c{number}', 0, 'charge', 1, 2, 3, 0, "
                f"'{{\"audio_ms\":5,\"frames\":{number}}}', NULL, 10, 'USD', NULL, 'p', 'p', "
                f"'w:1', 1, 2, 'ok', '2026-10-0{number + 1} 12:00:00.000000')"
            )
    migrate(database)
    ledger = Ledger(database, Blobs(tmp_path / "blobs"))
    result = ledger.verify()
    assert result.ok, [fault.text() for fault in result.faults]
    assert result.events == 3
    [row] = ledger.usage(since=datetime(2026, 10, 1, tzinfo=UTC))
    assert (row.amount, row.events) == (30, 3)
    assert (row.units["audio_ms"], row.units["frames"], row.by["project"]) == (15, 3, "p")
    ledger.commit([charge("new")])
    assert ledger.verify().ok
    with database.write() as connection:
        if database.sqlite:
            connection.exec_driver_sql("DROP TRIGGER events_no_update")
        else:
            connection.exec_driver_sql("DROP TRIGGER events_append_only ON events")
        connection.exec_driver_sql("UPDATE events SET outcome = 'x' WHERE id = '01'")
    assert set(codes(ledger.verify().faults)) == {"link_hash", "totals"}
    database.close()


def test_a_restored_ledger_is_whole_and_goes_on(lite: Store, tmp_path: Path) -> None:
    fill(lite)
    lite.ledger.commit([Event("held", kind="hold", amount=5)])
    lite.ledger.make_roots(datetime.now(UTC) + timedelta(days=2))
    backup(lite, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "again")
    with open_store(tmp_path / "again") as store:
        result = store.ledger.verify()
        assert (result.ok, result.events, result.roots) == (True, 13, 1)
        assert [hold.call_id for hold in store.ledger.holds()] == ["held"]
        store.ledger.commit([charge("more")])
        # In this test alone a day gets events after it was closed.
        assert codes(store.ledger.verify().faults) == ["root"]
