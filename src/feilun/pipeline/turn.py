"""One turn of the wheel as a workflow: plan, then climb the rungs, each proven before it goes live.

The body only composes: every step takes and returns references (JSON), so a killed process goes on
after the last finished one. `run` and `update` differ in their first steps alone.
"""

from __future__ import annotations

from typing import Any

from feilun.pipeline.durable import StepRunner

__all__ = ["run", "update"]


def run(run_id: str, step: StepRunner) -> dict[str, Any]:
    """From the latest data version to the best rung that the evidence carries."""
    return _climb(step, step("plan", {}))


def update(run_id: str, step: StepRunner) -> dict[str, Any]:
    """From corrections to the next version of what is live."""
    collected = step("collect", {})
    if not collected.get("data_version"):
        return {"collected": collected, "rungs": [], "live": collected["live"]}
    plan = step("plan_update", {"collected": collected})
    return {"collected": collected, **_climb(step, plan)}


def _climb(step: StepRunner, plan: dict[str, Any]) -> dict[str, Any]:
    """Trains, compresses, judges and deploys one rung after the other. The first rung of a run is
    the baseline of the others; the best rung so far is what the next one must not lose to."""
    done: list[dict[str, Any]] = []
    below: str | None = None
    for rung in plan["rungs"]:
        method = rung["method"]
        trained = step(f"train:{method}", {"plan": plan, "rung": rung})
        packed = step(f"compress:{method}", {"plan": plan, "rung": rung, "trained": trained})
        judged = step(
            f"evaluate:{method}",
            {
                "plan": plan,
                "rung": rung,
                "trained": trained,
                "packed": packed,
                "baseline": done[0]["version"] if done else plan.get("baseline"),
                "below": below,
            },
        )
        outcome = {"method": method, **judged}
        if judged["promote"]:
            outcome |= step(f"deploy:{method}", {"judged": judged})
            below = judged["version"]
        done.append(outcome)
    return {"data_version": plan["data_version"], "rungs": done, "live": below}
