"""Hands genuine messages on, byte for byte, and the answer back."""

from collections.abc import Mapping
from datetime import timedelta

from tracker.http import Client, ExchangeError, exchange
from tracker.simulate.listener import Answering, Reply
from tracker.simulate.receiver import Arrival

_DEADLINE = timedelta(seconds=60)
_LARGEST_ANSWER = 1024 * 1024
_BAD_GATEWAY = 502
_OF_THE_CONNECTION = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "host",
        "keep-alive",
        "proxy-connection",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that belong to one connection, or that each side writes by itself."""


def forward_to(url: str, client: Client) -> Answering:
    """Answers each message with what this URL answers to it; 502 where it does not."""

    async def answer(arrival: Arrival) -> Reply:
        try:
            answered = await exchange(
                client,
                method="POST",
                url=url,
                headers=_travelling(arrival.headers),
                content=arrival.body,
                deadline=_DEADLINE,
                max_bytes=_LARGEST_ANSWER,
            )
        except ExchangeError as fault:
            text = f"{url} gave no answer: {fault.detail}\n"
            return Reply(status=_BAD_GATEWAY, headers={"content-type": "text/plain"}, body=text.encode())
        return Reply(status=answered.status, headers=_travelling(answered.headers), body=answered.body)

    return answer


def _travelling(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _OF_THE_CONNECTION}
