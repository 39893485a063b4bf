"""Search: terms and BM25, catalogues on disk, vectors, and what a contrastive method learns."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feilun.engines._index import DOCUMENTS, INDEX, Index, best, length, terms
from feilun.engines._search import Catalogue, Searches
from feilun.engines.base import open_engine
from feilun.engines.dense import VECTORS
from feilun.errors import CorruptArtifact, InvalidData
from feilun.pipeline.steps._catalogue import over_one_catalogue
from feilun.store.dataset import DatasetWriter
from feilun.tasks import base as tasks
from feilun.training.job import TrainJob
from feilun.training.settings import methods_for
from feilun.types import ColumnSample, EngineRequest, Example, Output, Schema, Split, Usage
from helpers.builds import bad_rows, build_version
from helpers.few import few
from helpers.jobs import train
from helpers.tiny import head_version, linear_version

TASK = tasks.get("text-similarity")
FAQ = {
    "How do I get my money back?": "Refunds are paid within five working days.",
    "When will my parcel arrive?": "Parcels are on their way for three days.",
    "Can I change my address?": "A new address is entered under Account.",
    "怎么申请退款？": "在订单页面点击“申请退款”，五个工作日内到账。",
    "包裹什么时候到？": "包裹一般三天内送达。",
    "Where are refunds requested?": "Refunds are paid within five working days.",
}
CATALOGUE = list(dict.fromkeys(FAQ.values()))


def _pairs(folder: Path, rows: Sequence[tuple[str, str]], held: int = 0) -> Path:
    """`rows` as a data version, the last `held` of them to choose by."""
    with DatasetWriter(folder, {"text": "text"}) as writer:
        for number, (text, document) in enumerate(rows):
            split: Split = "validation" if number >= len(rows) - held else "train"
            writer.add(Example(f"row-{number}", text, document, split))
        writer.close(Schema(TASK.name, (), {"max_length": 32, "feature_bits": 12}))
    return folder


def _job(method: str, data: Path, folder: Path, base: Path | None = None, **more: Any) -> TrainJob:
    for name in ("out", "scratch"):
        (folder / name).mkdir(parents=True)
    paths = (data, base, folder / "out", folder / "scratch")
    return TrainJob(method, TASK.name, *paths, threads=1, seed=7, **more)


def _asked(engine: Any, request: EngineRequest) -> tuple[list[Output], Usage]:
    async def ask() -> tuple[list[Output], Usage]:
        chunks = [chunk async for chunk in engine.submit(request)]
        assert chunks[-1].usage is not None
        return [one for chunk in chunks for one in chunk.outputs], chunks[-1].usage

    return asyncio.run(ask())


def _items(output: Output) -> list[str]:
    return [one["item"] for one in output["items"]]


# Terms and scores


def test_terms_are_words_parts_of_long_words_and_pairs_of_characters() -> None:
    assert terms("Ａ to B-1") == ["a", "to", "b", "1"]
    assert terms("Sorts") == ["sorts", "#^sor", "#sort", "#orts", "#rts$"]
    assert terms("退款, ok。到账日") == ["退", "款", "退款", "ok", "到", "账", "日", "到账", "账日"]
    assert terms("?! ") == []
    assert length("Sorting 退款, ok。") == 4


def test_scores_are_those_of_bm25s() -> None:
    """A public scorer's, but for the factor that makes 1 the highest."""
    import bm25s

    draw = random.Random(0)
    words = [*"退款包裹地址订单", *(f"word{n}" for n in range(40))]
    documents = [" ".join(draw.choices(words, k=draw.randrange(1, 40))) for _ in range(60)]
    index = Index.of(documents)
    read = [terms(document) for document in documents]
    reference = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    reference.index(read, show_progress=False)
    for _ in range(20):
        query = terms(" ".join(draw.choices(words, k=4)))
        ours, theirs = index.search(query), reference.get_scores(query)
        factor = ours.sum() / theirs.sum()
        np.testing.assert_allclose(ours, theirs * factor, rtol=1e-4, atol=1e-6)
        assert ours.max() < 1
        np.testing.assert_allclose(index.scores(query, read), ours, atol=1e-5)


def test_a_document_that_is_not_in_the_catalogue_is_scored_all_the_same() -> None:
    index = Index.of(CATALOGUE)
    wanted = terms("zebra parcels")
    scores = index.scores(wanted, [terms(text) for text in ("zebra", "parcels", "nothing", "")])
    assert scores[0] > scores[1] > 0 == scores[2] == scores[3], "the rarer word counts more"
    assert not index.scores([], [["zebra"]]).any()
    assert not Index.of([]).search(wanted).size


def test_the_best_come_first_and_equal_ones_in_their_order() -> None:
    scores = np.array([0.5, 0.0, 0.9, 0.5, 0.5], np.float32)
    assert best(scores, 3).tolist() == [2, 0, 3]
    assert best(scores, 9).tolist() == [2, 0, 3, 4]
    assert best(scores, 9, least=-1).tolist() == [2, 0, 3, 4, 1]


def test_a_catalogue_is_the_same_after_reading(tmp_path: Path) -> None:
    made = Catalogue.of(CATALOGUE)
    made.write(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {DOCUMENTS, INDEX}
    read = Catalogue.read(tmp_path)
    assert list(read.documents) == CATALOGUE == read.documents[:]
    assert (read.lexical("退款") == made.lexical("退款")).all()
    (tmp_path / INDEX).write_bytes(b"\x80\x04nothing of the kind")
    with pytest.raises(CorruptArtifact):
        Catalogue.read(tmp_path)
    (tmp_path / DOCUMENTS).write_bytes(b"")
    with pytest.raises(CorruptArtifact):
        Catalogue.read(tmp_path)


# Rows


def test_rows_of_all_forms_are_pairs_and_documents(tmp_path: Path) -> None:
    head = "question,answer\n"
    pairs = "".join(f"question {n}?,answer {n}\n" for n in range(12))
    (tmp_path / "faq.csv").write_text(head + pairs + ",answer alone\nquestion alone?,\n", "utf-8")
    (tmp_path / "triples.csv").write_text(
        "anchor,positive,negative\n问一,答一,错一\n问二,答二,\n", "utf-8"
    )
    (tmp_path / "scored.csv").write_text(
        "句子1,句子2,相似度\n苹果好吃,苹果味道好,4.5\n苹果好吃,今天下雨,0.5\n", "utf-8"
    )
    (tmp_path / "catalogue.csv").write_text("document\nonly a document\nanother\n", "utf-8")
    files = [tmp_path / f"{name}.csv" for name in ("faq", "triples", "scored", "catalogue")]
    data, _ = build_version(tmp_path / "v", *files, task=TASK)
    rows = {(str(one.item), one.label) for one in data.examples()}
    alone = {"answer alone", "错一", "苹果好吃", "今天下雨", "only a document", "another"}
    others = {("问一", "答一"), ("问二", "答二"), ("苹果好吃", "苹果味道好")}
    assert rows == {(f"question {n}?", f"answer {n}") for n in range(12)} | others | {
        (text, text) for text in alone
    }
    assert [row["row"] for row in bad_rows(tmp_path / "v")] == [14]


def test_several_answers_of_one_question_are_all_right(tmp_path: Path) -> None:
    rows = [("one", "a"), ("one", "b"), ("two", "c"), ("d", "d")]
    from feilun.training.retrieval import catalogue_of, pairs_of

    data, _ = build_version(
        tmp_path / "v", _csv(tmp_path / "a.csv", [*rows, *((f"q{n}", f"e{n}") for n in range(9))]),
        task=TASK,
    )  # fmt: skip
    found = {
        pair.query: pair.documents
        for split in ("train", "validation", "test")
        for pair in pairs_of(data, split)
    }
    assert set(found["one"]) == {"a", "b"}
    assert "d" not in found, "a document is no question"
    assert {"a", "b", "c", "d"} < set(catalogue_of(data))


def _csv(file: Path, rows: Sequence[tuple[str, str]]) -> Path:
    file.write_text("query,document\n" + "".join(f"{q},{d}\n" for q, d in rows), "utf-8")
    return file


@pytest.mark.parametrize(
    ("head", "text", "document"),
    [
        (("id", "Question", "Answer"), "Question", "Answer"),
        (("标准问", "相似问"), "相似问", "标准问"),
        (("英文", "中文"), "英文", "中文"),
        (("label", "sentence1", "sentence2"), "sentence1", "sentence2"),
        (("ours", "theirs"), "ours", "theirs"),
        (("id", "description"), "description", "description"),
    ],
)
def test_the_columns_are_found(head: tuple[str, ...], text: str, document: str) -> None:
    columns = [
        ColumnSample(
            name,
            list(range(8)) if name in ("id", "label") else [f"{name} text {n}" for n in range(8)],
        )
        for name in head
    ]
    roles = TASK.recognise(columns)
    assert (dict(roles.inputs), roles.label) == ({"text": text}, document)


def test_numbers_are_no_documents() -> None:
    with pytest.raises(InvalidData, match="a, b"):
        TASK.recognise([ColumnSample("a", [1, 2]), ColumnSample("b", [3, 4])])


# Methods and engines


def test_every_method_of_search_is_for_search_alone() -> None:
    assert methods_for(TASK) == ["bm25", "dense", "contrastive"]
    assert "bm25" not in methods_for(tasks.get("text-classification"))


def test_bm25_answers_from_a_catalogue_and_ranks_what_is_brought(tmp_path: Path) -> None:
    job = _job("bm25", _pairs(tmp_path / "data", [*FAQ.items()]), tmp_path)
    train(job)
    assert {file.name for file in job.out.iterdir()} == {"feilun.json", DOCUMENTS, INDEX}
    engine = open_engine(job.out)
    first, other = engine.predict(["parcel arrived?", "退款到账了吗"])
    assert _items(first)[0] == FAQ["When will my parcel arrive?"]
    assert _items(other)[0] == FAQ["怎么申请退款？"]
    outputs, usage = _asked(engine, EngineRequest(["退款"], options={"k": 1}))
    assert _items(outputs[0]) == [FAQ["怎么申请退款？"]]
    assert (usage.inputs, usage.tokens, dict(usage.units)) == (1, 2, {})
    brought = ["nothing", "退款 here", "nothing"]
    outputs, usage = _asked(engine, EngineRequest(["退款"], options={"documents": brought}))
    assert _items(outputs[0]) == ["退款 here", "nothing", "nothing"]
    assert (usage.inputs, usage.tokens, dict(usage.units)) == (1, 7, {"documents": 3})
    engine.close()


@pytest.mark.slow
def test_a_dense_version_keeps_the_share_that_validation_prefers(tmp_path: Path) -> None:
    """The encoder's weights are drawn at random: BM25 has to count."""
    base = head_version(tmp_path / "base") / "encoder"
    rows = [(f"w{n} w{n + 1}", f"w{n} w{n + 1} w{n + 2}") for n in range(0, 50, 2)]
    job = _job("dense", _pairs(tmp_path / "data", rows, held=10), tmp_path, base)
    figures = train(job).figures
    assert figures["lexical"] > 0
    engine = open_engine(job.out, threads=1)
    assert engine.info["vectors"]
    assert engine.info["searches"]
    raw = engine.raw([query for query, _ in rows])
    assert np.mean([row.items[0] == rows[n][1] for n, row in enumerate(raw)]) > 0.9
    brought = {"documents": [rows[3][1], rows[9][1]]}
    outputs, usage = _asked(engine, EngineRequest([rows[9][0]], options=brought))
    assert _items(outputs[0])[0] == rows[9][1]
    assert (usage.inputs, usage.tokens, dict(usage.units)) == (1, 4 + 5 + 5, {"documents": 2})
    vectors, _ = _asked(engine, EngineRequest(["w1"], vectors=True))
    assert vectors[0]["vector"].shape == (32,)
    engine.close()
    whole = (job.out / VECTORS).read_bytes()
    (job.out / VECTORS).write_bytes(whole[:-8])
    with pytest.raises(CorruptArtifact):
        open_engine(job.out)


@pytest.mark.parametrize("method", few(["bm25", "dense"], "bm25"))
def test_versions_are_compared_over_one_catalogue(tmp_path: Path, method: str) -> None:
    """An older version searches what a newer one does as if it had been made of it."""
    base = head_version(tmp_path / "base") / "encoder" if method == "dense" else None
    rows = [(f"w{n}", f"w{n} w{n + 1}") for n in range(12)]
    own = {"lexical": 0.3} if method == "dense" else {}
    fewer, more = rows[1:8], [*rows[4:], *rows[:4]]  # one goes, some come, all in another order
    older, newer = (
        _job(method, _pairs(tmp_path / name / "data", part), tmp_path / name, base, settings=own)
        for name, part in (("older", fewer), ("newer", more[:-1]))
    )
    for job in (older, newer):
        train(job)
    first, second = open_engine(older.out, threads=1), open_engine(newer.out, threads=1)
    queries = [query for query, _ in rows]
    alone = [one.total for one in first.raw(queries)]
    over_one_catalogue(second, first)
    assert isinstance(first, Searches)
    assert isinstance(second, Searches)
    assert list(first.documents) == list(second.documents)
    for one, other in zip(first.raw(queries), second.raw(queries), strict=True):
        assert one.total == other.total
        assert set(one.items) == set(other.items)
        # What was written in half precision and what was just read differ by that.
        assert dict(zip(one.items, one.scores, strict=True)) == pytest.approx(
            dict(zip(other.items, other.scores, strict=True)), abs=2e-3
        )
    assert alone == [7] * len(queries)
    first.close()
    second.close()


def test_what_searches_no_catalogue_is_left_alone(tmp_path: Path) -> None:
    linear, other = (open_engine(linear_version(tmp_path / name)) for name in ("a", "b"))
    over_one_catalogue(linear, other)
    linear.close()
    other.close()


@pytest.mark.slow
def test_pairs_teach_an_encoder_what_words_alone_do_not_tell(tmp_path: Path) -> None:
    """A document says in other words what its query does: no term is shared."""
    base = head_version(tmp_path / "base") / "encoder"
    draw = random.Random(1)
    rows = []
    while len(rows) < 260:
        picked = draw.sample(range(20), 3)
        row = (" ".join(f"w{n}" for n in picked), " ".join(f"w{n + 25}" for n in picked))
        rows.extend([row] if row not in rows else [])
    settings = {
        "epochs": 12, "learning_rate": 0.005, "matryoshka": [16], "hard_negatives": 0,
        "dimensions": 16,
    }  # fmt: skip
    data = _pairs(tmp_path / "data", rows, held=60)
    job = _job("contrastive", data, tmp_path, base, settings=settings)
    seen: list[str] = []
    figures = train(job, lambda one: seen.append(one.unit)).figures
    assert figures["validation_mrr"] > figures["untuned_mrr"] + 0.3
    assert figures["lexical"] < 0.5
    assert "steps" in seen
    engine = open_engine(job.out, threads=1)
    raw = engine.raw([query for query, _ in rows[-60:]])
    found = [row.items[0] == rows[200 + n][1] for n, row in enumerate(raw)]
    assert np.mean(found) > 0.5, "half of the vectors' numbers suffice"
    engine.close()
    again = _job("contrastive", data, tmp_path / "again", base, previous=job.out,
                 settings={**settings, "epochs": 1})  # fmt: skip
    assert train(again).figures["untuned_mrr"] == pytest.approx(figures["validation_mrr"], abs=1e-4)


def test_a_single_pair_has_nothing_to_be_told_from(tmp_path: Path) -> None:
    base = head_version(tmp_path / "base") / "encoder"
    data = _pairs(tmp_path / "data", [("w1", "w2"), ("w3", "w3")])
    with pytest.raises(InvalidData, match="1 pairs"):
        train(_job("contrastive", data, tmp_path, base))
