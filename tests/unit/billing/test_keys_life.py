"""A key's life: made with scopes and limits, rotated, expired, revoked; and those who guess."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feilun.billing import keys as module
from feilun.billing.attempts import Attempts
from feilun.billing.keys import KeyRing, check_scopes, create_key, require, rotate_key
from feilun.cli.app import run
from feilun.cli.values import duration
from feilun.errors import Conflict, Forbidden, InvalidSettings, NotFound, Unauthorized, UsageError
from feilun.project import Workspace
from feilun.store import Store
from helpers.processes import finish, start
from helpers.serving import make_key

OPEN = """
    import sys
    from pathlib import Path
    from feilun.store import open_store
    store = open_store(Path(sys.argv[1]), sys.argv[2] or None)
"""


def ring(store: Store) -> KeyRing:
    made = KeyRing(store.catalog)
    made.reload()
    return made


def test_scopes_and_limits_are_kept(any_store: Store) -> None:
    made = make_key(any_store, scopes=("usage", "predict", "usage"), limits={"rate": 5.0})
    assert made.record.scopes == ("predict", "usage")
    (found,) = any_store.catalog.keys()
    assert found == made.record
    require(found, "predict")
    with pytest.raises(Forbidden) as caught:
        require(found, "admin")
    assert "admin" in caught.value.message("en")
    assert "predict, usage" in caught.value.message("en")


@pytest.mark.parametrize("scopes", [(), ("predict", "root"), ("",), ("ADMIN",)])
def test_unknown_scopes_are_refused_before_anything_is_written(
    lite: Store, scopes: tuple[str, ...]
) -> None:
    customer = lite.catalog.add_customer("Ada")
    with pytest.raises(InvalidSettings):
        create_key(lite.catalog, customer.id, scopes=scopes)
    assert lite.catalog.keys() == []
    assert check_scopes(["admin", "predict"]) == ("predict", "admin")


def test_a_rotated_key_works_for_its_overlap_and_the_new_one_at_once(any_store: Store) -> None:
    old = make_key(any_store, name="shop", scopes=("predict",), limits={"rate": 2.0})
    new = rotate_key(any_store.catalog, old.record.prefix, overlap=timedelta(hours=24))
    assert new.secret != old.secret
    assert len(new.secret) == 3 + 43
    assert new.record.id != old.record.id
    for name in ("customer", "name", "project", "store_inputs", "scopes", "limits"):
        assert getattr(new.record, name) == getattr(old.record, name), name
    keys = ring(any_store)
    now = datetime.now(UTC)
    assert keys.find(new.secret.encode()).expires is None
    assert keys.find(old.secret.encode()).successor == new.record.id
    assert keys.find(old.secret.encode(), now + timedelta(hours=23)).id == old.record.id
    with pytest.raises(Unauthorized) as caught:
        keys.find(old.secret.encode(), now + timedelta(hours=24, minutes=1))
    assert caught.value.code == "billing.key_expired"
    assert keys.valid(old.record.id, now + timedelta(hours=23))
    assert not keys.valid(old.record.id, now + timedelta(hours=25))


def test_without_an_overlap_the_old_key_ends_at_once(any_store: Store) -> None:
    old = make_key(any_store)
    rotate_key(any_store.catalog, old.record.id, overlap=timedelta(0))
    with pytest.raises(Unauthorized):
        ring(any_store).find(old.secret.encode())


def test_rotating_never_lets_a_key_live_longer(any_store: Store) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    old = make_key(any_store, expires=soon)
    new = rotate_key(any_store.catalog, old.record.id, overlap=timedelta(days=7))
    assert new.old is not None
    assert new.old.expires == soon
    assert new.record.expires is not None
    life = new.record.expires - new.record.created
    assert life == soon - old.record.created


def test_what_cannot_be_rotated(any_store: Store) -> None:
    catalog = any_store.catalog
    with pytest.raises(NotFound):
        rotate_key(catalog, "key_nobody", overlap=timedelta(0))
    old = make_key(any_store)
    new = rotate_key(catalog, old.record.id, overlap=timedelta(hours=1))
    with pytest.raises(Conflict) as caught:
        rotate_key(catalog, old.record.id, overlap=timedelta(hours=1))
    assert new.record.id in caught.value.message("en")
    catalog.revoke_key(new.record.id)
    with pytest.raises(Conflict):
        rotate_key(catalog, new.record.id, overlap=timedelta(hours=1))
    past = make_key(any_store, expires=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(Conflict):
        rotate_key(catalog, past.record.id, overlap=timedelta(hours=1))
    assert len(catalog.keys()) == 3


def test_of_two_processes_that_rotate_at_once_one_wins(
    open_any: Callable[[], Store], workspace_dir: Path, any_database: str | None
) -> None:
    store = open_any()
    old = make_key(store)
    code = OPEN + (
        "    from datetime import timedelta\n"
        "    from feilun.billing.keys import rotate_key\n"
        "    from feilun.errors import Conflict\n"
        "    try:\n"
        "        rotate_key(store.catalog, sys.argv[3], overlap=timedelta(hours=1))\n"
        "        print('won')\n"
        "    except Conflict:\n"
        "        print('lost')\n"
        "    store.close()"
    )
    said = finish([start(code, workspace_dir, any_database or "", old.record.id) for _ in range(3)])
    assert sorted(said) == ["lost\n", "lost\n", "won\n"]
    assert len(store.catalog.keys()) == 2
    assert store.catalog.verify_audit().broken is None


def test_a_revocation_is_seen_by_who_looks_again(any_store: Store) -> None:
    key = make_key(any_store)
    keys = ring(any_store)
    assert keys.look_again() is False
    assert keys.valid(key.record.id)
    any_store.catalog.revoke_key(key.record.id)
    assert keys.valid(key.record.id)  # the ring has not looked yet
    assert keys.look_again() is True
    assert not keys.valid(key.record.id)
    assert not keys.valid("key_nobody")
    first = any_store.catalog.keys()[0].revoked
    any_store.catalog.revoke_key(key.record.id)
    assert any_store.catalog.keys()[0].revoked == first


def test_a_ring_is_never_newer_by_its_epoch_than_by_its_keys(
    lite: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one thread reads the keys, another that looks again must not take the new epoch for
    new keys."""
    keys = ring(lite)
    key = make_key(lite)
    seen: list[bool] = []
    read = lite.catalog.keys

    def slow() -> object:
        found = read()
        seen.append(keys._epoch == lite.catalog.epoch())
        return found

    monkeypatch.setattr(lite.catalog, "keys", slow)
    assert keys.look_again()
    assert seen == [False]
    assert keys.valid(key.record.id)


def test_the_comparison_does_not_depend_on_the_key(lite: Store) -> None:
    """What is compared is a hash that nobody can steer, looked up whole: no byte of a key is
    compared with a byte of a guess."""
    key = make_key(lite)
    keys = ring(lite)
    assert all(len(kept) == 32 for kept in keys._keys)
    near = key.secret[:-1] + ("A" if key.secret[-1] != "A" else "B")
    with pytest.raises(Unauthorized):
        keys.find(near.encode())
    source = Path(module.__file__).read_text()
    assert "==" not in source.partition("def find")[2].partition("def _new_secret")[0]


class TestAttempts:
    def test_a_burst_then_one_every_two_seconds(self) -> None:
        attempts = Attempts(burst=3, per_second=0.5)
        for _ in range(3):
            assert attempts.wait("192.0.2.1", 0.0) == 0
            attempts.failed("192.0.2.1", 0.0)
        assert attempts.wait("192.0.2.1", 0.0) == pytest.approx(2)
        assert attempts.wait("192.0.2.1", 1.5) == pytest.approx(0.5)
        assert attempts.wait("192.0.2.1", 2.0) == 0
        assert attempts.wait("192.0.2.2", 0.0) == 0

    def test_waiting_never_grows_with_further_failures(self) -> None:
        attempts = Attempts(burst=3, per_second=0.5)
        for _ in range(1000):
            attempts.failed("192.0.2.1", 0.0)
        assert attempts.wait("192.0.2.1", 0.0) == pytest.approx(2)

    def test_one_household_of_ipv6_is_one_address(self) -> None:
        attempts = Attempts(burst=1, per_second=0.5)
        attempts.failed("2001:db8:1:2::1", 0.0)
        assert attempts.wait("2001:db8:1:2:ffff::9", 0.0) > 0
        assert attempts.wait("2001:db8:1:3::1", 0.0) == 0
        attempts.failed("::ffff:192.0.2.7", 0.0)
        assert attempts.wait("192.0.2.7", 0.0) > 0

    def test_memory_is_bounded(self) -> None:
        attempts = Attempts(most=100)
        for index in range(10_000):
            attempts.failed(f"10.0.{index // 256}.{index % 256}", 0.0)
        attempts.failed("x" * 1_000_000, 0.0)
        assert len(attempts) == 100
        assert sys.getsizeof(max(attempts._standing, key=len)) < 200


class TestCommands:
    def test_create_with_everything(
        self, workspace_dir: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code = run(
            [
                *("keys", "create", "Ada", "--workspace", str(workspace_dir)),
                *("--scope", "predict", "--scope", "admin", "--rate", "2.5", "--burst", "10"),
                *("--concurrency", "4", "--monthly-inputs", "1000"),
                *("--monthly-budget", "12.50", "--warn-at", "10", "--days", "7"),
            ]
        )
        assert code == 0
        secret = next(line for line in capsys.readouterr().out.split() if line.startswith("fl_"))
        with Workspace(workspace_dir) as workspace:
            (key,) = workspace.store.catalog.keys()
            assert ring(workspace.store).find(secret.encode()).id == key.id
        assert key.scopes == ("predict", "admin")
        assert key.limits == {
            "rate": 2.5,
            "burst": 10,
            "concurrency": 4,
            "monthly_inputs": 1000,
            "monthly_budget": "12.50",
            "warn_at": "10",
        }
        assert key.expires is not None

    @pytest.mark.parametrize(
        "wrong",
        [
            ["--rate", "0"],
            ["--burst", "5"],
            ["--monthly-budget", "1.2345678"],
            ["--monthly-budget", "a lot"],
            ["--scope", "root"],
            ["--monthly-budget", "1", "--warn-at", "2"],
        ],
    )
    def test_limits_that_cannot_be_leave_nothing(
        self, workspace_dir: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["keys", "create", "Ada", "--workspace", str(workspace_dir), *wrong]) == 2
        assert "Traceback" not in capsys.readouterr().err
        with Workspace(workspace_dir) as workspace:
            assert workspace.store.catalog.keys() == []
            assert workspace.store.catalog.customers() == []

    def test_rotate_list_and_revoke(
        self, workspace_dir: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = ["--workspace", str(workspace_dir)]
        with Workspace(workspace_dir) as workspace:
            first = workspace.create_key("Ada")
        assert run(["keys", "rotate", first.prefix, "--overlap", "0", *folder]) == 0
        out = capsys.readouterr().out
        secret = next(word for word in out.split() if word.startswith("fl_") and len(word) > 40)
        with Workspace(workspace_dir) as workspace:
            keys = ring(workspace.store)
            new = keys.find(secret.encode())
            with pytest.raises(Unauthorized):
                keys.find(first.secret.encode())
        assert run(["keys", "list", *folder]) == 0
        assert "expired" in capsys.readouterr().out
        assert run(["keys", "revoke", new.prefix, *folder]) == 0
        assert run(["keys", "rotate", new.prefix, *folder]) == 2
        assert run(["audit", "verify", *folder]) == 0
        assert run(["audit", "list", "--action", "key", *folder]) == 0
        shown = capsys.readouterr().out
        assert all(word in shown for word in ("key.create", "key.rotate", "key.revoke"))
        assert secret not in shown
        assert run(["audit", "head", *folder]) == 0
        head = capsys.readouterr().out.strip()
        assert run(["audit", "verify", "--head", head, *folder]) == 0
        assert run(["audit", "verify", "--head", "7:abc", *folder]) == 2
        later = f"{int(head.split(':')[0]) + 5}:{head.split(':')[1]}"
        assert run(["audit", "verify", "--head", later, *folder]) == 3

    @pytest.mark.parametrize(
        ("text", "seconds"), [("0", 0), ("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800)]
    )
    def test_durations(self, text: str, seconds: int) -> None:
        assert duration("--overlap", text) == timedelta(seconds=seconds)

    @pytest.mark.parametrize("text", ["", "1", "-1h", "1.5h", "h", "1w", "99999d", "１h"])
    def test_what_is_no_duration(self, text: str) -> None:
        with pytest.raises(UsageError):
            duration("--overlap", text)
