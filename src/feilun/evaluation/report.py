"""One HTML file that opens offline and speaks both languages, and the same as JSON."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

from feilun.evaluation import verdict
from feilun.evaluation.facts import Facts
from feilun.evaluation.founder import Money, founder, going_on, worth
from feilun.evaluation.gate import Decision
from feilun.evaluation.modalities import sentences, view_modalities
from feilun.evaluation.result import Evaluation, Forgetting
from feilun.evaluation.robustness import Robustness
from feilun.evaluation.shading import heated, shaded
from feilun.evaluation.view import view
from feilun.evaluation.view_beside import view_beside
from feilun.evaluation.view_parts import view_parts
from feilun.evaluation.view_robustness import sentence, view_robustness
from feilun.evaluation.view_search import view_search
from feilun.messages import LANGUAGES, Language, language
from feilun.render import wording
from feilun.render.bilingual import both, say
from feilun.render.page import template

__all__ = ["HTML", "JSON", "render", "write_report"]

HTML = "report.html"
JSON = "report.json"


def write_report(
    evaluation: Evaluation,
    decision: Decision,
    folder: Path,
    *,
    facts: Facts | None = None,
    forgetting: Forgetting | None = None,
    money: Money | None = None,
    robustness: Robustness | None = None,
    lang: Language | None = None,
) -> Path:
    """Writes ``report.html`` and ``report.json`` into `folder` and returns the page's path.

    Both languages are in the page; `lang` (default: the one in force) is shown first. The page
    loads nothing, runs no script, and everything that came from data is escaped.
    """
    facts = facts or Facts()
    folder.mkdir(parents=True, exist_ok=True)
    plain = {
        "evaluation": evaluation.to_json(),
        "decision": decision.to_json(),
        "forgetting": forgetting.to_json() if forgetting else None,
        "robustness": robustness.to_json() if robustness else None,
        "facts": asdict(facts),
        "verdict": {
            one: {
                "headline": verdict.headline(evaluation, decision, one),
                "founder": founder(evaluation, decision, money, one),
                "text": verdict.paragraph(evaluation, decision, one),
                "robustness": sentence(robustness, one),
                "modalities": sentences(evaluation, one),
            }
            for one in LANGUAGES
        },
    }
    _write(folder / JSON, json.dumps(plain, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    page = folder / HTML
    said = render(
        evaluation,
        decision,
        facts=facts,
        forgetting=forgetting,
        money=money,
        robustness=robustness,
        lang=lang,
    )
    _write(page, said)
    return page


def render(
    evaluation: Evaluation,
    decision: Decision,
    *,
    facts: Facts | None = None,
    forgetting: Forgetting | None = None,
    money: Money | None = None,
    robustness: Robustness | None = None,
    lang: Language | None = None,
) -> str:
    """The page that `write_report` writes."""
    facts = facts or Facts()
    unsure = decision.verdict == "cannot_tell"
    tone = "live" if decision.promote else "unsure" if unsure else "out"
    badges = {
        "live": "evaluation.badge_is_live" if evaluation.is_live else "evaluation.badge_live",
        "unsure": "evaluation.badge_unsure",
        "out": "evaluation.badge_out",
    }
    return template("report.html", "feilun.evaluation").render(
        **view(evaluation),
        evaluation=evaluation,
        decision=decision,
        facts=facts,
        forgetting=forgetting,
        lang=lang or language(),
        tone=tone,
        badge=say(badges[tone]),
        headline=both(lambda one: verdict.headline(evaluation, decision, one)),
        founder=both(lambda one: worth(evaluation, decision, money, one)),
        going_on=both(lambda one: going_on(evaluation, decision, one)),
        opening=both(lambda one: verdict.opening(evaluation, one)),
        closing=both(lambda one: verdict.closing(evaluation, one)),
        say=say,
        shaded=shaded,
        heated=heated,
        both=lambda reason: both(reason.text),
        method=lambda name: both(lambda one: wording.method_name(evaluation.method_key(name), one)),
        metric_accuracy=both(lambda one: wording.metric_name(evaluation.primary, one)),
        **view_beside(facts, forgetting, evaluation.primary),
        **view_parts(evaluation, forgetting),
        **view_robustness(robustness),
        **view_search(facts.search),
        modalities=view_modalities(evaluation),
        miss_words=lambda miss: both(lambda one: evaluation.family.miss_words(miss, one)),
        family_sections=evaluation.family.sections(evaluation),
    )


def _write(path: Path, text: str) -> None:
    """Aside, synced, then renamed: a reader sees the old file or the new one, whole."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
