"""Keys: shown once, found by hash, refused when unknown, expired or revoked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feilun.billing.keys import KeyRing, hash_key
from feilun.errors import NotFound, Unauthorized
from feilun.store import open_store
from feilun.store.store import Store
from helpers.serving import make_key


@pytest.fixture
def store(workspace_dir: Path) -> Iterator[Store]:
    with open_store(workspace_dir) as store:
        yield store


def ring(store: Store) -> KeyRing:
    made = KeyRing(store.catalog)
    made.reload()
    return made


def test_a_new_key_has_256_bits_and_only_its_hash_is_kept(store: Store) -> None:
    key = make_key(store, name="shop")
    assert key.secret.startswith("fl_")
    assert len(key.secret) == 3 + 43
    assert key.record.hash == hash_key(key.secret)
    assert key.record.prefix == key.secret[:10]
    database = (store.folder / "catalog.db").read_bytes()
    log = store.folder / "catalog.db-wal"
    database += log.read_bytes() if log.exists() else b""
    assert key.secret.encode() not in database
    assert key.secret[3:].encode() not in database


def test_the_ring_finds_a_key(store: Store) -> None:
    key = make_key(store)
    assert ring(store).find(key.secret.encode()) == key.record


@pytest.mark.parametrize("secret", [b"fl_wrong", b"\xff\xfe", b"fl_", b"x" * 10_000])
def test_a_wrong_key_is_refused(store: Store, secret: bytes) -> None:
    make_key(store)
    with pytest.raises(Unauthorized) as caught:
        ring(store).find(secret)
    assert caught.value.code == "billing.wrong_key"


def test_no_key_is_told_apart(store: Store) -> None:
    with pytest.raises(Unauthorized) as caught:
        ring(store).find(b"")
    assert caught.value.code == "billing.no_key"


def test_an_expired_key_is_refused_from_its_moment_on(store: Store) -> None:
    moment = datetime.now(UTC) + timedelta(hours=1)
    key = make_key(store, expires=moment)
    keys = ring(store)
    assert keys.find(key.secret.encode(), moment - timedelta(seconds=1)) == key.record
    with pytest.raises(Unauthorized) as caught:
        keys.find(key.secret.encode(), moment)
    assert caught.value.code == "billing.key_expired"
    assert key.secret[10:] not in str(caught.value)


def test_a_revoked_key_is_refused_after_a_reload(store: Store) -> None:
    key = make_key(store)
    keys = ring(store)
    store.catalog.revoke_key(key.record.id)
    keys.reload()
    with pytest.raises(Unauthorized) as caught:
        keys.find(key.secret.encode())
    assert caught.value.code == "billing.key_revoked"


def test_what_was_read_before_does_not_take_keys_off_again(store: Store) -> None:
    keys = ring(store)
    before = keys.read()
    key = make_key(store)
    assert keys.behind()
    keys.reload()
    keys.show(before)
    assert keys.knows(key.secret.encode())
    assert not keys.behind()


def test_a_key_made_a_moment_ago_is_found_by_looking_again(store: Store) -> None:
    keys = ring(store)
    key = make_key(store)
    assert not keys.knows(key.secret.encode())
    keys.look_again()
    assert keys.knows(key.secret.encode())


def test_a_key_for_an_unknown_project_is_refused(store: Store) -> None:
    with pytest.raises(NotFound):
        make_key(store, project="nowhere")
