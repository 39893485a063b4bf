"""One client process: several callers, each with a journal, who do not give up.

    python -m torture.client ORDER NUMBER

A caller notes what it will ask, asks with an ``Idempotency-Key`` until it is answered (at another
replica each time), notes the answer, and now and then asks once more, sends feedback, or makes a
call without a key, which it sends once. A client that was killed reads its journals and finishes
what it had begun before it begins anything else. It ends when the file ``stop`` is there and
nothing is open.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from torture.journal import Journal, read
from torture.streams import Listener

__all__ = ["Caller", "Order", "main", "words"]

PAUSE = 0.05
"""Seconds between two attempts."""

GOOD = ("good", "great", "excellent", "好", "喜欢")
BAD = ("bad", "awful", "broken", "坏", "退款")


@dataclass(frozen=True)
class Order:
    """What all clients are told: where the servers are, who they are, when to stop."""

    folder: str
    addresses: list[str]
    secrets: list[str]
    seed: int
    callers: int
    listeners: int

    @classmethod
    def load(cls, file: Path) -> Order:
        return cls(**json.loads(file.read_text("utf-8")))

    def who(self, number: int) -> int:
        """Which customer the client of this number is."""
        return number % len(self.secrets)

    def journal(self, number: int, caller: int) -> Path:
        return Path(self.folder) / f"client-{number}-{caller}.jsonl"


@dataclass
class Caller:
    """One closed loop of calls."""

    order: Order
    number: int
    place: int
    _open: dict[str, dict[str, Any]] = field(default_factory=dict)
    _count: int = 0

    def run(self) -> None:
        """Until told to stop, then until nothing is open."""
        file = self.order.journal(self.number, self.place)
        self._draw = random.Random(f"{self.order.seed}-{self.number}-{self.place}-{time.time_ns()}")
        said = self._recall(read(file))
        self._journal = Journal(file)
        stop = Path(self.order.folder) / "stop"
        headers = {"authorization": f"Bearer {self.order.secrets[self.order.who(self.number)]}"}
        with httpx.Client(headers=headers, timeout=20, trust_env=False) as self._http:
            for ask in list(self._open.values()):
                self._ask(ask)
            for say in said:
                self._say(say)
            while not stop.exists():
                self._next()
        self._journal.write({"end": True})
        self._journal.close()

    def _recall(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What was begun and not finished: calls with a key into `_open`, feedback returned."""
        said: dict[str, dict[str, Any]] = {}
        for line in lines:
            if "ask" in line:
                self._count += 1
                if line["key"]:
                    self._open[line["ask"]] = line
            elif "got" in line:
                self._open.pop(line["got"], None)
            elif "say" in line:
                said[line["say"]] = line
            elif "said" in line:
                said.pop(line["said"], None)
        return list(said.values())

    def _next(self) -> None:
        self._count += 1
        number = f"{self.number // len(self.order.secrets)}-{self.place}-{self._count}"
        name = f"{self.order.who(self.number)}/{number}"
        keyed = self._draw.random() < 0.8
        ask = {
            "ask": name,
            # The same keys again for another customer: they are that customer's own.
            "key": f"order-{number}" if keyed else "",
            "inputs": [f"{name}/{i} {words(self._draw)}" for i in range(self._draw.choice(SIZES))],
        }
        self._journal.write(ask)
        call = self._ask(ask)
        if call is None:
            return
        if keyed and self._draw.random() < 0.1:
            self._again(ask, call)
        if self._draw.random() < 0.3:
            index = self._draw.randrange(len(ask["inputs"]))
            label = self._draw.choice(["good", "bad"])
            say = {"say": f"{call}/{index}", "call": call, "index": index, "label": label}
            self._journal.write(say)
            self._say(say)

    def _ask(self, ask: dict[str, Any]) -> str | None:
        """The id of the answer; None for a call without a key that was not answered."""
        response = self._send(
            "/v1/predict", {"model": "reviews", "inputs": ask["inputs"]}, ask["key"], ask["ask"]
        )
        if response is None:
            return None
        answer = response.json()
        whole = len(answer["outputs"]) == len(ask["inputs"])
        self._digest = sha256(response.content).hexdigest()
        self._journal.write({"got": ask["ask"], "call": answer["id"], "whole": whole})
        return str(answer["id"])

    def _again(self, ask: dict[str, Any], call: str) -> None:
        """The same call with the same key gets the same answer, to the byte, from any replica."""
        before = self._digest
        response = self._send(
            "/v1/predict", {"model": "reviews", "inputs": ask["inputs"]}, ask["key"], ask["ask"]
        )
        assert response is not None
        same = sha256(response.content).hexdigest() == before
        self._journal.write({"again": ask["ask"], "same": same})

    def _say(self, say: dict[str, Any]) -> None:
        body = {"prediction_id": say["call"], "index": say["index"], "label": say["label"]}
        response = self._send("/v1/feedback", body, "say", say["say"])
        if response is not None:
            self._journal.write({"said": say["say"], "id": response.json()["id"]})

    def _send(self, path: str, body: Any, key: str, name: str) -> httpx.Response | None:
        """Sends until the answer is 200; a call without `key` once, None when it is not."""
        headers = {"idempotency-key": key} if path == "/v1/predict" and key else {}
        while True:
            response = None
            with contextlib.suppress(httpx.TransportError):
                address = self._draw.choice(self.order.addresses)
                response = self._http.post(address + path, json=body, headers=headers)
                if response.status_code == 200:
                    return response
            if response is not None and response.status_code not in PASSING:
                # Nothing that was killed makes a good request a bad one.
                said = response.text[:400]
                self._journal.write({"refused": name, "status": response.status_code, "said": said})
                time.sleep(1)
            if not key:
                status = None if response is None else response.status_code
                self._journal.write({"lost": name, "status": status})
                return None
            time.sleep(PAUSE)


PASSING = (409, 429, 503)
"""What trouble of the servers explains: busy, starting, its database away, or (409) the first
attempt is still being answered."""

SIZES = (1, 1, 1, 2, 5)


def words(draw: random.Random) -> str:
    """A few words that the model knows."""
    return " ".join(draw.choices(draw.choice([GOOD, BAD]), k=4))


def main() -> None:
    """Runs the callers and listeners of one client, each in a thread."""
    order, number = Order.load(Path(sys.argv[1])), int(sys.argv[2])
    loops = [
        *(Caller(order, number, place) for place in range(order.callers)),
        *(Listener(order, number, place) for place in range(order.listeners)),
    ]
    threads = [threading.Thread(target=loop.run) for loop in loops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
