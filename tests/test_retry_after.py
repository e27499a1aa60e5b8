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
        ("9" * 33, 86400),
        ("9" * 1000, 86400),
        ("9" * 4000 + "." + "9" * 4000, 86400),
        ("0.001", 0.001),
        ("86400", 86400),
        ("86401", 86400),
        ("-0", None),
        ("+5", None),
        ("5,", None),
        ("5, 6", None),
        ("0x10", None),
        ("1_0", None),
        ("inf", None),
        ("1.", None),
        (".5", None),
        ("Sun, 22 Nov 2026 08:00:00 GMT", 0),
        ("Mon, 23 Nov 2026 08:00:00 GMT", 86400),
        ("Mon, 23 Nov 2026 08:00:01 GMT", 86400),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Sun, 99 Nov 2026 08:01:00 GMT", None),
        ("Sun, 22 Nov 2026 08:01:00 GMT" + " " * 9000 + "x", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)

    assert parse_retry_after(value, NOW) == expected
