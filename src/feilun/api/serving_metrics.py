"""What Prometheus may know of the engines: queues, refusals, memory, replacements, shadows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from feilun.api.labels import VERSION, named
from feilun.serving.models import Models

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["ServingCollector"]


class ServingCollector:
    """Reads the figures when they are asked for, so that no call pays for them."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is depends on what is deployed."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The figures of this moment."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        models = self._models
        waiting = GaugeMetricFamily(
            "feilun_under_way_inputs", "Inputs being answered or waiting.", labels=VERSION
        )
        pace = GaugeMetricFamily(
            "feilun_pace_seconds", "Seconds that an input takes under load.", labels=VERSION
        )
        loaded = GaugeMetricFamily(
            "feilun_model_bytes", "Memory that a loaded model takes.", labels=VERSION
        )
        refused = CounterMetricFamily(
            "feilun_refused", "Calls refused because they would wait too long.", labels=VERSION
        )
        for served in models.served():
            who = named(served.id)
            waiting.add_metric(who, served.admission.outstanding)
            pace.add_metric(who, served.admission.pace)
            refused.add_metric(who, served.admission.refused)
            if served.engine is not None:
                loaded.add_metric(who, models.residents.size(served))
        yield from (waiting, pace, loaded, refused)
        yield GaugeMetricFamily("feilun_body_bytes", "Bodies of requests.", models.gate.bytes)
        yield GaugeMetricFamily(
            "feilun_loop_lag_seconds", "How late the event loop is.", models.gate.lag
        )
        yield CounterMetricFamily(
            "feilun_engines_replaced", "Engines that hung and were replaced.", models.replaced
        )
        yield from self._shadows()

    def _shadows(self) -> Iterable[Metric]:
        from prometheus_client.core import CounterMetricFamily

        compared = CounterMetricFamily(
            "feilun_shadow_inputs",
            "Inputs that a shadow answered too, by whether its label was the live one.",
            labels=[*VERSION, "equal"],
        )
        dropped = CounterMetricFamily(
            "feilun_shadow_dropped", "Calls not shown to a shadow under load.", labels=VERSION
        )
        seconds = CounterMetricFamily(
            "feilun_shadow_engine_seconds",
            "Engine time of the compared inputs, the shadow's and the live version's.",
            labels=[*VERSION, "side"],
        )
        for shadow in self._models.shadows().values():
            who, counts = named(shadow.served.id), shadow.counts
            compared.add_metric([*who, "yes"], counts.inputs - counts.different)
            compared.add_metric([*who, "no"], counts.different)
            dropped.add_metric(who, counts.dropped)
            seconds.add_metric([*who, "shadow"], counts.seconds)
            seconds.add_metric([*who, "live"], counts.live_seconds)
        return (compared, dropped, seconds)
