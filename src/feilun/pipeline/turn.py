"""One turn of the wheel as a workflow: plan, then climb the rungs, each proven before it goes live.

The body only composes: every step takes and returns references (JSON), so a killed process goes on
after the last finished one. A rung is registered as a model version when it is trained; the later
steps name that version. `run`, `update`, `tune` and `train` differ in their first steps and in
how far they go.
"""

from __future__ import annotations

from typing import Any

from feilun.pipeline.durable import Body, StepRunner

__all__ = ["BODIES"]


def _run(run_id: str, step: StepRunner) -> dict[str, Any]:
    """From the latest data version to the best rung that the evidence carries."""
    return _climb(step, step("plan", {}))


def _update(run_id: str, step: StepRunner) -> dict[str, Any]:
    """From corrections to the next version of what is live."""
    collected = step("collect", {})
    if not collected["data_version"]:
        return {"collected": collected, "rungs": [], "live": collected["live"]}
    again = _again(step)
    live = next((one["version"] for one in again if one["promoted"]), None)
    plan = step("plan", {"collected": collected | ({"live": live} if live else {})})
    climbed = _climb(step, plan)
    return {
        "collected": collected,
        **climbed,
        "rungs": [*again, *climbed["rungs"]],
        "live": climbed["live"] or live,
    }


def _again(step: StepRunner) -> list[dict[str, Any]]:
    """The best version that was refused before, judged on what has come since: it is trained
    already. Where it goes live, the update continues it."""
    reconsidered = step("reconsider", {})
    version = reconsidered["version"]
    if version is None:
        return []
    judged = step(f"evaluate:{version}", {"version": version, "decides": True})
    outcome = {**reconsidered, **judged, "promoted": False}
    if judged["promote"]:
        outcome |= step(f"deploy:{version}", {"version": version})
    return [outcome]


def _train(run_id: str, step: StepRunner) -> dict[str, Any]:
    """The planned rungs as candidates: trained, neither judged nor deployed."""
    plan = step("plan", {})
    trained = [step(f"train:{r['method']}", {"plan": plan, "rung": r}) for r in plan["rungs"]]
    return {"data_version": plan["data_version"], "rungs": trained, "live": None}


def _tune(run_id: str, step: StepRunner) -> dict[str, Any]:
    """A search on rows that do not judge; then its winner, as one attempt, on those that do."""
    found = step("search", {})
    plan = step("plan", {"found": found["winner"]})
    return {"search": found, **_climb(step, plan)}


def _climb(step: StepRunner, plan: dict[str, Any]) -> dict[str, Any]:
    # The first rung is the baseline of the others; the best one so far is what the next must not
    # lose to. A rung that is refused stays a version, and the climb goes on past it.
    rungs: list[dict[str, Any]] = []
    baseline: str | None = None
    below: str | None = None
    for rung in plan["rungs"]:
        method = rung["method"]
        trained = step(f"train:{method}", {"plan": plan, "rung": rung})
        version = trained["version"]
        if version is None:  # the time limit left it none
            rungs.append(trained)
            continue
        packed = step(f"compress:{method}", {"version": version, "keep": True})
        judged = step(
            f"evaluate:{method}",
            {"version": version, "baseline": baseline, "below": below, "decides": True},
        )
        outcome = {**trained, **packed, **judged}
        if judged["promote"]:
            outcome |= step(f"deploy:{method}", {"version": version, "stepwise": True})
            # Golden requests may refuse what the gate let pass: then it is nothing to beat.
            below = version if outcome["promoted"] else below
        rungs.append(outcome)
        baseline = baseline or version
    return {"data_version": plan["data_version"], "rungs": rungs, "live": below}


BODIES: dict[str, Body] = {"run": _run, "update": _update, "train": _train, "tune": _tune}
"""The workflows by kind."""
