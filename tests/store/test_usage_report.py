"""What operators may ask for, and the forms in which they get it."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import date
from io import StringIO

import pytest
from sqlalchemy import text

from ensue.errors import InvalidRequest, Overloaded
from ensue.store.db import Database
from ensue.store.usage import DIMENSIONS, UsageRow, Wanted
from ensue.store.usage_report import as_csv, as_dict, parse_wanted, read_report
from tests.store.ledger_tools import batch, reservation, settlement, write

ROW = UsageRow(date(2026, 3, 10), "key_a", 'the "best", team', "tiny", 2, 20, 8, 10)


def test_nothing_asked_is_all_by_all() -> None:
    assert parse_wanted({}) == Wanted(DIMENSIONS)


def test_what_is_asked_is_taken() -> None:
    asked = {"by": "model, day", "from": "2026-03-01", "to": "2026-03-31", "key": "", "model": "tiny"}
    assert parse_wanted(asked) == Wanted(("model", "day"), date(2026, 3, 1), date(2026, 3, 31), "", "tiny")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("by", value) for value in ("", "user", "day,day", "day,", "days")),
        *(("from", value) for value in ("", "yesterday", "2026-02-30", "2026-03-01T00", "2026-03-01\0", "10000-01-01")),
        ("to", "1.3.2026"),
        ("key", "a\0b"),
        ("model", "\n"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_name(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{name} must be") as caught:
        parse_wanted({name: value})
    assert caught.value.param == name


def test_a_row_says_only_what_it_was_asked_by() -> None:
    numbers = {"requests": 2, "prompt_tokens": 20, "cached_tokens": 8, "completion_tokens": 10, "total_tokens": 30}
    assert as_dict(ROW, ("day",)) == {"day": "2026-03-10"} | numbers
    assert as_dict(ROW, ("key", "model")) == {"key_id": "key_a", "key_name": ROW.key_name, "model": "tiny"} | numbers


def test_a_table_has_a_line_of_names() -> None:
    header = "day,key_id,key_name,model,requests,prompt_tokens,cached_tokens,completion_tokens,total_tokens\n"
    assert as_csv([ROW], DIMENSIONS) == header + '2026-03-10,key_a,"the ""best"", team",tiny,2,20,8,10,30\n'
    assert as_csv([], DIMENSIONS) == header


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1", "\uff20x", '=HYPERLINK("http://x","y")'])
def test_no_name_is_a_formula(name: str) -> None:
    (cells,) = list(csv.reader(StringIO(as_csv([replace(ROW, key_name=name, model=name)], DIMENSIONS))))[1:]
    assert cells[2:4] == [f"'{name}"] * 2


def test_a_report_has_no_more_rows_than_it_may(database: Database) -> None:
    models = ("a", "b", "c")
    write(database, batch(*(reservation(m, model=m) for m in models), *map(settlement, models)))
    assert len(read_report(database, Wanted(), max_rows=3)) == 3
    with pytest.raises(InvalidRequest, match="more than 2 rows"):
        read_report(database, Wanted(), max_rows=2)


def test_a_database_that_fails_is_an_overload(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("DROP TABLE usage_by_day"))
    with pytest.raises(Overloaded):
        read_report(database, Wanted())
