"""What of the tokens leaves: nothing of a stop word, wherever tokens end, and calls whole."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.engines._screen import Piece, Screen, Token, ToolCall


def _run(tokens: list[str], screen: Screen) -> list[Piece]:
    pieces: list[Piece] = []
    for token in tokens:
        pieces += screen.add(Token(token))
        if screen.stopped:
            return pieces
    return pieces + screen.end()


def _text(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


WORDS = st.text("ab", min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("ab", max_size=3), max_size=12), st.lists(WORDS, min_size=1, max_size=3))
def test_an_answer_ends_before_its_first_stop_word(tokens: list[str], stops: list[str]) -> None:
    screen = Screen(stops)
    left = ""
    whole = "".join(tokens)
    ends = [place for word in stops if (place := whole.find(word)) >= 0]
    # Of several, the one that is complete first ends the answer, as it is while it is written.
    done = (
        min((whole.find(word) + len(word), whole.find(word)) for word in stops if word in whole)[1]
        if ends
        else len(whole)
    )
    for token in tokens:
        for piece in screen.add(Token(token)):
            left += piece.text
            assert len(left) <= max(done, min(ends, default=len(whole)))
        if screen.stopped:
            break
    left += _text(screen.end())
    assert screen.stopped == bool(ends)
    assert whole.startswith(left)
    if ends:
        assert not any(word in left for word in stops)
        assert any(whole.startswith(word, len(left)) for word in stops)
    else:
        assert left == whole


def test_tokens_are_counted_as_they_leave() -> None:
    pieces = _run(["I ", "say", " ", "EN", "D", " more"], Screen(["END"]))
    assert [(piece.text, piece.tokens) for piece in pieces] == [("I ", 1), ("say", 1), (" ", 1)]
    # A token is one, whether all of it leaves or its beginning alone.
    pieces = _run(["well", " doneEN", "D"], Screen(["END"]))
    assert [(piece.text, piece.tokens) for piece in pieces] == [("well", 1), (" done", 1)]
    # What only began like one leaves when that is known.
    pieces = _run(["E", "N", "O", "E"], Screen(["END"]))
    assert (_text(pieces), sum(piece.tokens for piece in pieces)) == ("ENOE", 4)


def test_a_word_of_several_characters_is_seen_across_scripts() -> None:
    pieces = _run(["你", "好，", "再", "见", "了"], Screen(["再见"]))
    assert _text(pieces) == "你好，"


def _call(name: str, **arguments: object) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


@given(st.integers(1, 9))
def test_calls_leave_whole(size: int) -> None:
    said = f"Let me see. {_call('price', of='茶')} and{_call('stock', of='tea', n=2)}."
    tokens = [said[place : place + size] for place in range(0, len(said), size)]
    pieces = _run(tokens, Screen(tools=["price", "stock"]))
    assert _text(pieces) == "Let me see.  and."
    calls = [call for piece in pieces for call in piece.calls]
    assert calls == [
        ToolCall("price", '{"of": "茶"}'),
        ToolCall("stock", '{"of": "tea", "n": 2}'),
    ]
    assert sum(piece.tokens for piece in pieces) == len(tokens)


def test_what_is_no_call_is_text() -> None:
    for said in (
        _call("other"),
        "<tool_call>{]</tool_call>",
        "<tool_call>[1]</tool_call>",
        "<tool",
    ):
        assert _text(_run(list(said), Screen(tools=["price"]))) == said
    # Without tools the marks mean nothing.
    assert _text(_run(list(_call("price")), Screen())) == _call("price")
    # The second mark may be missing, the arguments may be a text or be called parameters.
    for inner in (
        '{"name": "price", "parameters": {"of": 1}}',
        '{"name": "price", "arguments": "{\\"of\\": 1}"}',
        '{"function": {"name": "price", "arguments": {"of": 1}}}',
    ):
        (piece,) = _run([f"<tool_call>\n{inner}\n"], Screen(tools=["price"]))
        assert piece.calls == (ToolCall("price", '{"of": 1}'),)
    # A number that is none in JSON would reach nobody's parser.
    assert not any(
        piece.calls
        for piece in _run(
            ['<tool_call>{"name": "price", "arguments": {"of": NaN}}'], Screen(tools=["price"])
        )
    )


def test_a_stop_word_does_not_cut_a_call() -> None:
    said = f"a{_call('price', of='END')}b END c"
    pieces = _run(list(said), Screen(["END"], ["price"]))
    assert _text(pieces) == "ab "
    assert [len(piece.calls) for piece in pieces if piece.calls] == [1]


def test_probabilities_leave_with_their_tokens() -> None:
    screen = Screen(["END"])
    assert screen.add(Token("E", -0.5, [("E", -0.5), ("茶", -1.0)])) == []
    (piece,) = screen.add(Token("x", -0.25))
    assert [(one["token"], one["logprob"]) for one in piece.logprobs] == [("E", -0.5), ("x", -0.25)]
    other = piece.logprobs[0]["top_logprobs"][1]
    assert other == {"token": "茶", "logprob": -1.0, "bytes": list("茶".encode())}
