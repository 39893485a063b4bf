"""A small language model of one's own learns what a paid API answered, and takes over what it is
sure of. The API is a second feilun; the model has two layers."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from feilun.project import Workspace
from feilun.project.upstream import Upstream
from helpers.llama import write_causal
from helpers.serving import make_key, serving

GOODS = ("lamp", "soap", "tea", "rug", "pen", "cup")
WORDINGS = (
    "How much is the {}?", "What does the {} cost?", "Price of the {} please", "The {}: how much?",
    "Tell me the price of the {}", "Cost of one {}?", "Is the {} expensive?", "The {} costs what?",
    "What do you ask for the {}?", "How much do I pay for the {}?", "I want the {}. How much?",
    "Say what the {} costs", "And the {}?", "Do you sell the {}, and for how much?",
    "Please, the price of the {}", "The {}, what is its price?", "One {}: how many euros?",
    "May I ask what the {} costs?", "What is the price of your {}?", "A {} costs how much?",
)  # fmt: skip
ANSWERS = {goods: f"The {goods} costs {n + 3} euros." for n, goods in enumerate(GOODS)}
QUESTIONS = {
    wording.format(goods): ANSWERS[goods] for wording, goods in itertools.product(WORDINGS, GOODS)
}
ODD = {f"Zebra {n} zoo": f"Quiz {n * 7} jazz, {n} box." for n in range(12)}
SETTINGS = """
[upstream]
min_calls = 50
learn = true
price_in = 0.5
price_out = 2.0
audit = 0.0
"""


METHODS = {
    "full": {"learning_rate": 5e-3, "epochs": 30},
    # The base has random weights, so its adapters have to be as wide as its layers.
    "lora": {"learning_rate": 1e-2, "epochs": 40, "rank": 64, "alpha": 128},
}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_language_model_takes_over_what_it_is_sure_of(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_causal(tmp_path / "base", texts=[*QUESTIONS, *ANSWERS.values()])
    file = tmp_path / "faq.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows([("question", "answer"), *QUESTIONS.items(), *ODD.items()])
    how: dict[str, Any] = {
        "training.method": method,
        f"training.{method}.batch_rows": 4,
        **{f"training.{method}.{name}": value for name, value in METHODS[method].items()},
        "data.test": 0.5,
        "data.validation": 0.2,
        "evaluation.margin": 0.15,
        "compression.max_loss": 0.02,
        "evaluation.robustness": False,
    }
    with Workspace(tmp_path / "there") as there, Workspace(tmp_path / "here") as here:
        there.init("faq", task="chat").add(file)
        sure = {"serving.abstain_below": 1e-6, "evaluation.robustness": False}
        there.project("faq").run(method="memory", overrides=sure)
        faq = there.project("faq").scope
        known = set(faq.context().dataset(faq.data()).items("train"))
        with serving(there.store) as provider:
            monkeypatch.setenv("TEST_PROVIDER_KEY", provider.key.secret)
            other = Upstream(f"{provider.address}/v1", "faq", "TEST_PROVIDER_KEY")
            project = here.init("shop", task="chat", upstream=other, base=str(base))
            project.file.write_text(project.file.read_text("utf-8") + SETTINGS, "utf-8")
            here.apply_prices()
            with serving(here.store) as server:
                key = make_key(here.store, "Ada", store_inputs=30).secret
                headers = {"authorization": f"Bearer {key}"}

                def ask(question: str) -> Any:
                    message = {"role": "user", "content": question}
                    body = {"model": "shop", "messages": [message]}
                    answer = server.http.post("/v1/chat/completions", json=body, headers=headers)
                    assert answer.status_code == 200, answer.text
                    return answer.json()

                for question in sorted(map(str, known)):
                    ask(question)
                update = project.update(overrides=how)
                assert update.promoted, [one.reasons for one in update.rungs]
                assert update.rungs[-1].method == method
                until = monotonic() + 60
                while ask("How much is the lamp?")["model"] == "shop@1":
                    assert monotonic() < until
                found = project.upstream()
                assert found.quality is not None
                assert found.quality["here"] > 0.1
                before = here.store.ledger.usage(project="shop", by=("model_version",))[-1].units
                asked = [one for one in QUESTIONS if one in known][::4]
                said = [ask(one) for one in asked]
                right = [
                    one["choices"][0]["message"]["content"] == QUESTIONS[question]
                    for one, question in zip(said, asked, strict=True)
                ]
                assert sum(right) >= 0.9 * len(asked)
                after = here.store.ledger.usage(project="shop", by=("model_version",))[-1].units
                used = {one: after[one] - before.get(one, 0) for one in after}
                assert used.get("upstream_inputs", 0) < used["inputs"]
                # What is charged is what was delivered, whoever answered.
                delivered = sum(one["usage"]["completion_tokens"] for one in said)
                assert used["tokens_out"] == delivered
