"""The verdict in words: one project, before and after its settings.

    python -m benchmarks.evidence.verdict

The linear baseline on the reviews, judged without a target; with a target; with the costs of the
two errors; and with the unsure answers left to a person. What is printed is what `feilun evaluate`
says.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import feilun
from feilun import messages
from feilun.demo.tasks import text_classification as reviews
from feilun.project.project import Project

LOOKED_FOR = {"en": "other", "zh": "差评"}
ASKED = {"en": "tasty, but the box arrived broken", "zh": "房间不错，服务太差"}
STEPS = {
    "no target": "",
    "a target: at most 10 % missed": (
        "[evaluation.target]\nlabel = {label}\nmissed_at_most = 0.1\n"
    ),
    "and costs: a missed one counts five times": (
        "[evaluation.costs]\nlabel = {label}\nmissed = 5\n"
    ),
    "instead: 90 % of what it answers shall be right": "",
}


def told(project: Project, table: str, serving: str = "") -> str:
    """What the verdict says with `table` in the project file."""
    kept = project.file.read_text("utf-8")
    text = kept.replace("[serving]", f"{table}\n[serving]\n{serving}")
    project.file.write_text(text, "utf-8")
    try:
        project.compress()
        return project.evaluate().verdict
    finally:
        project.file.write_text(kept, "utf-8")


def main() -> None:
    """Prints a paragraph for each step, in the language of the reviews."""
    with tempfile.TemporaryDirectory() as name:
        workspace = feilun.Workspace(Path(name))
        for lang, label in LOOKED_FOR.items():
            messages.use("en" if lang == "en" else "zh")
            files = reviews.files(Path(name) / f"data-{lang}", lang)
            project = workspace.init(f"reviews-{lang}", "text-classification")
            project.add(files.training, columns={"text": files.text, "label": files.label})
            project.train(method="linear")
            print(f"### {lang}\n")
            table = ""
            for step, more in STEPS.items():
                print(lang, step, file=sys.stderr)
                table += more.format(label=f'"{label}"') + "\n"
                last = step.startswith("instead")
                serving = "abstain_for = 0.9\n" if last else ""
                print(f"**{step}**\n\n> {told(project, '' if last else table, serving)}\n")
            (output,) = project.predict(ASKED[lang], explain=True).outputs
            print(
                f"`feilun predict --explain`:\n\n```json\n{json.dumps(output, ensure_ascii=False)}"
            )
            print("```\n")


if __name__ == "__main__":
    main()
