"""The languages of the page: which is chosen, and how each writes numbers, spans and moments."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tracker.web.languages import CHINESE, ENGLISH, LANGUAGES, Language, choose

ROOT = Path(__file__).parent.parent
EACH = pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def test_there_are_two_and_each_is_called_by_its_own_name() -> None:
    assert {code: language.name for code, language in LANGUAGES.items()} == {"en": "English", "zh-Hans": "简体中文"}


@pytest.mark.parametrize(
    ("accept_language", "code"),
    [
        (None, "en"),
        ("", "en"),
        ("*", "en"),
        ("fr", "en"),
        ("en-GB,en;q=0.9", "en"),
        ("zh", "zh-Hans"),
        ("ZH-cn", "zh-Hans"),
        ("zh-SG", "zh-Hans"),
        ("zh-Hans-CN", "zh-Hans"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"),
        ("zh-TW", "zh-Hans"),
        ("zh-Hant-HK;q=0.8, en;q=0.5", "zh-Hans"),
        ("zh-TW;q=0.5, en;q=0.8", "en"),
        ("en;q=0.5 , zh ; q=0.9", "zh-Hans"),
        ("en, zh", "en"),
        ("fr-CH, fr;q=0.9, zh;q=0.7, *;q=0.5", "zh-Hans"),
        ("zh;q=0", "en"),
        ("zh;q=0.000, en;q=0.1", "en"),
        ("zh;q=often, en;q=0.1", "en"),
        ("zh;q=nan, en;q=0.1", "en"),
        ("zh;q=7, en;q=0.1", "en"),
        ("zh;level=1, en;q=0.1", "en"),
        ("zhuang, en;q=0.1", "en"),
        (";;;,,=q", "en"),
    ],
)
def test_the_browsers_wish_is_heard(accept_language: str | None, code: str) -> None:
    assert choose(None, accept_language).code == code


@pytest.mark.parametrize(
    ("cookie", "code"), [("en", "en"), ("zh-Hans", "zh-Hans"), ("fr", "zh-Hans"), ("", "zh-Hans"), ("../en", "zh-Hans")]
)
def test_the_switch_goes_before_the_browser_where_it_names_one_of_ours(cookie: str, code: str) -> None:
    assert choose(cookie, "zh-CN").code == code


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (0, "0 ms", "0 毫秒"),
        (0.35, "350 ms", "350 毫秒"),
        (1.424, "1.42 sec", "1.42 秒"),
        (12.3, "12 sec", "12 秒"),
        (59.9, "1 min", "1 分钟"),
        (125, "2 min 5 sec", "2 分钟 5 秒"),
        (3605, "1 hr", "1 小时"),
        (3 * 86400 + 4 * 3600 + 59, "3 days 4 hr", "3 天 4 小时"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(seconds: float, english: str, chinese: str) -> None:
    span = timedelta(seconds=seconds)

    assert (ENGLISH.duration(span), CHINESE.duration(span)) == (english, chinese)


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (-180, "3 minutes ago", "3 分钟前"),
        (-1, "1 second ago", "1 秒钟前"),
        (300, "in 5 minutes", "5 分钟后"),
        (-86400 * 8, "1 week ago", "1 周前"),
    ],
)
def test_a_moment_is_told_from_now_on(seconds: int, english: str, chinese: str) -> None:
    moment = NOW + timedelta(seconds=seconds)

    assert (ENGLISH.relative(moment, NOW), CHINESE.relative(moment, NOW)) == (english, chinese)


def test_what_is_less_than_a_second_away_is_now() -> None:
    assert ENGLISH.relative(NOW + timedelta(milliseconds=900), NOW) == "now"
    assert CHINESE.relative(NOW - timedelta(milliseconds=900), NOW) == CHINESE.gettext("now")


@EACH
def test_a_moment_is_told_exactly_in_utc_and_what_is_missing_is_nothing(language: Language) -> None:
    there = NOW.astimezone(tz=datetime.fromisoformat("2026-11-22T16:00:00+08:00").tzinfo)

    assert language.exact(there) == "2026-11-22 08:00:00 UTC"
    assert (language.exact(None), language.relative(None, NOW), language.duration(None)) == ("", "", "")


@EACH
def test_numbers_are_grouped_and_almost_all_is_not_all(language: Language) -> None:
    assert language.number(1234567) == "1,234,567"
    assert [language.percent(share) for share in (0, 0.5, 0.9991, 0.99999, 1)] == [
        "0%",
        "50%",
        "99.9%",
        "99.9%",
        "100%",
    ]


@EACH
def test_the_empty_text_is_no_way_to_a_catalogues_headers(language: Language) -> None:
    assert language.gettext("") == ""


@EACH
def test_what_is_installed_knows_how_it_writes_numbers(language: Language) -> None:
    """An installation leaves out the languages that no page speaks."""
    kept = set(re.findall(r"! -name (\w+)\.dat", (ROOT / "packaging" / "venv.sh").read_text()))
    locale = str(language.locale)

    assert {"root", locale, locale.partition("_")[0]} <= kept
