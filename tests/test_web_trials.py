"""The page that tests a URL: what came of it in words, how often, and for whom."""

import html
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from api_harness import HOOK, ON_ONE_DATABASE, serving
from clocks import FakeClock
from test_web_deliveries import NASTY
from web_harness import Pages, pages_of

from tracker.http import Answer
from tracker.model import Outcome, Phase
from tracker.store.database import Database
from tracker.webhooks.sender import Attempt, Message

pytestmark = [pytest.mark.anyio, ON_ONE_DATABASE]
MILLISECOND = timedelta(milliseconds=1)


@dataclass
class Receiving:
    """A sender to whose messages always the same happens."""

    attempted: Attempt = field(default_factory=lambda: failing(status_code=204, delivered=True))
    urls: list[str] = field(default_factory=list)

    async def attempt(self, message: Message, _secrets: Sequence[str]) -> Attempt:
        self.urls.append(message.url)
        return self.attempted


def failing(*, delivered: bool = False, answer: Answer | None = None, **fields: object) -> Attempt:
    """An attempt with this outcome."""
    outcome = Outcome(delivered=delivered, duration=350 * MILLISECOND, **fields)  # type: ignore[arg-type]
    return Attempt(outcome=outcome, answer=answer)


@pytest.fixture
async def pages(database: Database, clock: FakeClock) -> AsyncIterator[Pages]:
    async with serving(database, clock) as api, pages_of(api) as pages:
        await pages.sign_in("ann", "write")
        yield pages


def receive(pages: Pages, attempted: Attempt) -> Receiving:
    """Let this happen to every test from here on."""
    receiving = Receiving(attempted)
    ports = pages.api.app.state.ports
    object.__setattr__(ports, "sender", receiving)
    return receiving


async def test_a_receiver_that_takes_it_works(pages: Pages) -> None:
    receiving = receive(pages, failing(delivered=True, status_code=204, response="thanks"))

    answer = await pages.act("/test", {"callback_url": HOOK})

    assert answer.status_code == 200
    assert "The receiver answered HTTP 204 after 350 ms: a message would be delivered." in answer.text
    assert "thanks" in answer.text
    assert receiving.urls == [HOOK]


async def test_where_it_broke_is_told_step_by_step(pages: Pages) -> None:
    receive(pages, failing(error="tls", phase=Phase.TLS, detail="no secure connection could be made: expired"))

    text = (await pages.act("/test", {"callback_url": HOOK})).text

    assert "It does not work" in text
    assert "no secure connection could be made: expired" in text
    assert 's-problem">TLS<' in text
    assert 's-ok">connect<' in text
    assert 's-unreached">headers<' in text


async def test_a_clock_that_is_off_and_a_certificate_that_ends_are_told(pages: Pages) -> None:
    expires_at = pages.api.clock() + timedelta(days=5, hours=1)
    headers = {"date": "Sun, 22 Nov 2026 08:10:00 GMT"}
    told = Answer(status=204, headers=headers, body=b"", truncated=False, certificate_expires_at=expires_at)
    receive(pages, failing(delivered=True, status_code=204, answer=told))

    text = (await pages.act("/test", {"callback_url": HOOK})).text

    assert "ahead by 10 min" in text
    assert "good for 5 more days" in text
    assert "soon over" in text


async def test_a_url_that_the_rules_block_is_said_so_without_its_address(pages: Pages) -> None:
    receive(pages, failing(error="blocked", phase=Phase.DNS, detail="this URL may not be called"))

    text = (await pages.act("/test", {"callback_url": HOOK})).text

    assert "The operator&#39;s rules do not let this URL be called" in text


@pytest.mark.parametrize("url", ["", "nonsense", "http://127.0.0.1/hook", "https://a.example:6379/", "x" * 3000, NASTY])
async def test_what_no_task_could_be_registered_with_is_said_at_the_field(pages: Pages, url: str) -> None:
    receiving = receive(pages, failing(delivered=True, status_code=204))

    answer = await pages.act("/test", {"callback_url": url})

    assert answer.status_code == 422
    assert 'aria-invalid="true" aria-describedby="callback_url-wrong' in answer.text
    assert f'value="{html.escape(url)}"' in answer.text
    assert NASTY not in answer.text
    assert receiving.urls == []


async def test_answers_are_text(pages: Pages) -> None:
    receive(pages, failing(status_code=500, error="status", response=NASTY, detail=NASTY))

    assert NASTY not in (await pages.act("/test", {"callback_url": f"{HOOK}?{NASTY}"})).text


async def test_the_allowance_is_one_with_the_apis(pages: Pages) -> None:
    receiving = receive(pages, failing(delivered=True, status_code=204))
    for _ in range(10):
        assert (await pages.act("/test", {"callback_url": HOOK})).status_code == 200

    answer = await pages.act("/test", {"callback_url": HOOK})

    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "6"
    assert 'id="callback_url-wrong"' in answer.text
    assert f'value="{HOOK}"' in answer.text
    assert len(receiving.urls) == 10


async def test_a_link_fills_the_form_in_and_sends_nothing(pages: Pages) -> None:
    receiving = receive(pages, failing(delivered=True, status_code=204))

    text = (await pages.get(f"/test?url={HOOK}")).text

    assert f'value="{HOOK}"' in text
    assert "tracker ping" in text
    assert receiving.urls == []


async def test_a_reader_may_not(pages: Pages) -> None:
    receiving = receive(pages, failing(delivered=True, status_code=204))
    await pages.act("/sign-out")
    await pages.sign_in("ann", "read")

    assert (await pages.get("/test")).status_code == 403
    assert (await pages.act("/test", {"callback_url": HOOK})).status_code == 403
    assert receiving.urls == []
