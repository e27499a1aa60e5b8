"""When a server wants to be asked again."""

from datetime import UTC, datetime, timedelta

import pytest

from tracker.http import parse_retry_after

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 1.5 ", 1.5),
        ("0", 0),
        ("99999999999999999999", 86400),
        ("Sun, 22 Nov 2026 08:01:00 GMT", 60),
        ("Sunday, 22-Nov-26 08:01:00 GMT", 60),
        ("Sun Nov 22 08:01:00 2026", 60),
        ("Sun, 22 Nov 2026 10:01:00 +0200", 60),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400),
        ("Sun, 22 Nov 2026 07:59:59 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +1400", None),
        (None, None),
        ("", None),
        ("-5", None),
        ("nan", None),
        ("1e3", None),
        ("١٢", None),
        ("soon", None),
        ("9" * 1000, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)

    assert parse_retry_after(value, NOW) == expected
