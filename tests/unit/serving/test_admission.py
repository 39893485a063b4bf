"""What is let in: by expected waiting time, by customer, by bytes; the cache of answers; sizes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from feilun.errors import InvalidData, Overloaded, UsageError
from feilun.serving.admission import Admission, Gate
from feilun.serving.cache import AnswerCache
from feilun.serving.caller import Caller, Disconnected, caller
from feilun.serving.models import Models
from feilun.serving.served import Served
from feilun.serving.sizes import parse_size
from feilun.store.store import Store
from helpers.serving import add_version, make_workspace


def known(pace: float, lanes: int = 1, progress: Callable[[], int] = lambda: 0) -> Admission:
    """One that has learned its pace from a call, and is idle."""
    admission = Admission(Gate(1 << 30), progress)
    admission.lanes = lanes
    admission.enter("", 1, None)
    admission.leave("", 1, pace * lanes)
    return admission


def test_a_call_that_would_wait_too_long_is_refused_with_the_time_to_come_again() -> None:
    admission = known(0.01)
    for _ in range(500):
        admission.enter("one", 1, 10)
    admission.enter("one", 1, 10)  # about 5 seconds
    with pytest.raises(Overloaded) as refused:
        admission.enter("one", 1, 2)
    assert refused.value.status == 503
    assert 3 < refused.value.params["retry_after"] < 5
    assert admission.refused == 1
    assert admission.outstanding == 501


def test_one_customers_flood_does_not_refuse_the_others() -> None:
    admission = known(0.01)
    refused = 0
    for _ in range(2000):
        try:
            admission.enter("flood", 1, 5)
        except Overloaded:
            refused += 1
    assert refused > 1000
    for _ in range(20):
        admission.enter("small", 1, 5)
    with pytest.raises(Overloaded):
        admission.enter("flood", 1, 5)


def test_without_a_queue_everything_is_let_in_even_after_a_bad_moment() -> None:
    admission = known(30.0)
    admission.enter("one", 512, 1)
    admission.leave("one", 512, 1.0)
    assert admission.pace < 30
    assert admission.outstanding == 0


def test_the_pace_is_measured_under_load(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = done = 0
    monkeypatch.setattr("feilun.serving.admission.monotonic", lambda: moment / 1000)
    admission = known(0.001, progress=lambda: done)
    for _ in range(200):
        admission.enter("one", 1, None)
    for _ in range(150):  # each answer takes 20 ms of the wall, though the engine says 1 ms
        moment += 20
        done += 1
        admission.leave("one", 1, 0.001)
        admission.enter("one", 1, None)
    assert admission.pace == pytest.approx(0.02, rel=0.1)
    for _ in range(200):
        admission.leave("one", 1, 0.001)
    for _ in range(300):  # without load it is forgotten by and by
        admission.enter("one", 1, None)
        admission.leave("one", 1, 0.001)
    assert admission.pace < 0.002


def test_the_pace_is_known_before_a_large_call_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """By calls that left, an engine with one large call and a few small ones seemed to stand
    still, and whoever came was refused."""
    moment = done = 0
    monkeypatch.setattr("feilun.serving.admission.monotonic", lambda: moment / 1000)
    admission = known(0.02, progress=lambda: done)  # of inputs alone
    admission.enter("one", 512, 10)
    with pytest.raises(Overloaded):
        admission.enter("one", 1, 10)
    for _ in range(20):
        moment, done = moment + 20, done + 8
        admission.enter("one", 1, None)
        admission.leave("one", 1, 0.02)
    assert admission.pace == pytest.approx(0.0025, rel=0.1)
    admission.enter("one", 1, 10)


def test_a_late_loop_counts() -> None:
    admission = known(0.001)
    admission.enter("one", 1, 1)
    admission.enter("one", 1, 1)
    admission._gate.lag = 5.0
    with pytest.raises(Overloaded):
        admission.enter("one", 1, 1)


def test_bodies_under_way_have_a_bound_and_one_alone_passes() -> None:
    gate = Gate(1_000_000)
    first = gate.enter(5_000_000)
    with pytest.raises(Overloaded) as refused:
        gate.enter(10)
    assert refused.value.code == "serving.bodies_full"
    gate.leave(first)
    held = [gate.enter(0) for _ in range(61)]
    with pytest.raises(Overloaded):
        gate.enter(0)
    for one in held:
        gate.leave(one)
    assert (gate.bytes, gate.inside) == (0, 0)


def test_a_server_that_stops_lets_nobody_in() -> None:
    gate = Gate()
    assert gate.most_bytes >= 256 << 20
    gate.draining = True
    with pytest.raises(Overloaded) as refused:
        gate.enter(1)
    assert refused.value.code == "serving.stopping"


def test_a_caller_may_ask_for_less_time_not_for_more() -> None:
    assert Caller().seconds(10) == 10
    assert Caller(b"2.5").seconds(10) == 2.5
    assert Caller(b"60").seconds(10) == 10
    assert Caller(b"60", patient=True).seconds(10) is None
    for wrong in (b"soon", b"0", b"-1", b"nan", b"inf", "二".encode()):
        with pytest.raises(InvalidData) as caught:
            Caller(wrong).seconds(10)
        assert caught.value.params["param"] == "x-request-timeout"


def test_the_cache_is_bounded_and_keeps_what_was_asked_for_last() -> None:
    cache = AnswerCache(100_000)
    output = {"label": "good", "score": 0.5, "scores": {"good": 0.5, "bad": 0.5}}
    keys = cache.keys([f"text {n}" for n in range(1000)], all_scores=False)
    for number, key in enumerate(keys):
        assert cache.get(key) is None
        cache.put(key, output, number)
        cache.get(keys[0])
    assert cache.bytes <= 100_000
    assert cache.get(keys[0]) == (output, 0)
    assert cache.get(keys[-1]) == (output, 999)
    assert cache.get(keys[5]) is None
    assert cache.keys(["a"], False) != cache.keys(["a"], True)
    assert cache.keys([{"a": 1, "b": 2}], False) == cache.keys([{"b": 2, "a": 1}], False)
    small = AnswerCache(50)
    small.put(keys[0], output, 1)
    assert small.bytes == 0


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4 * 10**9), ("4 GiB", 4 << 30), ("1.5g", 1_500_000_000), ("123", 123), ("8kib", 8192)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1", "0", "4 XB", "nan"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert caught.value.code == "serving.bad_size"


@pytest.fixture
def store(workspace_dir: Path) -> Iterator[Store]:
    with make_workspace(workspace_dir) as store:
        yield store


def with_models(store: Store, work: Any, **options: Any) -> None:
    async def main() -> None:
        models = Models(store.catalog, store.artifacts, **options)
        await models.refresh()
        try:
            await work(models)
        finally:
            await models.close()

    asyncio.run(main())


def config(**serving: Any) -> dict[str, Any]:
    return {"project": {"serving": serving}}


def test_a_repeated_input_is_answered_from_memory_and_counted_all_the_same(store: Store) -> None:
    store.catalog.set_live("reviews", add_version(store, config=config(cache_mb=1)).id)

    async def work(models: Models) -> None:
        _, served = models.find("reviews")
        assert served.cache is not None
        first, usage = await served.answer(["great", "broken", "great"])
        again, repeated = await served.answer(["great", "broken", "great"])
        assert again == first
        assert (usage.inputs, repeated.inputs) == (3, 3)
        assert repeated.engine_seconds == 0
        assert served.cache.hits == 3
        mixed, _ = await served.answer(["broken", "new text", "great"])
        assert [mixed[0], mixed[2]] == [first[1], first[0]]

    with_models(store, work)


def test_without_the_setting_nothing_is_remembered(store: Store) -> None:
    async def work(models: Models) -> None:
        assert models.find("reviews")[1].cache is None

    with_models(store, work)


def endpoints(store: Store, count: int) -> list[str]:
    """So many endpoints, the project of the fixture not among them, with a version each."""
    store.catalog.end_deployment(store.catalog.active()[0].id)
    names = [f"shop{n}" for n in range(count)]
    for name in names:
        store.catalog.add_project(name, "text-classification")
        store.catalog.set_live(name, add_version(store, name).id)
    return names


def size_of(store: Store, name: str) -> int:
    ref = store.catalog.active(name)[0].artifact
    return sum(file.stat().st_size for file in store.artifacts.path(ref).iterdir())


def test_within_a_budget_the_least_recently_called_leaves(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feilun.serving.residents._resident", lambda: 0)  # by the files alone
    names = endpoints(store, 3)
    budget = size_of(store, "shop0") * 5 // 2

    async def work(models: Models) -> None:
        assert models.ready
        served = {name: models.find(name)[1] for name in names}
        assert [one.engine is not None for one in served.values()] == [False, True, True]
        for name in names:
            await served[name].answer(["great"])
        assert [one.engine is not None for one in served.values()] == [False, True, True]
        await served["shop1"].answer(["great"])
        await served["shop0"].answer(["great"])
        assert served["shop2"].engine is None
        assert models.residents.used <= budget
        assert models.ready

    with_models(store, work, memory=budget)


def test_many_calls_to_more_models_than_fit_all_get_answers(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feilun.serving.residents._resident", lambda: 0)
    names = endpoints(store, 4)
    budget = size_of(store, "shop0") * 5 // 2

    async def work(models: Models) -> None:
        async def call(name: str) -> str:
            _, served = models.find(name)
            with served.enter():
                outputs, _ = await served.answer(["great"])
            return str(outputs[0]["label"])

        found = await asyncio.gather(*(call(names[n % 4]) for n in range(200)))
        assert found == ["good"] * 200
        assert models.residents.used <= budget
        assert models.residents.unloads > 2

    with_models(store, work, memory=budget)


def test_one_that_is_being_called_never_leaves(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feilun.serving.residents._resident", lambda: 0)
    monkeypatch.setattr("feilun.serving.residents._PATIENCE", 0.1)
    one, two = endpoints(store, 2)

    async def work(models: Models) -> None:
        first, second = models.find(one)[1], models.find(two)[1]
        await first.answer(["great"])
        first.busy += 1
        engine = first.engine
        with pytest.raises(Overloaded) as refused:
            await second.answer(["great"])
        assert refused.value.code == "serving.no_room"
        assert first.engine is engine
        first.busy -= 1
        await second.answer(["great"])
        assert first.engine is None

    with_models(store, work, memory=size_of(store, one) * 3 // 2)


def test_how_fast_a_model_is_is_known_before_the_first_call(store: Store) -> None:
    async def work(models: Models) -> None:
        pace = models.find("reviews")[1].admission.pace
        assert 0 < pace < 0.1

    with_models(store, work)


def test_explanations_stand_in_the_queue_with_all_that_they_ask(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(models: Models) -> None:
        _, served = models.find("reviews")
        outputs, _ = await served.answer(["great love"])
        served.admission.enter("", 10**8, None)
        caller.set(Caller())
        found, _ = await served.explain(["great love"], outputs)  # exact, without a question
        assert found[0] is not None
        monkeypatch.setattr("feilun.engines.explain._exactly", lambda *_: None)
        with pytest.raises(Overloaded) as refused:
            await served.explain(["great love"], outputs)
        assert refused.value.code == "serving.overloaded"
        served.admission.leave("", 10**8)
        found, _ = await served.explain(["great love"], outputs)
        assert found[0] is not None
        assert served.admission.outstanding == 0
        who = Caller()
        who.gone = True
        caller.set(who)
        with pytest.raises(Disconnected):
            await served.explain(["great love"], outputs)

    with_models(store, work)


def test_one_request_has_one_deadline_however_often_it_asks() -> None:
    who = Caller(b"5")
    first = who.deadline(10)
    assert first is not None
    assert who.deadline(10) == first
    assert Caller(patient=True).deadline(10) is None


def test_a_pause_is_no_engine_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of many inputs once a minute made every other call seem to take a minute."""
    moment = done = 0
    monkeypatch.setattr("feilun.serving.admission.monotonic", lambda: moment / 1000)
    admission = known(0.001, progress=lambda: done)
    for _ in range(5):
        admission.enter("one", 64, 10)
        moment, done = moment + 300, done + 64
        admission.leave("one", 64, 0.3)
        moment += 60_000
    assert admission.pace == pytest.approx(0.3 / 64, rel=0.1)


def test_a_caller_who_hangs_up_is_not_waited_for(store: Store) -> None:
    async def work(models: Models) -> None:
        _, served = models.find("reviews")
        who = Caller()
        caller.set(who)
        who.gone = True
        with pytest.raises(Disconnected):
            await served.answer(["great"])
        assert served.admission.outstanding == 0

    with_models(store, work)


def hang_once(served: Served) -> list[int]:
    """Its engine hangs for ever; the one that replaces it answers."""
    assert served.engine is not None
    opened = []

    async def hangs(request: Any) -> Any:
        opened.append(1)
        await asyncio.sleep(3600)
        yield None

    served.engine.submit = hangs  # type: ignore[method-assign, assignment]
    return opened


def test_a_call_on_an_engine_that_is_replaced_is_tried_once_more(store: Store) -> None:
    async def work(models: Models) -> None:
        _, served = models.find("reviews")
        asked = hang_once(served)
        calls = [asyncio.create_task(served.answer(["great"])) for _ in range(5)]
        await asyncio.sleep(0.05)
        assert len(asked) == 5
        models.residents.abandon(served)
        served.interrupt_all()
        found = await asyncio.wait_for(asyncio.gather(*calls), 5)
        assert [outputs[0]["label"] for outputs, _ in found] == ["good"] * 5

    with_models(store, work)


def test_a_call_is_given_up_at_its_callers_time(store: Store) -> None:
    async def work(models: Models) -> None:
        _, served = models.find("reviews")
        hang_once(served)
        caller.set(Caller(b"0.1"))
        with pytest.raises(Overloaded) as caught:
            await asyncio.wait_for(served.answer(["great"]), 5)
        assert caught.value.code == "engines.too_late"
        assert served.admission.outstanding == 0
        assert served.busy == 0

    with_models(store, work)


def test_the_watchdog_replaces_what_gets_nowhere(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.catalog.set_live("reviews", add_version(store, config=config(hang_seconds=1)).id)

    async def work(models: Models) -> None:
        _, served = models.find("reviews")
        hang_once(served)
        call = asyncio.create_task(served.answer(["great"]))
        await asyncio.sleep(0.02)
        models.watch()
        models.watch()
        await asyncio.sleep(0.02)
        assert not call.done()  # half a second has passed in looks: it may be a long batch
        models.watch()
        outputs, _ = await asyncio.wait_for(call, 5)
        assert outputs[0]["label"] == "good"
        for _ in range(10):  # nothing is under way: nothing hangs
            models.watch()
        assert models._watchdog.replaced == 1

    with_models(store, work)
