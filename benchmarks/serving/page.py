"""The Markdown of the serving part: each target beside its figure, then the tables behind them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.serving.driving import DRIVER
from benchmarks.serving.overhead import CLIENTS, ENGINE, Overhead
from benchmarks.serving.peers import Peer, shown
from benchmarks.serving.rounds import BIG, IMAGE_CLIENTS, SIZES, SMALL_CLIENTS, Found
from benchmarks.serving.stages import Accounts

__all__ = ["Results", "as_json", "lines"]


@dataclass(frozen=True)
class Results:
    """All that one run found."""

    tokens: float
    rounds: int
    found: Found
    peers: Sequence[Peer] = ()
    overheads: Sequence[Overhead] = ()
    accounts: Sequence[Accounts] = ()

    def of(self, what: str, count: int, name: str = "per_second") -> float | None:
        """The median of the rounds; None where it was not measured."""
        rows = [row[name] for row in self.found.get((what, count), []) if name in row]
        return statistics.median(rows) if rows else None

    def ratio(self, what: str, base: str, count: int, name: str = "per_second") -> float | None:
        """The median of the rounds' ratios, which what drifts between rounds does not touch."""
        pairs = zip(
            self.found.get((what, count), []), self.found.get((base, count), []), strict=False
        )
        ratios = [mine[name] / theirs[name] for mine, theirs in pairs if theirs[name]]
        return statistics.median(ratios) if ratios else None

    def tail(self, what: str, count: int) -> float | None:
        """p99 divided by p50."""
        rows = [r["p99_ms"] / r["p50_ms"] for r in self.found.get((what, count), []) if r["p50_ms"]]
        return statistics.median(rows) if rows else None

    @property
    def clients(self) -> list[int]:
        return sorted(count for what, count in self.found if what == "feilun")


def lines(results: Results) -> Iterator[str]:
    """The part, line by line."""
    yield f"Texts of mean {results.tokens:.0f} tokens, load from {DRIVER} on the same machine;"
    yield f"medians of {results.rounds} rounds, ratios taken within a round."
    yield ""
    yield from _table(["target", "wanted", "found", ""], _targets(results))
    yield "Calls of one text; `limit` is the same variant in process with so many outstanding."
    yield ""
    heads = ["what", "clients", "calls/s", "of limit(N)", "of sorted", "p50 ms", "p99 ms"]
    yield from _table([*heads, "CPU µs/call", "failed"], _throughput(results))
    if results.peers:
        yield "Peers: the float model; the best of the settings that were tried at 64 clients."
        yield ""
        yield from _table(["peer", "setting", "feilun answers as many"], _peers(results))
    yield f"Calls of many texts, and {IMAGE_CLIENTS} clients with photographs of 640 × 480:"
    yield ""
    heads = ["a call", "clients", "a second", "in process", "ratio", "p50 ms", "p99 ms"]
    yield from _table([*heads, "failed"], _sizes(results))
    yield f"{SMALL_CLIENTS} clients with one text a call, while another sends {BIG} a call:"
    yield ""
    yield from _table(["", "calls/s", "p50 ms", "p99 ms", "failed"], _beside(results))
    if results.overheads:
        pairs = results.overheads[0].pairs
        yield f"Calls a second lost, {CLIENTS} clients, {pairs} interleaved pairs each:"
        yield ""
        yield from _table(["against", "median", "95 % interval"], _overheads(results))
    if results.accounts:
        yield "A call's time in microseconds: wall time by stage, processor time by thread."
        yield ""
        yield from _accounts(results)


def as_json(results: Results) -> dict[str, Any]:
    """For whoever wants to compute with it."""
    return {
        "tokens": results.tokens,
        "rounds": [
            {"what": what, "count": count, "rows": rows}
            for (what, count), rows in results.found.items()
        ],
        "peers": [{"name": p.name, "setting": p.best, "out": p.out} for p in results.peers],
        "overheads": [asdict(one) for one in results.overheads],
        "accounts": [asdict(one) for one in results.accounts],
    }


def _targets(results: Results) -> Iterator[list[str]]:
    for clients in (64, 256):
        found = results.ratio("feilun", "limit", clients)
        for overhead in results.overheads:  # in finer turns than the rounds
            if (overhead.against, clients) == (ENGINE, CLIENTS):
                found = 1 - overhead.median
        yield _target(f"calls/s at {clients} clients, of limit({clients})", 0.80, found)
    ours = results.of("feilun", 64)
    for peer in results.peers:
        wanted = 10.0 if peer.name == "flask_torch" else 8.0
        best = max((results.of(peer.name, n) or 0.0 for n in results.clients), default=0.0)
        found = ours / best if ours and best else None
        note = peer.out or "×"
        yield _target(f"as many calls as {peer.title} at its best", wanted, found, note)
    alone, one = results.of("alone", 1, "ms"), results.of("feilun", 1, "p50_ms")
    yield _target("one client: p50 of the lone inference", 2.5, one and alone and one / alone, "≤")
    p99 = results.tail("feilun", 16)
    yield _target("16 clients: p99 of the p50", 4.0, p99, "≤")
    for overhead in results.overheads:
        if overhead.against == "null":
            yield _target("metering, keys and limits: upper bound", 0.05, overhead.high, "≤")
    for size in SIZES:
        found = results.ratio("sizes", "raw sizes", size, "per_second")
        yield _target(f"texts/s in calls of {size}, of the engine", 0.90, found)
    found = results.ratio("pictures", "raw pictures", IMAGE_CLIENTS)
    yield _target("pictures/s, of their engine", 0.80, found)
    small = results.of("small beside", 1, "p99_ms")
    big = results.of("big beside", BIG, "p50_ms")
    found = small / big if small and big else None
    yield _target(f"small calls' p99 of the p50 of a call of {BIG} beside them", 1.0, found, "≤")


def _target(what: str, wanted: float, found: float | None, note: str = "") -> list[str]:
    sign = "≤" if note == "≤" else "≥"
    if found is None:
        return [what, f"{sign} {wanted:g}", "–", "not measured" if note in ("", "≤", "×") else note]
    met = found <= wanted if sign == "≤" else found >= wanted
    return [what, f"{sign} {wanted:g}", f"{found:.2f}", "met" if met else "**missed**"]


def _throughput(results: Results) -> Iterator[list[str]]:
    best = results.of("sorted limit", 0)
    yield ["sorted limit", "", _number(best), "", "1.00", "", "", "", ""]
    for what in ("limit", "feilun", *(peer.name for peer in results.peers)):
        for clients in results.clients:
            rate = results.of(what, clients)
            if rate is None:
                continue
            ratio = results.ratio(what, "limit", clients)
            row = [what, str(clients), _number(rate), _number(ratio, 2)]
            row += [_number(rate / best if best else None, 2)]
            row += [_number(results.of(what, clients, name), 1) for name in ("p50_ms", "p99_ms")]
            row += [_number(results.of(what, clients, "cpu_us"))]
            yield [*row, _number(results.of(what, clients, "failed"))]


def _peers(results: Results) -> Iterator[list[str]]:
    for peer in results.peers:
        times = [
            f"× {ours / theirs:.1f} at {n}"
            for n in results.clients
            if (ours := results.of("feilun", n)) and (theirs := results.of(peer.name, n))
        ]
        yield [peer.title, peer.out or shown(peer.best), ", ".join(times) or "–"]


def _sizes(results: Results) -> Iterator[list[str]]:
    for size, clients in SIZES.items():
        yield _beside_raw(results, "sizes", "raw sizes", size, size, clients, f"{size} texts")
    name = "1 photograph"
    yield _beside_raw(results, "pictures", "raw pictures", IMAGE_CLIENTS, 1, IMAGE_CLIENTS, name)


def _beside_raw(
    results: Results, what: str, base: str, count: int, each: int, clients: int, name: str
) -> list[str]:
    rate, raw = results.of(what, count), results.of(base, count)
    row = [name, str(clients), _number(rate and rate * each), _number(raw and raw * each)]
    row += [_number(results.ratio(what, base, count), 2)]
    row += [_number(results.of(what, count, name), 1) for name in ("p50_ms", "p99_ms")]
    return [*row, _number(results.of(what, count, "failed"))]


def _beside(results: Results) -> Iterator[list[str]]:
    for what, count, title in (
        ("small alone", 1, "one text, nothing beside"),
        ("small beside", 1, f"one text, beside calls of {BIG}"),
        ("big beside", BIG, f"{BIG} texts, beside them"),
    ):
        names = ("per_second", "p50_ms", "p99_ms")
        row = [_number(results.of(what, count, name), 1) for name in names]
        yield [title, *row, _number(results.of(what, count, "failed"))]


def _overheads(results: Results) -> Iterator[list[str]]:
    told = {
        "null writer": "a ledger that writes nothing",
        "null": "no meter, no keys, no limits",
        "bare": "HTTP and the engine alone",
        ENGINE: "the engine in process",
    }
    for one in results.overheads:
        span = f"{100 * one.low:.1f} to {100 * one.high:.1f} %"
        yield [told[one.against], f"{100 * one.median:.1f} %", span]


def _accounts(results: Results) -> Iterator[str]:
    stages = list(results.accounts[0].stages)
    heads = ["clients", *stages, "together", "CPU: event loop", "CPU: other threads"]
    rows = []
    for one in results.accounts:
        values = [*(one.stages.get(stage, 0.0) for stage in stages), sum(one.stages.values())]
        values += [one.loop_us, one.others_us]
        rows.append([str(one.clients), *(f"{value:,.0f}" for value in values)])
    yield from _table(heads, rows)


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _table(heads: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""
