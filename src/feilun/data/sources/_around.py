"""What stands around the rows of a table: titles above the header, a second header, headers that
come again, totals, and tables further down."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from feilun.data.sources._dialect import NUMBER, has_header
from feilun.data.sources.base import BadRow
from feilun.types import Row

__all__ = ["Ahead", "Below", "joined_header", "titles_above", "without_totals"]

_ABOVE = 10
_LAST = 3
_AHEAD = 3
_TOTALS = frozenset(
    [
        "total",
        "totals",
        "sum",
        "subtotal",
        "average",
        "mean",
        "grand total",
        "合计",
        "总计",
        "小计",
        "平均",
        "总和",
        "汇总",
        "合計",
        "總計",
        "summe",
        "gesamt",
        "insgesamt",
        "durchschnitt",
        "mittelwert",
        "somme",
        "moyenne",
        "suma",
        "media",
        "promedio",
        "totale",
        "totaal",
        "soma",
        "média",
        "razem",
        "итого",
        "всего",
        "平均値",
        "합계",
        "총계",
    ]
)

Cells = Sequence[Any]
_Item = TypeVar("_Item")


def titles_above(
    first: Iterable[Sequence[str]],
    width: int,
    below: Callable[[int], Sequence[Sequence[str]]],
    known: Collection[str],
) -> int:
    """How many of the `first` rows stand above the header: those that fill half of `width` columns
    or fewer. 0 unless a header follows, which is seen in ``below(count)``, the rows from there."""
    count = 0
    for cells in first:
        if count > _ABOVE:
            return 0
        if sum(bool(cell.strip()) for cell in cells) * 2 > width:
            break
        count += 1
    else:
        return 0
    rest = below(count) if count else ()
    return count if len(rest) > 1 and has_header(rest, known) else 0


def joined_header(rows: Sequence[Sequence[str]], known: Collection[str]) -> list[str] | None:
    """The names where the second of `rows` is a header too: it names a column that the first one
    does not, by a usual name that comes nowhere below. Where it is silent the first one holds."""
    if len(rows) < 4:
        return None
    first, second = ([cell.strip() for cell in row] for row in rows[:2])
    if len(first) != len(second) or any(NUMBER.fullmatch(cell) for cell in second if cell):
        return None
    for place, (above, cell) in enumerate(zip(first, second, strict=True)):
        if cell.casefold() not in known or not above or above.casefold() in known:
            continue
        if all(len(row) <= place or row[place].strip() != cell for row in rows[2:]):
            return [own or one for one, own in zip(first, second, strict=True)]
    return None


class Ahead(Generic[_Item]):
    """An iterator whose next items can be looked at before they come. An error of the source comes
    at its place."""

    def __init__(self, source: Iterable[_Item]) -> None:
        self._source = iter(source)
        self._held: deque[_Item | Exception] = deque()

    def __iter__(self) -> Iterator[_Item]:
        return self

    def __next__(self) -> _Item:
        found = self._held.popleft() if self._held else next(self._source)
        if isinstance(found, Exception):
            raise found
        return found

    def peek(self, count: int = _AHEAD) -> list[_Item]:
        """The next items, at most `count`, and none behind an error."""
        while len(self._held) < count:
            try:
                self._held.append(next(self._source))
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001 (raised again where it belongs)
                self._held.append(error)
                break
        found: list[_Item] = []
        for one in self._held:
            if isinstance(one, Exception):
                break
            found.append(one)
        return found


class Below:
    """Looks at the rows under a header one by one: `check` says what is no row of this table."""

    def __init__(self, names: Sequence[str], known: Collection[str]) -> None:
        self._names = [name.strip() for name in names]
        self._known = known
        self._apart = False
        self._last: Cells = ()
        self._other = ""

    def blank(self) -> None:
        """A row with nothing in it: what comes next may be another table."""
        self._apart = True

    def check(
        self, cells: Cells, ahead: Callable[[], Sequence[Cells]]
    ) -> tuple[str, dict[str, Any]] | None:
        """The key and the parameters of why `cells` are no row, None where they are one. `ahead`
        shows the rows that come next."""
        if not self._apart:
            self._last = cells
        if self._other:
            return "formats.another_table", {"header": self._other}
        first = cells[0] if cells else None
        if not self._apart and first != self._names[0]:  # by far the most frequent
            return None
        written = _written(cells)
        if written[: len(self._names)] == self._names:
            return "formats.header_again", {}
        filled = [cell for cell in written if cell]
        if not self._apart:
            return None
        named = sum(len(cell) > 1 and cell.casefold() in self._known for cell in filled)
        words = not any(map(NUMBER.fullmatch, filled))
        if words and (named > 1 or _heads(written, ahead(), _written(self._last))):
            self._other = ", ".join(filled)[:80]
            return "formats.another_table", {"header": self._other}
        self._apart = 2 * len(filled) <= len(self._names)  # a title above the next one
        return None


def _written(cells: Cells) -> list[str]:
    return ["" if cell is None else str(cell).strip() for cell in cells]


def _heads(header: Sequence[str], rows: Sequence[Cells], above: Sequence[str]) -> bool:
    """Whether `header` has words over numbers in `rows` where the row `above` has a word, so that
    these are rows of another table."""
    below = [_written(row) for row in rows if any(_written(row))]
    return len(below) > 1 and any(
        cell
        and before
        and not NUMBER.fullmatch(before)
        and all(len(row) > place and NUMBER.fullmatch(row[place]) for row in below)
        for place, (cell, before) in enumerate(zip(header, above, strict=False))
    )


def without_totals(rows: Iterable[Row | BadRow]) -> Iterator[Row | BadRow]:
    """The rows; those at the very end that sum up the others are bad ones."""
    held: deque[Row | BadRow] = deque()
    for row in rows:
        held.append(row)
        if len(held) > _LAST:
            yield held.popleft()
    last = list(held)
    for place in range(len(last) - 1, -1, -1):
        row = last[place]
        if isinstance(row, Row) and not _sums_up(row):
            break
        if isinstance(row, Row):
            last[place] = BadRow(row.number, "formats.totals", {}, row.values)
    yield from last


def _sums_up(row: Row) -> bool:
    """Whether the row's first word is one for a total, and there is nothing else but numbers."""
    cells = [str(cell).strip() for cell in row.values.values() if cell is not None]
    filled = [cell for cell in cells if cell]
    if len(filled) < 2 or filled[0].rstrip(":： ").casefold() not in _TOTALS:
        return False
    return all(NUMBER.fullmatch(cell.replace(" ", "")) for cell in filled[1:])
