"""One turn of the wheel as a workflow: plan, then the stages, each proven before it goes live.

The body only composes: every step takes and returns references (JSON), so a killed process goes on
after the last finished one. A stage is registered as a model version when it is trained; the later
steps name that version. `run`, `update`, `tune` and `train` differ in their first steps and in
how far they go.
"""

from __future__ import annotations

from typing import Any

from feilun.pipeline.durable import Body, StepRunner

__all__ = ["BODIES"]


def _run(run_id: str, step: StepRunner) -> dict[str, Any]:
    """From the latest data version to the best stage that the evidence carries."""
    return _in_stages(step, step("plan", {}))


def _update(run_id: str, step: StepRunner) -> dict[str, Any]:
    """From corrections to the next version of what is live."""
    collected = step("collect", {})
    if not collected["data_version"]:
        return {"collected": collected, "rungs": [], "live": collected["live"]}
    again = _again(step)
    live = next((one["version"] for one in again if one["promoted"]), None)
    plan = step("plan", {"collected": collected | ({"live": live} if live else {})})
    trained_stages = _in_stages(step, plan)
    return {
        "collected": collected,
        **trained_stages,
        "rungs": [*again, *trained_stages["rungs"]],
        "live": trained_stages["live"] or live,
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
    """The planned stages as candidates: trained, neither judged nor deployed."""
    plan = step("plan", {})
    trained = [step(f"train:{r['method']}", {"plan": plan, "stage": r}) for r in plan["rungs"]]
    return {"data_version": plan["data_version"], "rungs": trained, "live": None}


def _tune(run_id: str, step: StepRunner) -> dict[str, Any]:
    """A search on rows that do not judge; then its winner, as one attempt, on those that do."""
    found = step("search", {})
    plan = step("plan", {"found": found["winner"]})
    return {"search": found, **_in_stages(step, plan)}


def _in_stages(step: StepRunner, plan: dict[str, Any]) -> dict[str, Any]:
    # The first stage is the baseline of the others; the best one so far is what the next must not
    # lose to. A stage that is refused stays a version, and the next one is trained.
    stages: list[dict[str, Any]] = []
    baseline: str | None = None
    below: str | None = None
    for stage in plan["rungs"]:
        method = stage["method"]
        trained = step(f"train:{method}", {"plan": plan, "stage": stage})
        version = trained["version"]
        if version is None:  # the time limit left it none
            stages.append(trained)
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
        stages.append(outcome)
        baseline = baseline or version
    return {"data_version": plan["data_version"], "rungs": stages, "live": below}


BODIES: dict[str, Body] = {"run": _run, "update": _update, "train": _train, "tune": _tune}
"""The workflows by kind."""
