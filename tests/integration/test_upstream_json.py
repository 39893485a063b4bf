"""A paid API answers with JSON; an extractor of one's own learns which fields it fills and answers
the sure calls here. Everything is real: the API is a second feilun."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

import pytest

from feilun.api.security import Security
from feilun.metrics.json_texts import as_object
from feilun.project import Workspace
from feilun.project.upstream import Upstream
from helpers.invoices import invoices
from helpers.serving import Answering, make_key, serving

pytestmark = pytest.mark.slow

TOLD = "Read number, customer, date, total and category out of the text. Answer with JSON."
ROWS = invoices(300, seed=3)
OTHER = {f"How much is item {n}?": f"Item {n} costs {n} euros." for n in range(12)}
CUT = "Invoice no. A-1 of 01.01.2024, cut short"
SETTINGS = (
    "[upstream]\nmin_calls = 100\nlearn = true\nprice_in = 0.5\nprice_out = 2.0\naudit = 0.0\n"
)
TOKEN = "0123456789abcdef0123456789abcdef"
HOW = {"training.method": "extractor", "data.test": 0.3, "data.validation": 0.2,
       "evaluation.margin": 0.1, "compression.max_loss": 0.02,
       "evaluation.robustness": False}  # fmt: skip


def _said(record: dict[str, Any], place: int) -> str:
    """As language models write it, most often in a code fence."""
    text = json.dumps(record, ensure_ascii=False, indent=2)
    return f"```json\n{text}\n```" if place % 8 else text


@dataclass
class _Provider:
    """The paid API, and the rows that it knows the answers to."""

    server: Answering
    rows: list[tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Provider]:
    folder = tmp_path_factory.mktemp("provider")
    file = folder / "answers.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        rows = [(text, _said(one, place)) for place, (text, one) in enumerate(ROWS)]
        cut = (CUT, '{"number": "A-1", "cust')
        csv.writer(opened).writerows([("question", "answer"), *rows, *OTHER.items(), cut])
    with Workspace(folder) as workspace:
        project = workspace.init("llm", task="chat")
        project.add(file)
        project.run(method="memory", overrides={"evaluation.robustness": False})
        known = set(project.scope.context().dataset(project.scope.data()).items("train"))
        with serving(workspace.store) as running:
            yield _Provider(running, [row for row in ROWS if row[0] in known])


def _ask(server: Answering, secret: str, text: str, **more: Any) -> Any:
    told = [{"role": "system", "content": TOLD}] if text not in OTHER else []
    body = {"model": "reader", "messages": [*told, {"role": "user", "content": text}], **more}
    headers = {"authorization": f"Bearer {secret}"}
    return server.http.post("/v1/chat/completions", json=body, headers=headers)


def _content(answer: Any) -> str:
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


@pytest.fixture(scope="module")
def turned(
    provider: _Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_PROVIDER_KEY", provider.server.key.secret)
        with Workspace(tmp_path_factory.mktemp("reader")) as workspace:
            other = Upstream(f"{provider.server.address}/v1", "llm", "TEST_PROVIDER_KEY")
            project = workspace.init("reader", task="chat", upstream=other)
            project.file.write_text(project.file.read_text("utf-8") + SETTINGS, "utf-8")
            workspace.apply_prices()
            security = Security(admin=True, admin_token=TOKEN)
            with serving(workspace.store, security=security) as running:
                key = make_key(workspace.store, "Ada", store_inputs=30).secret
                asked, new = provider.rows[:200], provider.rows[200:230]
                for text in [*dict(asked), *OTHER, CUT]:
                    _content(_ask(running, key, text))
                update = project.update(overrides=HOW)
                assert update.promoted, [one.reasons for one in update.rungs]
                found = {"project": project, "server": running, "key": key, "update": update}
                found["new"] = new
                deadline = monotonic() + 120
                while _ask(running, key, asked[0][0]).json()["model"] == "reader@1":
                    assert monotonic() < deadline
                yield found


def _passed(server: Answering) -> int:
    rows = server.store.ledger.usage(project="reader")
    return sum(row.units.get("upstream_inputs", 0) for row in rows)


def test_an_extractor_takes_over_and_is_judged_field_by_field(turned: dict[str, Any]) -> None:
    update = turned["update"]
    assert update.rungs[-1].method == "extractor"
    quality = turned["project"].upstream().quality
    assert quality["here"] > 0.5
    assert quality["low"] >= -0.1
    reports = turned["project"].file.parent / "reports"
    report = max(reports.glob("*decision.html"), key=lambda one: one.stat().st_mtime)
    text = report.read_text("utf-8")
    assert all(f'"name">{name}' in text for name in ("number", "customer.name", "total"))


def test_unseen_texts_are_answered_here_with_the_same_json(turned: dict[str, Any]) -> None:
    server, key = turned["server"], turned["key"]
    new, before = turned["new"], _passed(server)
    said = [_content(_ask(server, key, text)) for text, _ in new]
    right = [as_object(one) == record for one, (_, record) in zip(said, new, strict=True)]
    assert sum(right) >= 0.9 * len(new)
    assert _passed(server) - before < 0.5 * len(new)
    assert said[0].startswith("```json\n{\n  "), "laid out as most answers were"
    line = turned["project"].upstream().line()
    path = "/admin/v1/projects/reader/savings"
    answer = server.http.get(path, headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["line"] == line
    assert told["cost"] < told["before"]
    assert "calls answered here" in line
    assert "USD per 1,000" in line


def test_what_is_no_invoice_goes_to_the_other_server(turned: dict[str, Any]) -> None:
    server, key = turned["server"], turned["key"]
    for question, answer in list(OTHER.items())[:3]:
        before = _passed(server)
        assert _content(_ask(server, key, question)) == answer
        assert _passed(server) == before + 1
    before = _passed(server)
    _ask(server, key, "Hello, who are you?")
    body = {
        "model": "reader",
        "messages": [
            {"role": "system", "content": "Translate into French."},
            {"role": "user", "content": turned["new"][0][0]},
        ],
    }
    headers = {"authorization": f"Bearer {key}"}
    server.http.post("/v1/chat/completions", json=body, headers=headers)
    assert _passed(server) == before + 2, "an instruction that was never seen is not guessed at"


def _form(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def test_a_schema_holds_or_the_call_is_passed_on(turned: dict[str, Any]) -> None:
    server, key = turned["server"], turned["key"]
    text, record = next(
        row
        for place, row in enumerate(ROWS)
        if place % 8 == 0 and row in turned["new"] and _is_here(server, key, row[0])
    )  # around which the other server has no code fence
    names = ("number", "customer", "date", "total", "category")
    fits = _form({"total": {"type": "number"}, **{name: {} for name in names if name != "total"}})
    before = _passed(server)
    bare = _content(_ask(server, key, text, response_format=fits))
    assert json.loads(bare) == record, "no code fence where JSON was asked for"
    assert json.loads(_content(_ask(server, key, text, response_format={"type": "json_object"})))
    assert _passed(server) == before
    more = _form({"total": {"type": "number"}, "phone": {"type": "string"}})
    assert json.loads(_content(_ask(server, key, text, response_format=more))) == record
    assert _passed(server) == before + 1, "what is new in the schema nobody here has learnt"
    wrong = _ask(server, key, text, response_format=_form({"total": {"type": "string"}}))
    assert wrong.status_code == 502, "neither of both fits it"
    assert _passed(server) == before + 1, "and nothing is charged"


def _is_here(server: Answering, key: str, text: str) -> bool:
    before = _passed(server)
    _content(_ask(server, key, text))
    return _passed(server) == before
