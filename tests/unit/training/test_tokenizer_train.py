"""`feilun tokenizer train`: what is learnt, what is measured, what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from feilun import Conflict, UsageError, Workspace
from feilun.cli.app import run
from feilun.training import tokenizer

ODD = "héllo 世界 👍🏽 a  b\n\tc 12345 \u200b e\u0301 𠮷 <|endoftext|x"


def documents():
    animals = ("dog", "cat", "bird", "horse", "sheep")
    places = ("garden", "river", "market", "mountain", "village")
    for number in range(200):
        animal, place = animals[number % 5], places[number // 5 % 5]
        yield f"The {animal} number {number} walks slowly through the {place}."
        yield f"第{number}只小狗慢慢地走过村庄旁边的花园，天气非常好。"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """The same documents in the four ways that corpora are written in."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("corpus")
    texts = list(documents())
    (folder / "lines.txt").write_text("\n".join(texts) + "\n", "utf-8")
    rows = "".join(json.dumps({"text": one, "id": n}) + "\n" for n, one in enumerate(texts))
    (folder / "rows.jsonl").write_text(rows, "utf-8")
    (folder / "table.csv").write_text(
        "no,body\n" + "".join(f'{n},"{one}"\n' for n, one in enumerate(texts)), "utf-8"
    )
    pq.write_table(pa.table({"text": texts}), folder / "columns.parquet")
    return folder


@pytest.mark.parametrize("kind", tokenizer.KINDS)
def test_every_text_comes_back_byte_for_byte_and_text_is_never_a_special_token(kind):
    made = tokenizer.train(documents(), kind, 380)
    assert made.get_vocab_size() == 380
    assert [made.id_to_token(n) for n in range(5)] == list(tokenizer.SPECIALS)
    made.encode_special_tokens = True
    for text in (ODD, "".join(map(chr, range(1, 0x300))), tokenizer.END):
        ids = made.encode(text).ids
        assert made.decode(ids) == text
        assert min(ids) >= len(tokenizer.SPECIALS)
    assert len(made.encode("The dog walks slowly through the village.").ids) < 20
    assert len(made.encode("小狗慢慢地走过花园").ids) < 12


@pytest.mark.slow
@pytest.mark.parametrize("kind", tokenizer.KINDS)
def test_the_same_texts_give_the_same_tokenizer_in_another_process(kind):
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from test_tokenizer_train import documents\n"
        "from feilun.training import tokenizer\n"
        "print(tokenizer.train(documents(), sys.argv[1], 450).to_str())"
    )
    command = [sys.executable, "-c", code, kind, str(Path(__file__).parent), *sys.path]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(other) == json.loads(tokenizer.train(documents(), kind, 450).to_str())


def test_all_ways_to_write_a_corpus_give_the_same_tokenizer(corpus, tmp_path):
    made = []
    with Workspace(tmp_path) as workspace:
        for name in ("lines.txt", "rows.jsonl", "table.csv", "columns.parquet"):
            found = workspace.train_tokenizer(corpus / name, out=tmp_path / name, vocabulary=400)
            assert (found.documents, found.bad, found.held_out) == (400, 0, True)
            assert found.measured == 20
            made.append((tmp_path / name / "tokenizer.json").read_bytes())
    assert len(set(made)) == 1


def test_a_file_with_blank_lines_is_read_in_sections_of_paragraphs(tmp_path):
    paragraphs = [f"Paragraph {n}.\n" + "It goes on and on. " * 30 for n in range(40)]
    (tmp_path / "book.txt").write_text("\n\n".join(paragraphs), "utf-8")
    with Workspace(tmp_path) as workspace:
        found = workspace.train_tokenizer(tmp_path / "book.txt", out=tmp_path / "t", vocabulary=300)
    assert found.documents == 6  # of 4,000 characters or a little more
    assert found.characters > 0.99 * sum(map(len, paragraphs))
    assert not found.held_out


def test_the_command_says_what_was_gained_over_a_base(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["tokenizer", "train", str(corpus / "rows.jsonl"), "--vocabulary", "380"]
    assert run([*arguments, "--out", "mine", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    before, after = said["before"], said["after"]
    assert before["name"] == "minilm"
    assert after["unknown"] == 0 == after["bytes_lost"]
    # The base lower-cases, spells Chinese by characters and knows too few of them.
    assert before["bytes_lost"] > 0
    assert before["unknown"] > 0.01
    assert after["tokens_per_character"] < 0.8 * before["tokens_per_character"]
    assert Tokenizer.from_file("mine/tokenizer.json").get_vocab_size() == 380
    assert run([*arguments, "--out", "mine", "--json"]) != 0
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "project.folder_exists"


def test_transformers_reads_the_folder(corpus, tmp_path):
    from transformers import AutoTokenizer

    with Workspace(tmp_path) as workspace:
        workspace.train_tokenizer(
            corpus / "lines.txt", out=tmp_path / "t", kind="unigram", vocabulary=400
        )
    read = AutoTokenizer.from_pretrained(tmp_path / "t")
    ours = Tokenizer.from_file(str(tmp_path / "t" / "tokenizer.json"))
    assert read(ODD)["input_ids"] == ours.encode(ODD).ids
    assert (read.eos_token, read.pad_token, read.mask_token) == tokenizer.SPECIALS[:3]


def test_what_cannot_be_trained_is_refused(corpus, tmp_path):
    source = corpus / "lines.txt"
    with Workspace(tmp_path) as workspace:
        with pytest.raises(UsageError) as caught:
            workspace.train_tokenizer(source, out=tmp_path / "t", kind="wordpiece")
        assert caught.value.code == "tokenizer.unknown_kind"
        with pytest.raises(UsageError) as caught:
            workspace.train_tokenizer(source, out=tmp_path / "t", vocabulary=100)
        assert caught.value.code == "tokenizer.small"
        with pytest.raises(Conflict):
            workspace.train_tokenizer(source, out=corpus)
    assert not (tmp_path / "t").exists()
