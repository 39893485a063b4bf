"""Where a call's time goes: the histograms of ``/metrics``, read before and after a run, and the
processor time of the event loop's thread beside that of all others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import httpx
from benchmarks.serving.driving import Target, drive
from prometheus_client.parser import text_string_to_metric_families

__all__ = ["Accounts", "accounts"]


@dataclass(frozen=True, slots=True)
class Accounts:
    """Of one run, in microseconds a call: `stages` are wall time and add up to the call's,
    `loop_us` and `others_us` processor time of the event loop and of every other thread."""

    clients: int
    calls: int
    stages: dict[str, float]
    loop_us: float
    others_us: float


def accounts(target: Target, clients: int, seconds: float, bodies: Path) -> Accounts:
    """Load with so many clients, accounted for."""
    drive(target, clients, 1, bodies)
    stages, threads = _read(target), _threads(target)
    calls = int(drive(target, clients, seconds, bodies)["calls"])
    later, busy = _read(target), _threads(target)
    answered = max(1.0, later["write"][1] - stages.get("write", (0.0, 0.0))[1])
    spent = {
        stage: (total - stages.get(stage, (0.0, 0.0))[0]) / answered * 1e6
        for stage, (total, _) in later.items()
    }
    # The first thread of the process runs the event loop.
    loop = busy[target.process.pid] - threads[target.process.pid]
    rest = sum(busy.values()) - sum(threads.get(thread, 0.0) for thread in busy) - loop
    return Accounts(clients, calls, spent, loop / answered * 1e6, rest / answered * 1e6)


def _read(target: Target) -> dict[str, tuple[float, float]]:
    """Seconds and calls so far, by stage, in the order of a call."""
    text = httpx.get(f"{target.address}/metrics", trust_env=False, timeout=30).text
    found: dict[str, list[float]] = {}
    for family in text_string_to_metric_families(text):
        if family.name == "feilun_stage_seconds":
            for sample in family.samples:
                kind = sample.name.rpartition("_")[2]
                if kind in ("sum", "count"):
                    sums = found.setdefault(sample.labels["stage"], [0.0, 0.0])
                    sums[kind == "count"] = sample.value
    return {stage: (sums[0], sums[1]) for stage, sums in found.items()}


def _threads(target: Target) -> dict[int, float]:
    """Seconds of processor time by thread."""
    return {one.id: one.user_time + one.system_time for one in target.process.threads()}
