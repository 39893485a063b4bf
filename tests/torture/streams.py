"""Streams under torture: callers who read slowly, leave in the middle and come again; and whether
what they heard is what was charged, to the token.

Most streams are the parrot's, a fake of a language model of which every piece is a token; the
others a real one's of two layers, in a process of its own that is killed as well, and its tokens
are counted by their probabilities, which are asked for. A caller notes each piece as it comes. It
hears a stream to its end, or leaves after some pieces: politely, by closing its side and reading on
until the server has closed the other, so that it knows all that was delivered; or at once, with
whatever is still on its way. It asks with a key until one stream of that key is whole.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from feilun.money import Tariff
from feilun.store.ledger_records import Event
from feilun.store.store import Store
from helpers.gguf import WRITTEN
from helpers.toys import PARROT
from torture.journal import Journal, read

if TYPE_CHECKING:
    from torture.client import Order

__all__ = ["LONGEST", "MODELS", "PRICES", "Listener", "heard", "judge_streams"]

PRICES = {"tokens_in": 33_700, "tokens_out": 101_300}
"""Micro-units for 1,000 tokens."""
MODELS = (PARROT, WRITTEN)
LONGEST = 400
"""Tokens of an answer of the real model at most."""

_PASSING = (409, 429, 500, 503)
"""What trouble of the servers explains before a stream has begun: as for other calls, and 500 for
an engine that was ended under way."""
_TIMEOUT = 20.0
_BUFFERED = 256
"""Tokens that the machine of a caller who vanished may have taken unread: its 4 KiB, and what
Python reads ahead."""
_LONG = 1500
"""Tokens of a stream that fills every buffer between the server and who does not read it."""


@dataclass
class Listener:
    """One closed loop of streams; `number` and `place` as a `torture.client.Caller`'s."""

    order: Order
    number: int
    place: int
    _count: int = 0

    def run(self) -> None:
        """Until told to stop, then until nothing is open."""
        file = Path(self.order.folder) / f"stream-{self.number}-{self.place}.jsonl"
        self._draw = random.Random(f"{self.order.seed}-{self.number}-{self.place}-{time.time_ns()}")
        lines = read(file)
        self._count = sum("stream" in line for line in lines)
        whole = {line["whole"] for line in lines if "whole" in line}
        left = [one for one in lines if "stream" in one and one["key"]]
        self._journal = Journal(file)
        self._journal.write({"born": time.time()})
        for ask in (one for one in left if one["stream"] not in whole):
            self._ask(ask)
        stop = Path(self.order.folder) / "stop"
        while not stop.exists():
            self._next()
        self._journal.write({"end": True})
        self._journal.close()

    def _next(self) -> None:
        self._count += 1
        number = f"{self.number}-{self.place}-{self._count}"
        name = f"{self.order.who(self.number)}/{number}"
        model = WRITTEN if self._draw.random() < 0.25 else PARROT
        long = model == PARROT and self._draw.random() < 0.1
        size = _LONG if long else self._draw.randrange(5, 60)
        ask = {
            "stream": name,
            "model": model,
            "key": f"stream-{number}" if self._draw.random() < 0.8 else "",
            "say": "".join(self._draw.choices("abc 茶灯", k=2 * size)),
            "pause": 0 if long else self._draw.choice((0, 0.005, 0.02)),
        }
        self._journal.write(ask)
        self._ask(ask)

    def _ask(self, ask: dict[str, Any]) -> None:
        """Once without a key, else until it was heard whole; then now and then again."""
        kinds = ["whole"] * 4 + ["slow", "leave", "leave", "vanish"]
        while not self._heard(ask, self._draw.choice(kinds)):
            if not ask["key"]:
                return
            time.sleep(0.05)
        if ask["key"] and self._draw.random() < 0.1:
            self._heard(ask, "whole")

    def _heard(self, ask: dict[str, Any], kind: str) -> bool:
        """One attempt; whether the stream was whole. What was heard is noted piece by piece."""
        hearing = _Hearing(self._journal, self._draw, ask, kind)
        connection = self._connected(kind)
        try:
            answer = self._answer(connection, ask)
            if answer.status != 200:
                return self._refused(ask, answer)
            assert connection.sock is not None
            hearing.listen(answer, connection.sock)
        except (OSError, http.client.HTTPException, ValueError):
            pass
        finally:
            connection.close()
        hearing.note()
        return hearing.ended == "whole"

    def _refused(self, ask: dict[str, Any], answer: http.client.HTTPResponse) -> bool:
        said = answer.read(400).decode("utf-8", "replace")
        if answer.status not in _PASSING:
            told = {"refused": ask["stream"], "status": answer.status, "said": said}
            self._journal.write(told)
            time.sleep(1)
        return False

    def _connected(self, kind: str) -> http.client.HTTPConnection:
        place = urlsplit(self._draw.choice(self.order.addresses))
        connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=_TIMEOUT)
        if kind in ("slow", "vanish"):  # it holds next to nothing that was not read
            made = socket.socket()
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            made.settimeout(_TIMEOUT)
            try:
                made.connect((place.hostname, place.port))
            except OSError:
                made.close()
            else:
                connection.sock = made
        return connection

    def _answer(
        self, connection: http.client.HTTPConnection, ask: Mapping[str, Any]
    ) -> http.client.HTTPResponse:
        order = {"say": ask["say"], "pause": ask["pause"], "name": ask["stream"]}
        said = json.dumps(order, ensure_ascii=False)
        body = {
            "model": ask["model"],
            "stream": True,
            "messages": [{"role": "user", "content": said}],
        }
        if ask["model"] == WRITTEN:
            # Each answer is another: tokens are killed at random, not always the same.
            body |= {"logprobs": True, "temperature": 1.0}
        secret = self.order.secrets[self.order.who(self.number)]
        headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
        if ask["key"]:
            headers["idempotency-key"] = ask["key"]
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        return connection.getresponse()


@dataclass
class _Hearing:
    """One stream while it is heard, by who does it in this `kind` of way."""

    journal: Journal
    draw: random.Random
    ask: dict[str, Any]
    kind: str
    ended: str = "cut"
    _call: str = ""
    _again: bool = False
    _pieces: int = 0
    _said: str = ""
    _usage: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self._name = f"{self.ask['stream']}#{time.time_ns()}"
        leaves = self.kind in ("leave", "vanish")
        self._leaves = self.draw.randrange(1, 20) if leaves else None

    def listen(self, answer: http.client.HTTPResponse, sock: socket.socket) -> None:
        """Until the stream ends, or the caller has had enough."""
        self._again = answer.headers.get("idempotency-replayed") == "true"
        while line := answer.readline():
            if line.startswith(b"data: [DONE]"):
                self.ended = "whole"
                return
            if not line.startswith(b"data: "):
                continue
            told = json.loads(line[6:])
            if "error" in told:
                self.ended = f"error {told['error']['code']}"
                return
            self._take(told)
            if self._leaves is not None and self._pieces >= self._leaves:
                self._leaves = None
                if self.kind == "vanish":
                    self.ended = "vanished"
                    return
                self.ended = "left"
                sock.shutdown(socket.SHUT_WR)
            if self.kind == "slow" and self.draw.random() < 0.1:
                time.sleep(self.draw.uniform(0, 0.2))

    def _take(self, told: dict[str, Any]) -> None:
        self._call = told["id"]
        self._usage = told.get("usage") or self._usage
        for choice in told["choices"]:
            text = choice["delta"].get("content") or ""
            logprobs = choice["logprobs"]
            tokens = len(logprobs["content"]) if logprobs else bool(text)
            if tokens:
                self._pieces += 1
                self._said += text
                note = {"piece": self._name, "call": self._call, "again": self._again}
                self.journal.write(note | {"tokens": int(tokens)}, sync=False)

    def note(self) -> None:
        """Notes how it ended, where anything came, or where nothing is the whole answer."""
        if not self._pieces and self.ended != "whole":
            return
        note = {"ended": self._name, "how": self.ended, "call": self._call, "again": self._again}
        if self.ask["model"] == PARROT:
            say = self.ask["say"]
            whole = self.ended == "whole"
            note["same"] = self._said == say if whole else say.startswith(self._said)
        if self.ended == "whole":
            note |= {"usage": self._usage, "said": sha256(self._said.encode()).hexdigest()}
        self.journal.write(note)
        if self.ended == "whole":
            self.journal.write({"whole": self.ask["stream"]})


@dataclass
class Attempt:
    """What a caller heard of one stream: so many `tokens`, and how it `ended` ("" where the caller
    was killed itself)."""

    name: str
    call: str
    again: bool
    tokens: int = 0
    ended: str = ""


@dataclass
class Heard:
    """What all callers together heard."""

    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    said: dict[str, str] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def heard(journals: Iterable[Path]) -> Heard:
    """The journals of all listeners read together."""
    found = Heard()
    for file in journals:
        for line in read(file):
            if "stream" in line:
                found.asked[line["stream"]] = line
            elif "piece" in line:
                name = line["piece"].partition("#")[0]
                new = Attempt(name, line["call"], line["again"])
                found.attempts.setdefault(line["piece"], new).tokens += line["tokens"]
            elif "ended" in line:
                name = line["ended"].partition("#")[0]
                new = Attempt(name, line["call"], line["again"])
                attempt = found.attempts.setdefault(line["ended"], new)
                attempt.ended = line["how"]
                if not line.get("same", True):
                    found.faults["a stream said something else"].append(line["ended"])
                said = line.get("said")
                if said and found.said.setdefault(attempt.call, said) != said:
                    found.faults["a stream that was given again was another"].append(line["ended"])
                used = line.get("usage")
                if used and used["completion_tokens"] != attempt.tokens:
                    found.faults["usage of a final chunk is not what came"].append(line["ended"])
            elif "whole" in line:
                found.whole.add(line["whole"])
            elif "refused" in line:
                told = f"{line['refused']} {line['status']} {line['said']}"
                found.faults["a good stream was refused"].append(told)
    return found


def judge_streams(store: Store, found: Heard) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Counts, and faults: what was heard beside what the ledger holds of it."""
    faults = found.faults
    events = [event for event in store.ledger.events() if event.project in MODELS]
    calls: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        calls[event.call_id].append(event)
    counts: Counter[str] = Counter()
    for call, its in calls.items():
        kinds = [event.kind for event in its]
        if kinds[0] != "hold" or len(its) > 2:
            faults["a stream was not held once and ended once"].append(f"{call} {kinds}")
        elif len(its) == 2 and its[1].kind == "settle" and its[1].amount > its[0].amount:
            faults["charged more than was held"].append(call)
    ends = {call: its[-1] for call, its in calls.items() if its[-1].kind == "settle"}
    first = {one.call: one for one in found.attempts.values() if not one.again}
    names = _names(store)
    paid = Counter(names[call] for call, end in ends.items() if end.outcome == "ok")
    for attempt in found.attempts.values():
        counts[f"streams that ended {attempt.ended or 'with their caller'}"] += 1
        if attempt.ended == "whole" and attempt.call not in ends and paid[attempt.name]:
            # Two servers were asked with one key, and the other was faster: it is paid for.
            counts["streams heard whole and paid for by another of their key"] += 1
            continue
        _beside(attempt, ends.get(attempt.call), calls.get(attempt.call, []), faults, counts)
    for call, end in ends.items():
        if call not in first:
            # Who was killed, or left with its server, before the first piece came.
            counts["streams charged of which nothing was noted"] += 1
            counts["tokens of these"] += end.units.get("tokens_out", 0)
    _once(found, paid)
    _month(events, faults)
    standing = store.ledger.holds()
    faults["holds that stand for ever"] += [hold.call_id for hold in standing]
    tokens = sum(end.units.get("tokens_out", 0) for end in ends.values())
    told = {
        "streams asked": len(found.asked),
        "streams heard whole": len(found.whole),
        **dict(sorted(counts.items())),
        "tokens heard": sum(one.tokens for one in first.values()),
        "tokens charged": tokens,
        "streams of the real model charged": sum(end.project == WRITTEN for end in ends.values()),
        "holds that ended by themselves": sum(event.outcome == "expired" for event in events),
    }
    return told, dict(faults)


def _beside(
    attempt: Attempt,
    end: Event | None,
    its: list[Event],
    faults: dict[str, list[str]],
    counts: Counter[str],
) -> None:
    """One attempt beside its charge."""
    told = f"{attempt.name} {attempt.call} heard {attempt.tokens} ({attempt.ended or 'killed'})"
    if not its:
        faults["heard and never held"].append(told)
        return
    if attempt.ended == "whole":
        if end is None or end.outcome != "ok" or end.units.get("tokens_out", 0) != attempt.tokens:
            faults["a whole stream is charged otherwise"].append(f"{told}: {end}")
        return
    if end is None:
        counts["streams cut short and free"] += 1
        return
    charged = end.units.get("tokens_out", 0)
    if attempt.again:
        return
    if charged > attempt.tokens:
        where = "charged more than was heard"
        if attempt.ended == "vanished" or not attempt.ended:
            # What was on its way to who did not read on.
            counts["tokens on their way to who vanished"] += charged - attempt.tokens
            most = max(counts["most of them in one stream"], charged - attempt.tokens)
            counts["most of them in one stream"] = most
            if charged - attempt.tokens > _BUFFERED:
                faults[where].append(f"{told}, charged {charged}")
        else:
            faults[where].append(f"{told}, charged {charged} {end.outcome}")
    elif charged < attempt.tokens:
        counts["tokens heard and not charged"] += attempt.tokens - charged


def _once(found: Heard, paid: Mapping[str, int]) -> None:
    """A key has one whole stream, heard and paid for."""
    for name, ask in found.asked.items():
        if ask["key"] and paid.get(name, 0) > 1:
            found.faults["a key was charged twice for a whole stream"].append(name)
        if ask["key"] and name not in found.whole:
            found.faults["never heard whole"].append(name)


def _names(store: Store) -> dict[str, str]:
    """What the stream of each call was asked as: its order says so."""
    rows = [
        row
        for model in MODELS
        for row in store.ledger.recent_predictions(model, limit=None, usable_only=False)
    ]
    return {row.prediction_id: json.loads(str(row.input))["name"] for row in rows}


def _month(events: Iterable[Event], faults: dict[str, list[str]]) -> None:
    """A customer's month costs what its tokens cost, however its streams were cut."""
    volume: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    amount: Counter[tuple[str, str, str]] = Counter()
    for event in events:
        if event.kind != "settle":
            continue
        assert event.created is not None
        where = str(event.customer), str(event.project), f"{event.created:%Y-%m}"
        volume[where].update(event.units)
        amount[where] += event.amount
    for where, units in volume.items():
        expected = sum(Tariff.flat(price).total(units[unit]) for unit, price in PRICES.items())
        if amount[where] != expected:
            told = f"{where}: {amount[where]}, should be {expected}"
            faults["a month's amounts are not the price of its tokens"].append(told)
