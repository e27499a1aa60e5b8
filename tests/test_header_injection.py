"""What somebody else may write, a URL and the fields of a registration, never becomes a header."""

import json
from dataclasses import replace
from typing import Any

import pytest
from raw_servers import LOOPBACK_OPEN, OK, answering, serving
from test_messages import CALLBACK, composed
from test_sender import SECRET, delivery, sender

from tracker.errors import InputError
from tracker.http import open_callback_client
from tracker.intake.requests import parse

pytestmark = pytest.mark.anyio

OURS = {
    "host",
    "content-type",
    "content-length",
    "user-agent",
    "accept",
    "accept-encoding",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
}


async def sent(path: str, body: str = "{}") -> tuple[str, dict[str, str], bytes]:
    """Request line, headers and body of one attempt, as they arrive."""
    async with serving(answering(OK)) as server, open_callback_client(LOOPBACK_OPEN) as client:
        outcome = await sender(client).send(delivery(f"http://127.0.0.1:{server.port}{path}", body), [SECRET])
    assert outcome.delivered
    head, _, content = server.requests[0].partition(b"\r\n\r\n")
    line, *headers = head.decode("ascii").split("\r\n")
    named = [(name.lower(), value) for name, _, value in (header.partition(": ") for header in headers)]
    assert len(named) == len(dict(named)), "no header twice"
    return line, dict(named), content


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/hook?a=1&b=%20c", "/hook?a=1&b=%20c"),
        ("?a=1", "/?a=1"),
        ("/hook#part", "/hook"),
        ("/%0d%0ax-more:%201", "/%0d%0ax-more:%201"),
        ("/?a=%0D%0Ax-more:%201%0D%0A%0D%0A", "/?a=%0D%0Ax-more:%201%0D%0A%0D%0A"),
        ("/%00", "/%00"),
        ("/späße?q=猪", "/sp%C3%A4%C3%9Fe?q=%E7%8C%AA"),
        ("/a%20HTTP/1.1", "/a%20HTTP/1.1"),
        ("/%E5%98%8A%E5%98%8Dx-more:1", "/%E5%98%8A%E5%98%8Dx-more:1"),
    ],
)
async def test_a_url_stays_one_word_of_the_request_line(path: str, target: str) -> None:
    line, headers, _ = await sent(path)

    assert line == f"POST {target} HTTP/1.1"
    assert set(headers) == OURS


async def test_the_headers_are_ours_and_each_is_there_once() -> None:
    _, headers, content = await sent("/")

    assert set(headers) == OURS
    assert headers["host"].startswith("127.0.0.1:")
    assert headers["accept-encoding"] == "identity"
    assert int(headers["content-length"]) == len(content)


async def test_line_breaks_in_what_was_registered_are_letters_of_the_body() -> None:
    told = "one\r\nx-more: 1\r\n\r\ntwo"
    body = composed({"prompt": told}, callback=replace(CALLBACK, metadata={"note": told}))

    _, headers, content = await sent("/", body)

    assert set(headers) == OURS
    assert b"\r" not in content
    assert b"\n" not in content
    data = json.loads(content)["data"]
    assert (data["metadata"], data["task"]) == ({"note": told}, {"prompt": told})


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"task_id": "1\r\nx-more: 1"}, "task_id"),
        ({"task_id": "1\nx"}, "task_id"),
        ({"task_id": "1\x00"}, "task_id"),
        ({"task_id": " 1"}, "task_id"),
        ({"callback_url": "https://a.example/\r\nx-more: 1"}, "callback_url"),
        ({"callback_url": "https://a.example/\n"}, "callback_url"),
        ({"headers": {"x-more": "1"}}, "headers"),
        ({"user_agent": "x\r\ny: z"}, "user_agent"),
        ({"description": "x\r\ny: z"}, "description"),
        ({"secret": "whsec_x"}, "secret"),
        ({"method": "GET"}, "method"),
        ({"proxy": "http://127.0.0.1"}, "proxy"),
    ],
)
def test_a_registration_has_nothing_that_could_become_a_header(more: dict[str, Any], field: str) -> None:
    document = {"task_id": "1", "callback_url": "https://a.example/", **more}

    with pytest.raises(InputError) as refused:
        parse(document)

    assert refused.value.field == field


def test_an_ordinary_registration_is_taken() -> None:
    assert parse({"task_id": "1", "callback_url": "https://a.example/"}).task_id == "1"
