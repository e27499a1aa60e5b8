"""What pages say to whoever asked for something that cannot be, in their language."""

import ast
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

import tracker
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


TOLD_ON_PAGES = ["web", "desk", "intake", "guard.py", "origins.py", "store/redelivery.py", "store/receivers.py"]
REFUSING = {"InputError", "UnfitError", "NotFoundError", "ConflictError", "RefusedError"}


def written_in(source: str) -> Iterator[str]:
    """What a source tells people of refusals; what is filled in is a 7."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in REFUSING:
            # The first argument of an InputError names the field.
            for told in call.args[1 if call.func.id == "InputError" else 0 :]:
                if isinstance(told, ast.JoinedStr):
                    pieces = (part.value if isinstance(part, ast.Constant) else "7" for part in told.values)
                    yield "".join(str(piece) for piece in pieces)
                elif isinstance(told, ast.Constant):
                    yield str(told.value)


def sources() -> list[Path]:
    places = [Path(tracker.__file__).parent / name for name in TOLD_ON_PAGES]
    return [path for place in places for path in ([place] if place.is_file() else sorted(place.rglob("*.py")))]


@pytest.mark.parametrize("text", sorted({text for path in sources() for text in written_in(path.read_text())}))
def test_every_refusal_that_a_page_can_meet_is_said_in_chinese(text: str) -> None:
    assert CHINESE.said(text) != text or CHINESE.gettext(text) != text
