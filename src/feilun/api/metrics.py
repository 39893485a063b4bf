"""What Prometheus may know: counts and times by model, route and outcome; never a key, a customer
or a text."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from feilun.api.labels import VERSION, named
from feilun.api.trace import STAGES, Trace

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)

_STAGE_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, *_SECONDS)


class Metrics:
    """The counters of one app, in a registry of their own."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        options: dict[str, Any] = {"registry": self.registry}
        self._requests: Counter = Counter(
            "feilun_requests", "Requests by route and status.", ["route", "status"], **options
        )
        self._seconds: Histogram = Histogram(
            "feilun_request_seconds",
            "Seconds from the first byte of a request to its answer.",
            ["route"],
            buckets=_SECONDS,
            **options,
        )
        self._calls: Counter = Counter(
            "feilun_calls",
            "Calls that are charged when answered, by what became of them: answered, refused, "
            "limited, failed, disconnected.",
            ["endpoint", *VERSION, "outcome"],
            **options,
        )
        self._inputs: Counter = Counter(
            "feilun_inputs", "Inputs answered, by model version.", VERSION, **options
        )
        self._tokens: Counter = Counter(
            "feilun_tokens", "Tokens read, by model version.", VERSION, **options
        )
        self._engine: Counter = Counter(
            "feilun_engine_seconds",
            "Seconds of engine time, by model version.",
            VERSION,
            **options,
        )
        self._abstained: Counter = Counter(
            "feilun_abstained", "Inputs left to a person, by model version.", VERSION, **options
        )
        self._stages: Histogram = Histogram(
            "feilun_stage_seconds",
            f"Seconds of an answered call by stage; together its time: {', '.join(STAGES)}.",
            ["stage"],
            buckets=_STAGE_SECONDS,
            **options,
        )
        self._running: Gauge = Gauge("feilun_running", "Requests being answered now.", **options)
        self._loaded: Gauge = Gauge(
            "feilun_model_info",
            "Model versions that answer now.",
            ["endpoint", *VERSION],
            **options,
        )
        # labels() costs as much as the rest of the bookkeeping; its children do not change.
        self._request_of = cache(lambda route, status: self._requests.labels(route, str(status)))
        self._seconds_of = cache(self._seconds.labels)
        self._model_of = cache(
            lambda model: (
                self._inputs.labels(*named(model)),
                self._tokens.labels(*named(model)),
                self._engine.labels(*named(model)),
            )
        )
        self._calls_of = cache(
            lambda endpoint, model, outcome: self._calls.labels(endpoint, *named(model), outcome)
        )
        self._stage_of = {stage: self._stages.labels(stage) for stage in STAGES}
        self.enter = self._running.inc
        self.leave = self._running.dec

    def request(self, route: str, status: int, seconds: float) -> None:
        """One answered request; `route` is a route's template, never what the caller sent."""
        self._request_of(route, status).inc()
        self._seconds_of(route).observe(seconds)

    def answered(self, model: str, inputs: int, tokens: int, engine_seconds: float) -> None:
        """One successful prediction of `model` (``reviews@3``)."""
        inputs_total, tokens_total, engine_total = self._model_of(model)
        inputs_total.inc(inputs)
        if tokens:
            tokens_total.inc(tokens)
        engine_total.inc(engine_seconds)

    def abstained(self, model: str, inputs: int) -> None:
        """How many inputs of one prediction `model` left to a person."""
        self._abstained.labels(*named(model)).inc(inputs)

    def call(self, trace: Trace, outcome: str) -> None:
        """One call that is charged when it is answered; the stages count where it was."""
        self._calls_of(trace.endpoint, trace.version, outcome).inc()
        if outcome == "answered":
            for stage, seconds in trace.seconds.items():
                self._stage_of[stage].observe(seconds)

    def models(self, loaded: dict[str, str]) -> None:
        """Which version answers at which endpoint now."""
        self._loaded.clear()
        for endpoint, model in loaded.items():
            self._loaded.labels(endpoint, *named(model)).set(1)

    def text(self) -> bytes:
        """The exposition format that Prometheus reads."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
