"""Whether the clients' journals and the ledger tell the same story, to the last micro-unit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feilun.money import Tariff
from feilun.store.ledger_records import Event
from feilun.store.store import Store
from torture.journal import read

__all__ = ["Seen", "Verdict", "judge", "seen"]

PROJECT = "reviews"

NAMED = 5
"""Examples that a fault is told with."""


@dataclass
class Seen:
    """What all clients together saw."""

    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    got: dict[str, str] = field(default_factory=dict)
    lost: dict[str, int | None] = field(default_factory=dict)
    say: dict[str, dict[str, Any]] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)
    again: int = 0
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


@dataclass
class Verdict:
    """Counts for people, and `faults`: what was found wrong, each with examples. Good without."""

    counts: dict[str, int]
    faults: dict[str, list[str]]

    def lines(self) -> list[str]:
        """The verdict, a line each."""
        told = [f"  {name}: {count:,}" for name, count in self.counts.items()]
        for name, examples in self.faults.items():
            told.append(f"  {name}: {len(examples):,}  <-- must be 0")
            told += [f"    {example}" for example in examples[:NAMED]]
        return told


def seen(journals: Iterable[Path]) -> Seen:
    """The journals read together."""
    found = Seen()
    for file in journals:
        for line in read(file):
            _note(found, line, file)
    return found


def _note(found: Seen, line: dict[str, Any], file: Path) -> None:
    if "ask" in line:
        found.asked[line["ask"]] = line
    elif "got" in line:
        name = line["got"]
        if found.got.setdefault(name, line["call"]) != line["call"]:
            found.faults["a retry got another answer"].append(name)
        if not line["whole"]:
            found.faults["an answer was not whole"].append(name)
    elif "again" in line:
        found.again += 1
        if not line["same"]:
            found.faults["a repeated call got another answer"].append(line["again"])
    elif "lost" in line:
        found.lost[line["lost"]] = line["status"]
    elif "say" in line:
        found.say[line["say"]] = line
    elif "refused" in line:
        found.faults["a good request was refused"].append(
            f"{line['refused']} {line['status']} {line['said']} ({file.name})"
        )
    elif "said" in line:
        found.said.add(line["said"])


def judge(store: Store, found: Seen, price: int, *, doubt: bool) -> Verdict:
    """Compares `found` with `store`'s ledger. `price` is micro-units for 1,000 inputs.

    `doubt`: the database was killed too, so that a call without a key may have been refused while
    its charge was being committed. Otherwise that is a fault.
    """
    faults = found.faults
    everything = list(store.ledger.events())
    events = [event for event in everything if event.project == PROJECT]
    asks = _asks(store)
    charges: dict[str, list[Event]] = defaultdict(list)
    units: Counter[str] = Counter()
    for event in events:
        if event.kind in ("charge", "settle"):
            charges[event.call_id].append(event)
        units[event.call_id] += event.units.get("inputs", 0)
    # Charges that were taken back, because their answer could not leave, are none.
    back = [call for call in charges if not units[call]]
    for call in back:
        del charges[call]
    calls: dict[str, list[str]] = defaultdict(list)
    for call in charges:
        name = asks.get(call)
        if name is None or name not in found.asked:
            faults["a charge that nobody asked for"].append(f"{call} {name}")
        else:
            calls[name].append(call)
    _billed_once(found, charges, calls)
    in_doubt = [name for name in calls if found.lost.get(name) is not None]
    if not doubt:
        faults["refused and charged all the same"] += in_doubt
    _amounts(events, price, faults)
    feedback = _feedback(store, found)
    _sums(store, everything, faults)
    verified = store.ledger.verify()
    faults["chains, sums or roots that do not verify"] += [one.text() for one in verified.faults]
    counts = {
        "calls asked": len(found.asked),
        "calls answered": len(found.got),
        "calls repeated with their key": found.again,
        "calls without a key": sum(not ask["key"] for ask in found.asked.values()),
        "of them charged, answer lost with the connection": sum(
            name in calls and found.lost[name] is None for name in found.lost
        ),
        "of them refused while the database was killed, and charged": len(in_doubt),
        "ledger events": len(everything),
        "links of chains verified": verified.links,
        "charges taken back": len(back),
        "micro-units charged": sum(event.amount for event in events),
        "feedback on record": feedback,
    }
    for name in ("unbilled", "billed twice", "feedback lost"):
        faults.setdefault(name, [])
    return Verdict(counts, dict(faults))


def _asks(store: Store) -> dict[str, str]:
    """Which call answered which ask: every input begins with the name of its ask."""
    found = {}
    for row in store.ledger.recent_predictions(PROJECT, limit=None, usable_only=False):
        name, _, place = str(row.input).partition(" ")[0].rpartition("/")
        assert int(place) == row.index
        found[row.prediction_id] = name
    return found


def _billed_once(
    found: Seen, charges: Mapping[str, list[Event]], calls: Mapping[str, list[str]]
) -> None:
    for name, call in found.got.items():
        billed = charges.get(call, [])
        units = sum(event.units.get("inputs", 0) for event in billed)
        if not billed or units < len(found.asked[name]["inputs"]):
            found.faults["unbilled"].append(f"{name} {call}")
    for name, its in calls.items():
        if len(its) > 1 or sum(len(charges[call]) for call in its) > 1:
            found.faults["billed twice"].append(f"{name} {its}")
        elif name in found.got and its != [found.got[name]]:
            found.faults["unbilled"].append(f"{name} {found.got[name]}, but {its} is charged")
    for name, ask in found.asked.items():
        if ask["key"] and name not in found.got:
            found.faults["never answered"].append(name)


def _amounts(events: Iterable[Event], price: int, faults: dict[str, list[str]]) -> None:
    """A customer's month costs what its volume costs, however its calls were cut."""
    volume: Counter[tuple[str, str]] = Counter()
    amount: Counter[tuple[str, str]] = Counter()
    for event in events:
        assert event.created is not None
        where = (str(event.customer), f"{event.created:%Y-%m}")
        volume[where] += event.units.get("inputs", 0)
        amount[where] += event.amount
    for where, units in volume.items():
        expected = Tariff.flat(price).total(units)
        if amount[where] != expected:
            told = f"{where}: {amount[where]} for {units} inputs, should be {expected}"
            faults["a month's amounts are not the price of its volume"].append(told)


def _feedback(store: Store, found: Seen) -> int:
    rows = [one.feedback for one in store.ledger.feedback(PROJECT, usable_only=False)]
    labels = {f"{row.prediction_id}/{row.index}": row.label for row in rows}
    for name in found.said:
        if labels.get(name) != found.say[name]["label"]:
            found.faults["feedback lost"].append(name)
    twice = store.ledger.counts(PROJECT)["feedback"] - len(rows)
    found.faults["feedback twice"] += [f"{twice} rows"] if twice else []
    found.faults["feedback that nobody gave"] += sorted(labels.keys() - found.say.keys())
    found.faults["feedback never taken"] += sorted(found.say.keys() - found.said)
    return len(rows)


def _sums(store: Store, events: Iterable[Event], faults: dict[str, list[str]]) -> None:
    """What usage is read from says the same as the rows."""
    rows: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for event in events:
        assert event.created is not None
        if event.kind in ("charge", "settle", "credit"):
            sums = rows[str(event.customer), f"{event.created:%Y-%m-%d}"]
            sums.update(event.units)
            sums.update({"amount": event.amount, "cost": event.cost, "events": 1})
    told: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in store.ledger.usage(by=("customer", "day")):
        sums = told[row.by["customer"], str(row.by["day"])]
        sums.update(row.units)
        sums.update({"amount": row.amount, "cost": row.cost, "events": row.events})
    for where in rows.keys() | told.keys():
        if +rows[where] != +told[where]:
            faults["roll-ups differ from rows"].append(f"{where}: {rows[where]} {told[where]}")
