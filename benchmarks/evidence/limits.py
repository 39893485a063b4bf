"""What first runs take of a time limit.

python -m benchmarks.evidence limits -- [--seconds 30,60] [--sets English,digits,churn,chat]

Each run is the first of its project and knows nothing but the machine. What it is told to take is
``training.time_limit``; what the limit cannot hold is told beforehand.
"""

from __future__ import annotations

import argparse

from benchmarks.evidence.durations import project, run

_SETS = "English,digits,churn,chat"
_TOLERANCE = 1.1


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--seconds", default="30,60")
    parser.add_argument("--sets", default=_SETS)
    options = parser.parse_args()
    print(f"{options.rows:,} rows of each set at most.\n")
    print("| data, stages | limit, s | planned, s | training took, s | of the limit | told |")
    print("|---|--:|--:|--:|--:|---|")
    kept = total = 0
    for name in options.sets.split(","):
        for limit in map(int, options.seconds.split(",")):
            with project(name, options.rows) as made:
                took = run(made, 0, limit)
                [record] = made.workspace.store.catalog.runs(made.name)
            planned, taken = sum(one.planned for one in took), sum(one.taken for one in took)
            told = [one for one in record.plan["notes"] if "time" in one or "minute" in one]
            stages = " + ".join(one.method for one in took)
            cells = f"{name}: {stages} | {limit} | {planned:.0f} | {taken:.0f}"
            print(f"| {cells} | {taken / limit:.2f} | {'; '.join(told)} |", flush=True)
            kept, total = kept + (taken <= _TOLERANCE * limit), total + 1
    print(f"\n{kept} of {total} limits were kept within 10 %, the baseline's time included.")


if __name__ == "__main__":
    main()
