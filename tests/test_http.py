"""Exchanges against real servers on loopback, most of them hostile."""

import asyncio
import gzip
import time
from datetime import timedelta

import pytest
from raw_servers import (
    OK,
    SHORT,
    Requests,
    Script,
    answering,
    ask,
    dripping,
    fault_of,
    flooding,
    serving,
    silent,
)

from tracker.http import Fixed, Request, open_upstream_client
from tracker.model import Phase

pytestmark = pytest.mark.anyio


async def test_an_answer_has_status_headers_and_body() -> None:
    answer = b"HTTP/1.1 404 Not Found\r\nX-Thing: a\r\nContent-Length: 4\r\n\r\nnope"
    async with serving(answering(answer)) as server, open_upstream_client() as client:
        got = await ask(client, server.url(), headers={"X-Own": "1", "Accept-Encoding": "gzip"})

    assert (got.status, got.headers["x-thing"], got.body, got.truncated) == (404, "a", b"nope", False)
    (request,) = server.requests
    assert request.startswith(b"POST /hook HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\n{}")
    assert b"x-own: 1" in request.lower()
    assert request.lower().count(b"accept-encoding: identity\r\n") == request.lower().count(b"accept-encoding") == 1


async def test_a_connection_is_kept_for_the_next_request_to_the_same_host() -> None:
    async with serving(answering(OK, OK)) as server, open_upstream_client() as client:
        await ask(client, server.url())
        await ask(client, server.url(), method="GET", content=b"")

    assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize(
    ("script", "phase"),
    [
        (silent, Phase.HEADERS),
        (dripping(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), Phase.HEADERS),
        (dripping(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", every=0.05), Phase.HEADERS),
        (dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x"), Phase.BODY),
    ],
    ids=["silent", "headers dripped", "103 flood", "body dripped"],
)
async def test_one_deadline_bounds_everything(script: Script, phase: Phase) -> None:
    async with serving(script) as server, open_upstream_client() as client:
        started = time.monotonic()
        fault = await fault_of(client, server.url(), deadline=SHORT)
        took = time.monotonic() - started

    assert (fault.error, fault.phase) == ("timeout", phase)
    assert 0.25 < took < 2


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x"), "timeout"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nxx"), "reset"),
        (dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"zz\r\n"), "timeout"),
    ],
    ids=["dripped", "cut off", "malformed"],
)
async def test_with_grace_a_broken_body_is_only_noted(script: Script, error: str) -> None:
    async with serving(script) as server, open_upstream_client() as client:
        started = time.monotonic()
        answer = await ask(client, server.url(), body_grace=SHORT)
        took = time.monotonic() - started

    assert (answer.status, answer.body_error, answer.truncated) == (200, error, True)
    assert answer.body.strip(b"x") == b""
    assert took < 2


async def test_grace_does_not_outlast_the_deadline() -> None:
    script = dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x")
    async with serving(script) as server, open_upstream_client() as client:
        started = time.monotonic()
        answer = await ask(client, server.url(), deadline=SHORT, body_grace=timedelta(seconds=60))

    assert answer.body_error == "timeout"
    assert time.monotonic() - started < 2


async def test_without_grace_a_broken_body_is_a_failure() -> None:
    script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nxx")
    async with serving(script) as server, open_upstream_client() as client:
        fault = await fault_of(client, server.url())

    assert (fault.error, fault.phase) == ("reset", Phase.BODY)


async def test_an_endless_body_is_cut_and_its_connection_is_not_used_again() -> None:
    endless = flooding(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3e8\r\n" + b"x" * 1000 + b"\r\n")
    async with serving(endless) as server, open_upstream_client() as client:
        answers = [await ask(client, server.url(), max_bytes=5000) for _ in range(2)]

    assert [(len(answer.body), answer.truncated) for answer in answers] == [(5000, True)] * 2
    assert server.connections == 2


async def test_a_body_of_exactly_the_cap_is_whole() -> None:
    async with serving(answering(OK)) as server, open_upstream_client() as client:
        answer = await ask(client, server.url(), max_bytes=2)

    assert (answer.body, answer.truncated) == (b"ok", False)


def gzipped(body: bytes) -> bytes:
    packed = gzip.compress(body, mtime=0)
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed


async def test_a_gzip_bomb_stays_as_it_came_or_is_inflated_up_to_the_cap() -> None:
    bomb = gzipped(b"\0" * 10_000_000)
    async with serving(answering(bomb, bomb)) as server, open_upstream_client() as client:
        raw = await ask(client, server.url(), max_bytes=20_000)
        inflated = await ask(client, server.url(), max_bytes=20_000, inflate=True)

    assert raw.body == gzip.compress(b"\0" * 10_000_000, mtime=0)
    assert (inflated.body, inflated.truncated) == (b"\0" * 20_000, True)


async def test_a_gzip_answer_that_was_not_asked_for_is_read() -> None:
    async with serving(answering(gzipped(b'{"a": 1}'), OK)) as server, open_upstream_client() as client:
        packed = await ask(client, server.url(), inflate=True)
        plain = await ask(client, server.url(), inflate=True)

    assert (packed.body, packed.truncated, plain.body) == (b'{"a": 1}', False, b"ok")


async def test_a_content_encoding_that_cannot_be_undone_is_a_failure_unless_bodies_are_only_noted() -> None:
    answer = b"HTTP/1.1 429 Slow\r\nContent-Encoding: br\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nok"
    async with serving(answering(answer, answer)) as server, open_upstream_client() as client:
        fault = await fault_of(client, server.url(), inflate=True)
        noted = await ask(client, server.url(), inflate=True, body_grace=SHORT)

    assert (fault.error, fault.phase) == ("protocol", Phase.BODY)
    assert (noted.status, noted.headers["retry-after"], noted.body_error) == (429, "7", "protocol")
    assert (noted.body, noted.truncated) == (b"", True)


async def test_a_closed_port_is_refused_while_connecting() -> None:
    async with serving(silent) as server:
        pass
    async with open_upstream_client() as client:
        fault = await fault_of(client, server.url())

    assert (fault.error, fault.phase) == ("refused", Phase.CONNECT)


async def test_a_large_request_that_is_not_read_does_not_outlast_its_answer() -> None:
    async def deaf(_reader: Requests, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        await asyncio.Event().wait()

    async with serving(deaf) as server, open_upstream_client() as client:
        async with asyncio.timeout(4):
            answer = await ask(client, server.url(), content=b"x" * 900_000)

    assert answer.status == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_answers_and_lead_nowhere(status: int) -> None:
    async with serving(answering(OK)) as elsewhere:
        redirect = b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
        script = answering(redirect % (status, elsewhere.url().encode()))
        async with serving(script) as server, open_upstream_client() as client:
            answer = await ask(client, server.url())

    assert answer.status == status
    assert (elsewhere.connections, len(server.requests)) == (0, 1)


async def test_cookies_are_neither_kept_nor_sent_back() -> None:
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with serving(answering(cookie, cookie)) as server, open_upstream_client() as client:
        await ask(client, server.url("localhost"))
        await ask(client, server.url("localhost"))

    assert len(server.requests) == 2
    assert not any(b"cookie" in request.lower() for request in server.requests)


async def test_a_request_that_meets_the_end_of_an_idle_connection_is_sent_again() -> None:
    async def hanging_up(reader: Requests, writer: asyncio.StreamWriter) -> None:
        await reader.request()
        writer.write(OK)
        await reader.request()

    async with serving(hanging_up) as server, open_upstream_client() as client:
        answers = [await ask(client, server.url()) for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    assert (server.connections, len(server.requests)) == (2, 3)


async def test_a_header_that_would_break_the_request_is_a_local_fault() -> None:
    async with serving(answering(OK)) as server, open_upstream_client() as client:
        faults = [await fault_of(client, server.url(), headers={"x": value}) for value in ("a\r\nb: c", "ü")]

    assert [fault.error for fault in faults] == ["local", "local"]
    assert server.requests == []


async def test_headers_that_are_written_once_name_each_host_they_go_to() -> None:
    headers = Fixed({"accept": "application/json", "x-own": "1"})
    async with serving(answering(OK, OK)) as one, serving(answering(OK)) as other, open_upstream_client() as client:
        for server in (one, other, one):
            response = await client.open(Request(method="GET", url=server.url(), headers=headers))
            response.release()
        with pytest.raises(ValueError, match="header"):
            await client.open(Request(method="GET", url=one.url(), headers=Fixed({"x": "a\r\nb: c"})))

    assert [len(server.requests) for server in (one, other)] == [2, 1]
    for server in (one, other):
        host = server.url().split("/")[2].encode()
        fields = b"host: " + host + b"\r\naccept: application/json\r\nx-own: 1\r\n\r\n"
        assert all(request == b"GET /hook HTTP/1.1\r\n" + fields for request in server.requests)


@pytest.mark.parametrize("place", ["headers", "own"])
@pytest.mark.parametrize("kind", [dict, Fixed])
async def test_nobody_else_says_how_long_a_request_is(kind: type[dict[str, str]], place: str) -> None:
    async with serving(answering(OK)) as server, open_upstream_client() as client:
        for name in ("content-length", "transfer-encoding"):
            given = {"headers": {}, place: kind({name: "5"})}
            with pytest.raises(ValueError, match="how long a request is"):
                await client.open(Request(method="POST", url=server.url(), content=b"{}", **given))
    assert server.requests == []


async def test_a_type_of_its_own_is_that_of_its_content() -> None:
    async with serving(answering(OK)) as server, open_upstream_client() as client:
        own = {"content-type": "text/plain"}
        response = await client.open(Request(method="POST", url=server.url(), headers={}, own=own, content=b"a"))
        response.release()
    assert server.requests[0].lower().count(b"content-type:") == 1
    assert b"content-type: text/plain" in server.requests[0].lower()


async def test_a_request_has_headers_of_its_own_beside_those_of_many() -> None:
    headers, content = Fixed({"content-type": "application/json"}), b"{}"
    async with serving(answering(OK, OK)) as server, open_upstream_client() as client:
        for own in ({"webhook-id": "msg_1"}, {"webhook-id": "msg_2"}):
            response = await client.open(
                Request(method="POST", url=server.url(), headers=headers, own=own, content=content)
            )
            response.release()
        with pytest.raises(ValueError, match="header"):
            await client.open(Request(method="POST", url=server.url(), headers=headers, own={"x": "a\r\nb: c"}))

    host = server.url().split("/")[2]
    assert [request.decode() for request in server.requests] == [
        f"POST /hook HTTP/1.1\r\nhost: {host}\r\naccept: */*\r\ncontent-type: application/json\r\n"
        f"webhook-id: msg_{number}\r\ncontent-length: 2\r\n\r\n{{}}"
        for number in (1, 2)
    ]


async def test_headers_of_an_answer_are_found_by_names_in_lower_case_and_equal_ones_joined() -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-Thing: a\r\nContent-Length: 0\r\nx-thing: b\r\nX-Old: \xfc\r\n\r\n"
    async with serving(answering(answer)) as server, open_upstream_client() as client:
        got = await ask(client, server.url())

    assert "x-thing" in got.headers
    assert "retry-after" not in got.headers
    assert dict(got.headers) == {"x-thing": "a, b", "content-length": "0", "x-old": "ü"}


async def test_a_url_that_cannot_be_called_is_blocked() -> None:
    async with open_upstream_client() as client:
        faults = [
            await fault_of(client, url) for url in ("http://a\x00b/", "ftp://127.0.0.1/", "http:///x", "http://xn--a/")
        ]

    assert [fault.error for fault in faults] == ["blocked"] * 4
