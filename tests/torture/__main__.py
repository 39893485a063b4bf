"""``python -m torture``: the whole torture, its counts, exit code 1 for any mismatch."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from torture.run import torture
from torture.servers import Postgres


def main() -> int:
    """0 when journals and ledger match exactly on every database."""
    parser = argparse.ArgumentParser(prog="make torture", description=str(__doc__))
    parser.add_argument("--kills", type=int, default=200, help="for each database; default 200")
    parser.add_argument("--databases", default="sqlite,postgres", help="default: both")
    parser.add_argument("--replicas", type=int, default=2, help="on PostgreSQL; default 2")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keeps journals and logs here")
    options = parser.parse_args()
    bad = False
    with tempfile.TemporaryDirectory(prefix="feilun-torture-") as scratch:
        for database in options.databases.split(","):
            folder = (options.folder or Path(scratch)) / database
            if folder.exists() and any(folder.iterdir()):
                parser.error(f"{folder} is not empty")
            begun = time.monotonic()
            if database == "postgres":
                postgres = Postgres()
                try:
                    verdict = torture(
                        folder,
                        options.kills,
                        replicas=options.replicas,
                        postgres=postgres,
                        seed=options.seed,
                    )
                finally:
                    postgres.close()
            else:
                verdict = torture(folder, options.kills, seed=options.seed)
            minutes = (time.monotonic() - begun) / 60
            print(f"{database}, seed {options.seed}, {minutes:.1f} minutes")
            print("\n".join(verdict.lines()), flush=True)
            bad = bad or any(verdict.faults.values())
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
