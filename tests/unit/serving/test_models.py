"""Loaded versions: routes follow the catalog, old ones end in peace, broken ones stay out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from feilun.errors import CorruptArtifact, EnvironmentProblem, NotFound, UsageError
from feilun.serving.internal import check_token, make_token
from feilun.serving.models import Models
from feilun.serving.ports import bind, url_of
from feilun.store.store import Store
from helpers.serving import add_version, make_workspace


@pytest.fixture
def store(workspace_dir: Path) -> Iterator[Store]:
    with make_workspace(workspace_dir) as store:
        yield store


@asynccontextmanager
async def loaded(store: Store) -> AsyncIterator[Models]:
    models = Models(store.catalog, store.artifacts)
    await models.refresh()
    try:
        yield models
    finally:
        await models.close()


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def spoil(store: Store, version: str) -> None:
    """Changes the weights of a version on disk, as a tamperer would."""
    ref = store.catalog.model_version(version).artifact()
    assert ref is not None
    file = store.artifacts.path(ref) / "weights.safetensors"  # and it was sound just before
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.chmod(0o600)
    file.write_bytes(raw)


def test_the_live_version_answers_by_endpoint_by_name_and_alone(store: Store) -> None:
    async def work() -> None:
        async with loaded(store) as models:
            assert models.ready
            for name in ("reviews", "reviews@1", None):
                endpoint, served = models.find(name)
                assert (endpoint, served.id) == ("reviews", "reviews@1")
            with served.enter():
                outputs, usage = await served.answer(["great", "broken"])
            assert [output["label"] for output in outputs] == ["good", "bad"]
            assert usage.inputs == 2

    run(work())


def test_unknown_models_are_told_the_options(store: Store) -> None:
    async def work() -> None:
        async with loaded(store) as models:
            for name in ("other", "reviews@2", "", "reviews@"):
                with pytest.raises(NotFound) as caught:
                    models.find(name)
                assert "reviews@1" in caught.value.message()
            with pytest.raises(EnvironmentProblem):
                models.find("reviews", project="other")

    run(work())


def test_with_several_endpoints_a_call_names_one(store: Store) -> None:
    store.catalog.add_project("mails", "text-classification")
    store.catalog.set_live("mails", add_version(store, "mails").id)

    async def work() -> None:
        async with loaded(store) as models:
            with pytest.raises(UsageError) as caught:
                models.find(None)
            assert caught.value.code == "serving.name_a_model"
            assert models.find(None, project="mails")[1].id == "mails@1"
            assert models.find("reviews")[1].id == "reviews@1"

    run(work())


def test_a_call_in_flight_ends_on_its_version(store: Store) -> None:
    async def work() -> None:
        async with loaded(store) as models:
            _, old = models.find("reviews")
            with old.enter():
                store.catalog.set_live("reviews", add_version(store, flipped=True).id)
                await models.refresh()
                assert models.find("reviews")[1].id == "reviews@2"
                outputs, _ = await old.answer(["great"])
                assert outputs[0]["label"] == "good"
            await asyncio.sleep(0.05)
            with pytest.raises(EnvironmentProblem):  # nobody is inside any more: it is closed
                await old.answer(["great"])

    run(work())


def test_a_version_that_cannot_be_loaded_leaves_the_old_one(store: Store) -> None:
    async def work() -> None:
        async with loaded(store) as models:
            broken = add_version(store, flipped=True).id
            spoil(store, broken)
            store.catalog.set_live("reviews", broken)
            await models.refresh()
            assert models.find("reviews")[1].id == "reviews@1"
            assert models.ready
            (failure,) = models.failures
            assert failure.version == broken
            assert isinstance(failure.error, CorruptArtifact)
            with pytest.raises(EnvironmentProblem) as caught:
                models.find(broken)  # it is there, and does not answer now
            assert caught.value.code == "serving.not_loaded"
            with pytest.raises(EnvironmentProblem) as caught:
                models.find(broken, "another")  # a key of another project is not told
            assert caught.value.code == "serving.nothing_live"
            store.catalog.set_live("reviews", "reviews@1")
            await models.refresh()
            assert models.failures == ()

    run(work())


def test_without_an_earlier_one_the_server_is_not_ready(store: Store) -> None:
    spoil(store, "reviews@1")

    async def work() -> None:
        async with loaded(store) as models:
            assert not models.ready
            assert models.failures[0].version == "reviews@1"
            with pytest.raises(EnvironmentProblem) as caught:
                models.find("reviews")
            assert caught.value.code == "serving.not_loaded"

    run(work())


def test_a_candidate_is_loaded_beside_and_leaves(store: Store) -> None:
    candidate = add_version(store, flipped=True).id

    async def work() -> None:
        async with loaded(store) as models:
            served = await models.candidate(candidate)
            assert models.find("reviews")[1].id == "reviews@1"
            with pytest.raises(NotFound):
                models.find(candidate)
            assert (await models.candidate(candidate)) is served
            await models.refresh()
            outputs, _ = await served.answer(["great"])
            assert outputs[0]["label"] == "bad"
            models.release(served)
            await asyncio.sleep(0.05)
            with pytest.raises(EnvironmentProblem):
                await served.answer(["great"])

    run(work())


def test_a_candidate_that_went_live_is_not_loaded_twice(store: Store) -> None:
    candidate = add_version(store, flipped=True).id

    async def work() -> None:
        async with loaded(store) as models:
            served = await models.candidate(candidate)
            store.catalog.set_live("reviews", candidate)
            await models.refresh()
            assert models.find("reviews")[1] is served
            models.release(served)
            assert models.find("reviews")[1] is served
            await served.answer(["great"])

    run(work())


def test_a_canary_gets_its_share(store: Store) -> None:
    canary = add_version(store, flipped=True).id
    store.catalog.deploy_beside("reviews", canary, role="canary", weight=0.25)
    store.catalog.deploy_beside("reviews", add_version(store).id, role="shadow", weight=1)

    async def work() -> None:
        async with loaded(store) as models:
            chosen = [models.find("reviews")[1].id for _ in range(2000)]
            assert set(chosen) == {"reviews@1", canary}
            assert 400 < chosen.count(canary) < 600

    run(work())


def test_an_item_that_cannot_be_answered_names_its_place(store: Store) -> None:
    async def work() -> None:
        async with loaded(store) as models:
            _, served = models.find("reviews")
            with pytest.raises(UsageError) as caught:
                served.check(["fine", {"text": "fine"}, None])
            assert caught.value.params["param"] == "inputs[2]"

    run(work())


def test_a_token_is_good_for_its_workspace_and_its_time() -> None:
    token = make_token("secret", now=1000)
    assert check_token("secret", token, now=1599)
    assert not check_token("secret", token, now=1601)
    assert not check_token("other", token, now=1000)
    late = token.replace("_1600_", "_9999999999_")
    for wrong in ("", "internal_", "internal_9_", late, token[:-1], token + "é", "internal_²_x"):
        assert not check_token("secret", wrong, now=1000)


def test_a_taken_port_is_told_with_its_process() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(EnvironmentProblem) as caught:
            bind("127.0.0.1", port)
    assert caught.value.code == "serving.port_taken"
    assert str(port) in caught.value.message()
    assert "process" in caught.value.message()


@pytest.mark.parametrize(("host", "port"), [("256.1.1.1", 0), ("192.0.2.1", 0), ("", 70_000)])
def test_an_address_that_is_not_ours(host: str, port: int) -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        bind(host, port)
    assert caught.value.code == "serving.cannot_bind"


def test_addresses_that_this_machine_reaches() -> None:
    assert url_of("0.0.0.0", 80) == "http://127.0.0.1:80"
    assert url_of("::", 80) == "http://[::1]:80"
    assert url_of("example.org", 80) == "http://example.org:80"
