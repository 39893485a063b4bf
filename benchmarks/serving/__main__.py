"""Throughput through HTTP, with keys, limits, ledger and prediction log, beside what the engine can
do and what others do.

    python -m benchmarks.serving [--clients 1,16,64,256] [--seconds 8] [--rounds 3] [--words 26]
                                 [--peers all|none|NAME,...] [--pairs 10] [--pair-seconds 20]
                                 [--json FILE]

The same int8 variant of the starter encoder (two labels) answers in process and through HTTP, the
float model of the same weights behind the peers. Calls carry the first words of real reviews. Load
comes from wrk where it is installed, else from `benchmarks/load.py`, on the same machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.serving.models import build, texts, tokens_of
from benchmarks.serving.overhead import Overhead, overheads
from benchmarks.serving.page import Results, as_json, lines
from benchmarks.serving.peers import PEERS, Peer, install, tuned
from benchmarks.serving.rounds import Plan, once, together
from benchmarks.serving.servers import prepare, serving
from benchmarks.serving.stages import Accounts, accounts

ACCOUNTED = (1, 64)
"""Clients of the runs whose time is accounted for."""


def main() -> None:
    """Measures, prints the part of the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=str(__doc__).partition("\n\n")[0]
    )
    parser.add_argument("--clients", default="1,16,64,256", help="connections; 64 is compared with")
    parser.add_argument("--seconds", type=float, default=8, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--words", type=int, default=26, help="words of each text")
    parser.add_argument("--peers", default="none", help="all, none, or names with commas")
    parser.add_argument("--pairs", type=int, default=10, help="for the cost of metering; 0: none")
    parser.add_argument("--pair-seconds", type=float, default=20)
    parser.add_argument("--json", type=Path, help="the figures go there too")
    options = parser.parse_args()
    peers = _chosen(parser, options.peers)
    with tempfile.TemporaryDirectory(prefix="feilun-bench-") as name:
        folder = Path(name)
        items = texts(options.words)
        _say("building the models")
        models = build(folder, items)
        keys = prepare(folder / "workspace", models)
        clients = [int(number) for number in options.clients.split(",")]
        plan = Plan(folder, models, keys, items, options.seconds, clients)
        for peer in peers:
            _ready(peer, plan)
        plan = replace(plan, peers=[peer for peer in peers if not peer.out])
        rounds = []
        for number in range(options.rounds):
            _say(f"round {number + 1} of {options.rounds}")
            rounds.append(once(plan, number))
        results = Results(
            tokens_of(models.int8, items),
            options.rounds,
            together(rounds),
            peers,
            _weighed(plan, options.pairs, options.pair_seconds),
            _accounted(plan),
        )
    print("\n".join(lines(results)).rstrip())
    if options.json:
        options.json.write_text(json.dumps(as_json(results), indent=1))


def _chosen(parser: argparse.ArgumentParser, names: str) -> Sequence[Peer]:
    if names == "all":
        return PEERS
    wanted = [] if names == "none" else names.split(",")
    known = {peer.name: peer for peer in PEERS}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        parser.error(f"no peer {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in wanted]


def _ready(peer: Peer, plan: Plan) -> None:
    _say(f"{peer.title}: installing")
    install(peer)
    if not peer.out:
        _say(f"{peer.title}: trying {len(peer.settings)} settings")
        tuned(peer, plan.models.floats, min(5.0, plan.seconds), (plan.bodies(1), plan.lists))
    if peer.out:
        _say(f"{peer.title} {peer.out}")


def _weighed(plan: Plan, pairs: int, seconds: float) -> list[Overhead]:
    if not pairs:
        return []
    _say(f"metering against none, {pairs} pairs")
    return overheads(
        plan.workspace,
        plan.keys,
        plan.models.int8,
        plan.texts,
        plan.bodies(1),
        pairs,
        seconds,
    )


def _accounted(plan: Plan) -> list[Accounts]:
    _say("accounts of a call's time")
    with serving(plan.workspace) as server:
        target = replace(server, key=plan.keys["reviews"])
        return [accounts(target, n, plan.seconds, plan.bodies(1)) for n in ACCOUNTED]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
