"""The request line: what was registered is what a receiver reads, because it may have signed it."""

import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st
from raw_servers import LOOPBACK_OPEN, OK, answering, ask, serving

from tracker.errors import InputError
from tracker.guard import Guard
from tracker.http import open_callback_client, open_upstream_client
from tracker.http.targets import target_of
from tracker.origins import host_of

pytestmark = pytest.mark.anyio

AS_THEY_ARE = [
    "/hook",
    "/?sig=ab%2Bcd%2F%3D",
    "/?sig=ab%2bcd%2f%3d",
    "/%7Euser?x=%41",
    "/~user?x=A",
    "/x?",
    "/?",
    "/x??a=1",
    "/?a=%25%32",
    "/?u=https%3A%2F%2Fe.x%2Fz",
    "/?u=https://e.x/z?b=%26&c=d@e",
    "/?a=b+c%20d",
    "/?a=1&&b;c=&=d",
    "/a/../b/./c",
    "/a/%2e%2e/b",
    "/a//b/",
    "//a.test/x",
    "/a%2Fb%3Fc",
    "/a;v=1/b,c:d@e!$&'()*+=",
    "/100%?of=100%&x=%zz",
    "/a?b=[1]|{2}^`3`",
]
ESCAPED = [
    ("", "/"),
    ("?a=%2F", "/?a=%2F"),
    ("/x#part", "/x"),
    ("/x?#part", "/x?"),
    ("#part", "/"),
    ("/x?a=%2F#b?c", "/x?a=%2F"),
    ("/sp\u00e4\u00dfe/%2F?\u00fc=%2f\u65e5", "/sp%C3%A4%C3%9Fe/%2F?%C3%BC=%2f%E6%97%A5"),
    ('/"<>`{}/?a="<>', "/%22%3C%3E%60%7B%7D/?a=%22%3C%3E"),
]


async def request_line(rest: str, host: str = "127.0.0.1") -> str:
    """What a callback to a URL with this behind its port begins with."""
    async with serving(answering(OK)) as server, open_callback_client(LOOPBACK_OPEN) as client:
        await ask(client, f"http://{host}:{server.port}{rest}")

    (request,) = server.requests
    return request.partition(b"\r\n")[0].decode("latin-1")


@pytest.mark.parametrize("target", AS_THEY_ARE)
async def test_a_url_is_called_as_it_was_registered(target: str) -> None:
    assert await request_line(target) == f"POST {target} HTTP/1.1"


@pytest.mark.parametrize(("rest", "target"), ESCAPED)
async def test_only_what_no_request_line_may_hold_is_escaped_or_left_out(rest: str, target: str) -> None:
    assert await request_line(rest) == f"POST {target} HTTP/1.1"


async def test_what_an_operator_configured_is_called_as_it_stands_too() -> None:
    async with serving(answering(OK)) as server, open_upstream_client() as client:
        await ask(client, f"http://127.0.0.1:{server.port}/mj/%7Ea/../b c?ids=a%2Cb")

    assert server.requests[0].startswith(b"POST /mj/%7Ea/../b%20c?ids=a%2Cb HTTP/1.1\r\n")


@given(st.text(max_size=60))
def test_a_target_is_one_word_that_begins_with_a_slash(rest: str) -> None:
    """So it neither ends the request line nor adds to the host before it."""
    target = target_of(f"https://a.test/{rest}")

    assert target.startswith("/")
    assert target.isascii()
    assert target.isprintable()
    assert " " not in target


@given(st.text(alphabet="aA1:/?#[]@%.\\-_ \u00fc", max_size=30))
def test_the_host_that_the_guard_judges_is_the_host_that_is_called(rest: str) -> None:
    url = f"https://a{rest}"
    try:
        Guard().check_url(url)
    except InputError:
        return

    called = yarl.URL(url).with_path(target_of(url), encoded=True)

    assert called.raw_host is not None
    assert called.raw_host.removesuffix(".") == host_of(url)
    assert called.raw_path_qs == target_of(url)
