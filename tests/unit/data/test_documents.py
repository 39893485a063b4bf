"""Documents of every format as sections, what of them cannot be read, and what questions and
answers look like in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun import messages
from feilun.data.reading import open_readings
from feilun.data.sources import BadRow, Source
from feilun.data.sources._sections import LIMIT, joined, sections, text_blocks
from feilun.engines._library import Known, Library, sentences
from feilun.engines.base import open_engine
from feilun.errors import InvalidData
from feilun.families.answers import ANSWERS, Passage, Reading, Right, is_right, parsed, written
from feilun.families.answers import Source as Stands
from feilun.metrics.answers import exact, f1, holds
from feilun.store.dataset import DatasetWriter
from feilun.tasks import base as tasks
from feilun.training.documents import passages_of
from feilun.training.job import TrainJob
from feilun.training.settings import methods_for
from feilun.types import Example, Schema, Split
from feilun.web.view import _environment
from helpers.jobs import train
from helpers.tiny import head_version

TASK = tasks.get("question-answering")


def _read(place: Path) -> list[Any]:
    (reading,) = open_readings(Source(place), TASK)
    return list(reading)


def _rows(place: Path) -> list[tuple[str, dict[str, Any]]]:
    return [(one.item, json.loads(one.label)) for one in _read(place)]


def _said(place: Path) -> list[tuple[str, str]]:
    """Heading and text of each section."""
    return [(at.get("heading", ""), item.partition("\n")[2]) for item, at in _rows(place)]


# Formats


def test_markdown_keeps_its_headings_and_reads_tables_by_row(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text(
        "---\ntitle: x\n---\n# Shop\n\nWe **sell** [tea](t.md).\nAll day.\n\n## Prices\n\n"
        "| tea | price |\n|:--|--:|\n| green | `3` |\n| black | 4 |\n\n```sh\n# no heading\n```\n"
        "Setext\n------\n- one\n- two\n<!-- not\nthis -->\n## Empty\n",
        "utf-8",
    )
    assert _said(file) == [
        ("Shop", "We sell tea. All day."),
        ("Shop > Prices", "tea: green; price: 3\ntea: black; price: 4\n\n# no heading"),
        ("Shop > Setext", "- one\n- two"),
        ("Shop", "Empty"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
def test_a_plain_text_of_any_encoding(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "退货.txt"
    text = "第一章 退货\n\n自收到商品之日起\n十四天内可以退货。\n\n联系我们\n\n电话工作日接听。"
    file.write_text(text, encoding)
    assert _said(file) == [
        ("第一章 退货", "自收到商品之日起十四天内可以退货。"),
        ("第一章 退货 > 联系我们", "电话工作日接听。"),
    ]


def test_a_page_without_its_menus(tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    page = (
        "<html><head><meta charset=gb2312><title>x</title><script>no()</script></head><body>"
        "<nav>home</nav><h1>价格</h1><p>茶叶<b>三十</b>元<br>一斤</p><h2>More</h2><table><tr><th>a"
        "<th>b</tr><tr><td>1<td>2</tr></table><ul><li>one<li>two</ul><footer>f</footer></body>"
    )
    file.write_bytes(page.encode("gb18030"))
    assert _said(file) == [
        ("价格", "茶叶三十元\n一斤"),
        ("价格 > More", "a: 1; b: 2\n\none\n\ntwo"),
    ]


def test_a_word_file_with_headings_and_tables(tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    document = docx.Document()
    document.add_heading("Returns", 1)
    document.add_paragraph("Within 14 days.")
    table = document.add_table(2, 2)
    for place, text in enumerate(("country", "postage", "Norway", "9 euros")):
        table.cell(place // 2, place % 2).text = text
    document.add_heading("费用", 2)
    document.add_paragraph("八元")
    document.save(str(tmp_path / "a.docx"))
    assert _said(tmp_path / "a.docx") == [
        ("Returns", "Within 14 days.\n\ncountry: Norway; postage: 9 euros"),
        ("Returns > 费用", "八元"),
    ]


def _pdf(file: Path, *pages: str) -> None:
    """A PDF with the `pages`, written byte by byte; one of no text is a page with nothing on it."""
    bodies = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    kids = []
    for page in pages:
        stream = f"BT /F1 12 Tf 72 720 Td ({page}) Tj ET".encode() if page else b""
        kids.append(f"{len(bodies) + 1} 0 R")
        bodies.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(bodies) + 2} 0 R "
            "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> "
            ">> >> >>".encode()
        )
        bodies.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream))
    bodies[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    out = b"%PDF-1.4\n"
    places = []
    for number, body in enumerate(bodies, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n" % (len(bodies) + 1, start)
    file.write_bytes(out + b"%%EOF\n")


def test_a_pdf_by_pages_and_a_page_without_text_is_named(tmp_path: Path) -> None:
    _pdf(tmp_path / "a.pdf", "First page.", "", "Third page.")
    read = _read(tmp_path / "a.pdf")
    assert [json.loads(one.label)["page"] for one in read[:2]] == [1, 3]
    assert read[0].item.endswith("\nFirst page.")
    missing = read[2]
    assert (missing.code, dict(missing.params)) == (
        "documents.no_text",
        {"file": "a.pdf", "page": 2},
    )
    assert "OCR" not in missing.reason("en")
    assert "第 2 页" in missing.reason("zh")


def test_a_folder_names_what_cannot_be_read_and_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.md").write_text("# A\n\nFine.\n", "utf-8")
    (tmp_path / "prices.csv").write_text("article,price\nkettle,39\n", "utf-8")
    (tmp_path / "cut.pdf").write_bytes(b"%PDF-1.4\nnothing more")
    (tmp_path / "cut.docx").write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / "empty.txt").write_text(" \n", "utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden.md").write_text("no", "utf-8")
    read = _read(tmp_path)
    good = [one for one in read if not isinstance(one, BadRow)]
    bad = {one.values["document"]: one.code for one in read if isinstance(one, BadRow)}
    assert [json.loads(one.label)["document"] for one in good] == ["in/a.md", "prices.csv"]
    assert good[1].item.endswith("\narticle: kettle; price: 39")
    assert bad == {
        "cut.docx": "data.damaged",
        "cut.pdf": "data.damaged",
        "empty.txt": "formats.empty_text_file",
    }
    (reading,) = open_readings(Source(tmp_path), TASK)
    assert reading.table.details["left_out"] == {"documents.other_files": 1}


def test_long_paragraphs_are_parted_and_lines_put_together() -> None:
    text = "Words that go on. " * 600
    parts = [one.text for one in sections(text_blocks(f"# H\n\n{text}", marked=True))]
    assert max(map(len, parts)) <= LIMIT
    assert " ".join(parts) == text.strip()
    assert joined(["a hyphen-", "ated word", "我们", "都是"]) == "a hyphenated word 我们都是"


# Questions in files


def _table(tmp_path: Path, name: str, text: str) -> list[tuple[str, Any]]:
    (tmp_path / name).write_text(text, "utf-8")
    return [
        one.code if isinstance(one, BadRow) else (one.item, one.label)
        for one in _read(tmp_path / name)
    ]  # type: ignore[return-value]


def test_questions_rules_facts_and_tables_that_ask_nothing(tmp_path: Path) -> None:
    found = _table(
        tmp_path, "q.csv",
        "question,answer,document,is_impossible\nWhen?,At nine,a.md,\nWho?,,,true\nWhat?,,,\n",
    )  # fmt: skip
    assert found[0] == ("When?", written(Right(("At nine",), (Stands("a.md"),))))
    assert found[1] == ("Who?", written(Right(())))
    assert found[2] == "data.empty_label"
    (rule,) = _table(tmp_path, "r.csv", "规则,答案\n人工|客服,请拨打 400。\n")
    assert rule == ("人工|客服", '{"answers":["请拨打 400。"],"kind":"rule"}')
    (fact,) = _table(tmp_path, "f.csv", "fact,value\naddress,12 Tea Street\n")
    assert fact == ("address", '{"answers":["12 Tea Street"],"kind":"fact"}')
    (row,) = _table(tmp_path, "p.csv", "article,price\nkettle,39 euros\n")
    assert ANSWERS.stratum(row[1]) == "sections"


def test_squad_and_cmrc(tmp_path: Path) -> None:
    asked = [
        {"id": "1", "question": "Capital?", "answers": [{"text": "Paris", "answer_start": 0}]},
        {"id": "2", "question": "King?", "is_impossible": True, "answers": []},
    ]
    article = {"title": "France", "paragraphs": [{"context": "Paris is it.", "qas": asked}]}
    (tmp_path / "squad.json").write_text(json.dumps({"version": "2", "data": [article]}), "utf-8")
    section, right, impossible = _read(tmp_path / "squad.json")
    assert section.item == "France\nParis is it."
    assert parsed(right.label) == Right(("Paris",), (Stands("France", "Paris is it."),))
    assert parsed(impossible.label) == Right(())
    assert section.group == right.group
    cmrc = {"context_id": "c", "context_text": "首都是北京。", "title": "中国",
            "qas": [{"query_text": "首都？", "answers": ["北京", "北京"]}]}  # fmt: skip
    (tmp_path / "cmrc.json").write_text(json.dumps([cmrc], ensure_ascii=False), "utf-8")
    _, question = _read(tmp_path / "cmrc.json")
    assert (question.item, parsed(question.label)) == (
        "首都？", Right(("北京",), (Stands("中国", "首都是北京。"),))
    )  # fmt: skip
    flat = {"id": "1", "title": "F", "context": "Paris is it.", "question": "Capital?",
            "answers": {"text": ["Paris"], "answer_start": [0]}}  # fmt: skip
    (tmp_path / "flat.jsonl").write_text(json.dumps(flat), "utf-8")
    question, section = _read(tmp_path / "flat.jsonl")
    assert parsed(question.label) == Right(("Paris",), (Stands("F", "Paris is it."),))


# What is right


def test_answers_are_compared_as_squad_and_cmrc_do() -> None:
    assert exact("The 1,000 euros.", "1000 Euros")
    assert f1("14 days", "within 14 days") == pytest.approx(0.8)
    assert f1("十四天", "十四天内") == pytest.approx(6 / 7)
    assert holds("You have 14 days.", "14 days")
    assert not holds("You have 140 days.", "14 days")


def test_a_passage_is_right_by_document_passage_and_numbers() -> None:
    passage = Passage("in/a.md", "Goods go back within 30 days of delivery.")
    assert is_right(Right(("30 days",), (Stands("a.md"),)), passage)
    assert not is_right(Right(("30 days",), (Stands("b.md"),)), passage)
    # All words but the number: what the document said before.
    assert not is_right(Right(("goods go back within 14 days of delivery",)), passage)
    assert is_right(Right((), (Stands("", "within 30 days of delivery"),)), passage)


@pytest.mark.parametrize(
    "given", [5.5, ["a", "b"], {"answer": "x", "document": "d"}, {"text": ["a"]}, '{"answers":[]}']
)
def test_targets_are_canonical(given: Any) -> None:
    target = ANSWERS.target(given)
    assert target is not None
    assert ANSWERS.target(target) == target
    assert written(parsed(target)) == target  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [{"no": "answer"}, [True], {"answers": [], "sources": 3}, b""])
def test_what_is_no_answer_is_refused(given: Any) -> None:
    with pytest.raises(InvalidData) as caught:
        ANSWERS.target(given)
    assert caught.value.message("en") != caught.value.message("zh")


# Reading


def test_sentences_end_where_they_end() -> None:
    text = "Dr. Lee pays 3.50 euros. See p. 4!  是的。好吗？\nA line"
    found = [text[start:end] for start, end in sentences(text)]
    assert found == ["Dr. Lee pays 3.50 euros.", "See p. 4!", "是的。", "好吗？", "A line"]


def test_passages_overlap_by_whole_sentences() -> None:
    text = " ".join(f"Sentence number {n} is here." for n in range(12))
    found = [one.text for one in passages_of(Passage("a", text), 15, 5)]
    assert (
        found[0]
        == "Sentence number 0 is here. Sentence number 1 is here. Sentence number 2 is here."
    )
    assert found[1].startswith("Sentence number 2 is here. Sentence number 3")
    assert found[-1].endswith("11 is here.")
    assert len(found) == 6
    long = "word " * 100 + "end."
    assert [one.text for one in passages_of(Passage("a", long), 15, 5)] == [long]


def _library(*known: Known, **settings: Any) -> Library:
    passages = [
        Passage("returns.md", "You may send goods back. That is possible for 14 days.", "Returns"),
        Passage("hours.md", "When do you open? At nine. Sundays we rest.", "Hours"),
        Passage("配送.md", "运费为八元。满九十九元包邮。", "配送"),
    ]
    rules = [("human|real person", "Call 400."), ("* lawyer *", "Write to law@x.")]
    facts = [("opening hours", "nine to six"), ("地址", "茶叶街 12 号")]
    return Library.of(passages, known, rules, facts, {"returns.md": "a"}, settings)


def test_a_library_answers_by_rule_fact_memory_and_passage(tmp_path: Path) -> None:
    written_one = _library(Known("Can I get a refund?", "for 14 days", 0))
    written_one.write(tmp_path)
    for library in (written_one, Library.read(tmp_path, {})):
        assert library.read_for("a REAL person, please").answer == "Call 400."
        assert library.read_for("is there a lawyer here").kind == "rule"
        assert library.read_for("inhuman behaviour").kind != "rule"
        assert library.read_for("opening hours?").answer == "nine to six"
        assert library.read_for("请问你们的地址在哪").answer == "茶叶街 12 号"
        known = library.read_for("can i get a refund")
        assert (known.answer, known.sure, known.kind) == ("for 14 days", 1.0, "known")
        assert known.cited is not None
        assert known.cited.text[known.start : known.end] == "for 14 days"
        assert library.read_for("How do I get a refund then?").answer == "for 14 days"
        # A sentence that asks is answered by those after it.
        assert library.read_for("when do you open").answer == "At nine. Sundays we rest."
        assert library.read_for("运费多少").answer == "运费为八元。"
        nothing = library.read_for("xyzzy")
        assert (nothing.answer, nothing.sure) == ("", 0.0)
        assert nothing.otherwise
        assert library.read_for("").answer == ""
    assert _library(no_answer="Ask us.").read_for("??").otherwise == "Ask us."


@pytest.mark.slow
def test_vectors_beside_terms_find_passages(tmp_path: Path) -> None:
    """The encoder's weights are drawn at random: BM25 has to count."""
    base = head_version(tmp_path / "base") / "encoder"
    with DatasetWriter(tmp_path / "data", {"question": "text"}, ANSWERS.stratum) as writer:
        for n in range(0, 48, 4):
            text = f"w{n} w{n + 1}. w{n + 2} w{n + 3}."
            section = json.dumps({"kind": "section", "document": f"{n}.md"})
            writer.add(Example(f"s{n}", f"{n}.md\n{text}", ANSWERS.target(section), "train"))
            split: Split = "validation" if n % 8 else "train"
            writer.add(Example(f"q{n}", f"w{n + 2} w{n + 3}?", f"w{n + 2} w{n + 3}", split))
        writer.close(Schema(TASK.name, (), {"max_length": 32, "feature_bits": 12}))
    for name in ("out", "scratch"):
        (tmp_path / name).mkdir()
    folders = (tmp_path / "data", base, tmp_path / "out", tmp_path / "scratch")
    assert methods_for(TASK) == ["passages", "hybrid", "reader", "rag"]
    figures = train(TrainJob("hybrid", TASK.name, *folders, threads=1, seed=7)).figures
    assert figures["lexical"] > 0
    engine = open_engine(tmp_path / "out", threads=1)
    assert engine.info["vectors"]
    assert "searches" not in engine.info
    answers = engine.predict([f"w{n + 2} w{n + 3} please" for n in range(0, 48, 4)])
    cited = [one["citations"][0]["document"] for one in answers]
    assert cited == [f"{n}.md" for n in range(0, 48, 4)]
    engine.close()


def test_the_console_marks_the_answer_in_its_passage() -> None:
    passage = Passage("a.md", "We open at <nine>. Sundays we rest.", "Hours", 2)
    raw = np.empty(1, object)
    raw[0] = Reading("We open at <nine>.", 0.9, passage, 0, 18, [passage])
    (output,) = ANSWERS.decoder(Schema(TASK.name, ()), {})(raw, True)
    words = {
        "t": lambda key, **params: messages.t(f"console.{key}", "en", **params),
        "has": lambda key: messages.has(f"console.{key}"),
    }
    page = str(_environment().get_template("answer.html").make_module(words).shown(output))
    assert "<mark>We open at &lt;nine&gt;.</mark> Sundays we rest.</blockquote>" in page
    assert "a.md · page 2 · Hours" in page
    assert "passages" not in page
