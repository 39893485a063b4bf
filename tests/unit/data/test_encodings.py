"""Encodings of files that say nothing of theirs: told by what the bytes spell."""

from __future__ import annotations

from pathlib import Path

import pytest

from feilun.data._warnings import source_warnings
from feilun.data.outcome import SourceReport
from feilun.data.sources._encodings import Found, encoding_in, whole_lines
from feilun.data.sources._text import encoding_of
from feilun.data.sources.base import BadRow
from helpers.builds import rows_of, table_of

SENTENCES = {
    "cp1252": (
        "a encomenda não chegou e ninguém respondeu à minha reclamação,reclamação",
        "el envío llegó mañana y la atención fue muy rápida,reseña",
        "très déçu, la boîte était abîmée et le vendeur n'a pas répondu,réclamation",
        "die Größe paßt nicht, die Rückgabe war schön einfach für uns,Rückgabe",
        "la qualità è ottima, però la consegna è più lenta di così,qualità",
        "el paquet va arribar aviat però la qualitat és molt dolenta això és així,opinió",
        "tämä tuote on hyvä mutta se ei ole käytännöllinen päivittäin,hyvää",
    ),
    "cp1250": (
        "paczka przyszła za późno i była uszkodzona, żałuję że kupiłem,złość",
        "příliš žluťoučký kůň úpěl ďábelské ódy a zboží není v pořádku,stížnost",
        "a csomag későn érkezett és törött volt, nagyon csalódott vagyok őszintén,tűrhető",
    ),
    "cp1254": (
        "ürün çok geç geldi, kutusu kırıktı ve satıcı ilgilenmedi değişim istiyoruz,şikâyet",
    ),
    "cp1251": ("товар пришёл поздно и коробка была повреждена,жалоба",),
    "koi8-r": ("товар пришёл поздно и коробка была повреждена,жалоба",),
    "cp1253": ("το δέμα ήρθε αργά και ήταν χαλασμένο,παράπονο",),
    "cp949": (
        "배송이 늦고 상자가 찢어졌어요 다시는 주문하지 않겠습니다,불만",
        "직원이 친절하고 품질이 훌륭합니다 또 구매할게요,칭찬",
    ),
    "big5": ("物流太慢了，包裝也破損，客服的態度很差,差評",),
    "cp932": ("商品が届くのが遅くて、箱も壊れていました。とても残念です,不満",),
    "euc-jp": ("商品が届くのが遅くて、箱も壊れていました。とても残念です,不満",),
    "gb18030": ("物流太慢了，包装也破损，客服的态度很差,差评",),
}


@pytest.mark.parametrize(
    ("encoding", "line"), [(e, line) for e, lines in SENTENCES.items() for line in lines]
)
def test_the_encoding_is_the_one_in_which_the_bytes_spell_words(
    tmp_path: Path, encoding: str, line: str
) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes("\n".join(["text,label", *[line] * 20, ""]).encode(encoding))
    assert file.read_bytes().decode(encoding_of(file)) == "\n".join(
        ["text,label", *[line] * 20, ""]
    )
    assert rows_of(table_of(file, header=False, quote=""))[1]["column1"] == line.split(",")[0]


@pytest.mark.parametrize("place", [0, 30, 59])
@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        ("utf-8", "très déçu du café,réclamation"),
        ("utf-8", "质量很好，喜欢,好评"),
        ("gb18030", "质量很好，下次还会再来,好评"),
    ],
)
def test_one_bad_byte_is_one_bad_row_wherever_it_stands(
    tmp_path: Path, encoding: str, line: str, place: int
) -> None:
    lines = [f"{number} {line}".encode(encoding) for number in range(60)]
    lines[place] = lines[place].replace(b",", b"\xff,", 1)
    file = tmp_path / "a.csv"
    file.write_bytes(b"\n".join([b"text,label", *lines, b""]))
    assert encoding_of(file) == encoding
    rows = list(table_of(file).rows())
    bad = [row.number for row in rows if isinstance(row, BadRow)]
    assert (len(rows), bad) == (60, [place + 1])


@pytest.mark.parametrize("shift", range(4))
def test_a_sample_is_not_cut_inside_a_character(tmp_path: Path, shift: int) -> None:
    file = tmp_path / "a.txt"
    text = "x" * shift + "质" * 800_000
    file.write_bytes(text.encode())
    assert encoding_of(file) == "utf-8"


def test_what_an_earlier_program_lost_is_utf8_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    line = "the R\ufffdverie is lovely"
    file.write_text("\n".join(["text,label", *[f"{line},good"] * 20, ""]), "utf-8")
    assert encoding_in(file.read_bytes()) == Found("utf-8")
    assert rows_of(table_of(file)) == [{"text": line, "label": "good"}] * 20


def test_whole_lines_leaves_out_what_was_cut() -> None:
    text = "été\nhiver, été".encode()
    assert whole_lines(text[:-1]) == "été\n".encode()
    assert whole_lines("été".encode()[:-1]) == "ét".encode()


def test_a_guess_is_told_with_words_and_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes("text,label\nplain,caf\u00f1a\nmore,good\n".encode("cp1252"))
    table = table_of(file)
    table.close()
    examples = table.details["guessed"]
    assert 1 <= len(examples) <= 3
    report = SourceReport("a.csv", 2, 0, None, table.details)
    (notice,) = source_warnings([report])
    assert examples[0] in notice.text("en")
    assert "--encoding" in notice.hint("en")
    assert "--encoding" in notice.hint("zh")


def test_enough_text_is_no_guess() -> None:
    found = encoding_in(
        "paczka przyszła za późno, żałuję że kupiłem, zły był też ścieg\n".encode("cp1250")
    )
    assert found is not None
    assert (found.encoding, found.examples) == ("cp1250", ())


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_guess_is_told_for_json_too(tmp_path: Path, name: str) -> None:
    row = '{"text": "the café", "label": "x"}'
    file = tmp_path / name
    file.write_bytes((f"[{row}]" if name == "a.json" else row + "\n").encode("cp1252"))
    table = table_of(file)
    table.close()
    assert table.details["guessed"]
    codes = [n.code for n in source_warnings([SourceReport("a", 1, 0, None, table.details)])]
    assert codes == ["formats.guessed_encoding"]
    told = table_of(file, encoding="cp1250")
    assert "guessed" not in told.details
    assert rows_of(told) == [{"text": "the café", "label": "x"}]


def test_an_encoding_that_is_given_is_not_looked_for(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes("text,label\nça et là,x\nfini,y\n".encode("cp500"))  # of mainframes
    assert encoding_of(file) != "cp500"
    assert rows_of(table_of(file, encoding="cp500"))[0] == {"text": "ça et là", "label": "x"}


@pytest.mark.parametrize("encoding", ["cp1252", "iso8859-15"])
def test_the_few_words_that_differ_decide(encoding: str) -> None:
    rows = [f"la boîte {n} était très abîmée et le vendeur n'a pas répondu" for n in range(5000)]
    rows[17], rows[4000] = "un nœud au cœur de l'œuvre", "sa sœur était là"
    found = encoding_in("\n".join(rows).encode(encoding))
    assert found is not None
    assert (found.encoding, found.examples) == (encoding, ())


def test_icelandic_of_old_databases() -> None:
    text = "Gat ekki leitað í runu og skipta yfir á vinnusvæði, en þetta er með breydd sem er núll"
    found = encoding_in(text.encode("cp850"))
    assert found is not None
    assert text.encode("cp850").decode(found.encoding) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("I don’t think they’re “good” – it was late", "cp1252"),
        ("I don’t think they’re “good” – it was late", "mac-roman"),
        ("it costs 5 € or € 12 at most", "cp1252"),
        ("it costs 5 € or € 12 at most", "mac-roman"),
        ("it costs 5 € or € 12 at most", "iso8859-15"),
    ],
)
def test_marks_alone_say_the_encoding(text: str, encoding: str) -> None:
    rows = [f"{text} {n}".encode(encoding) for n in range(20)]
    found = encoding_in(b"\n".join(rows))
    assert found is not None
    assert rows[7].decode(found.encoding) == f"{text} 7"


def test_a_guess_is_never_without_words() -> None:
    found = encoding_in("text,label\nparcel €,good\n".encode("cp1252"))
    assert found is not None
    assert (found.encoding, found.examples) == ("cp1252", ("parcel €,good",))


def test_a_few_japanese_letters_that_spell_in_one_byte_too_are_told_as_a_guess() -> None:
    sample = "label,text\ngood,とても です\ngood,です 配送\n".encode("shift_jis")
    found = encoding_in(sample)
    assert found is not None
    assert found.encoding == "shift_jis" or found.examples


def test_two_words_that_contradict_each_other_do_not_turn_a_long_text() -> None:
    """A name with Ð, which Baltic encodings spell with Š, beside a š that they do not have."""
    lines = [f"Käyttäjä {n} löytyi ja on tämä se" for n in range(400)]
    lines[100] += " (AÐERTY)"
    lines[200] += " Tšuvassi"
    found = encoding_in("\n".join(lines).encode("cp1252"))
    assert found is not None
    assert found.encoding == "cp1252"
    assert found.examples  # and it is told that it is a guess
