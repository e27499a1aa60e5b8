"""What pages say to whoever asked for something that cannot be, in their language."""

from ipaddress import ip_network

import pytest

from tracker.desk.allowance import Allowance
from tracker.errors import ConflictError, InputError, RefusedError, ThrottledError, TrackerError
from tracker.guard import Guard
from tracker.intake import Caller
from tracker.intake.requests import parse
from tracker.telling.kept import recognise
from tracker.web import forms
from tracker.web.languages import CHINESE, ENGLISH

URL = "https://you.example/hook"
URLS = [
    "ftp://you.example/",
    "you.example",
    "https://you.example/a b",
    "https://you:secret@you.example/",
    "https:///path",
    "https://you.example:0/",
    "https://you.example:22/",
    "https://you.example:81/",
    "https://you..example/",
    "https://127.1/",
    "https://[::zz]/",
    "https://[fe80::1%25eth0]/",
    "https://10.0.0.1/",
    "https://localhost/",
    "https://you.example/" + "x" * 3000,
]
REGISTRATIONS: list[dict[str, object]] = [
    {},
    {"task_id": ""},
    {"task_id": 7},
    {"task_id": "x" * 9999},
    {"task_id": "a\nb"},
    {"task_id": " a"},
    {"task_id": "a", "callback_url": URL, "events": ["never"]},
    {"task_id": "a", "callback_url": URL, "events": []},
    {"task_id": "a", "callback_url": URL, "metadata": "x" * 99_999},
    {"task_id": "a", "callback_url": URL, "metadata": "\0"},
]


def wrong_urls() -> list[InputError]:
    found = []
    for url in URLS:
        with pytest.raises(InputError) as caught:
            Guard(allow_networks=(ip_network("192.0.2.0/24"),)).check_url(url)
        found.append(caught.value)
    with pytest.raises(InputError) as caught:
        Guard(require_https=True).check_url("http://you.example/")
    return [*found, caught.value]


def wrong_registrations() -> list[InputError]:
    found = []
    for document in REGISTRATIONS:
        with pytest.raises(InputError) as caught:
            parse(document)
        found.append(caught.value)
    return found


@pytest.mark.parametrize("error", [*wrong_urls(), *wrong_registrations()], ids=str)
def test_what_is_wrong_with_a_form_is_said_in_each_language(error: InputError) -> None:
    assert recognise(error.problem) is not None
    assert recognise(error.fix) is not None
    assert ENGLISH.problem(error) == str(error)
    assert CHINESE.problem(error) != str(error)
    assert CHINESE.problem(error).startswith(error.field)
    assert CHINESE.problem(error).endswith(CHINESE.advice(error))


def refusals() -> list[TrackerError]:
    with pytest.raises(RefusedError) as refused:
        Caller(owner="shop", scope="read").must_be("write")
    allowance = Allowance(1, "tests a minute", lambda: 0.0)
    allowance.take("shop")
    with pytest.raises(ThrottledError) as throttled:
        allowance.take("shop")
    held = "msg_1 is held, because its endpoint is paused: `tracker endpoints enable end_1` sends what waits for it"
    return [refused.value, throttled.value, ConflictError(held), RefusedError(forms._FOREIGN)]  # noqa: SLF001


@pytest.mark.parametrize("error", refusals(), ids=str)
def test_a_refusal_is_said_in_each_language(error: TrackerError) -> None:
    assert ENGLISH.problem(error) == str(error)
    assert CHINESE.problem(error) != str(error)
