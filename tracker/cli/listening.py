"""Listens for messages on this machine until somebody says that it is enough."""

import asyncio
import base64
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

import click

from tracker.cli.arrivals import shower
from tracker.clock import utc_now
from tracker.errors import InputError, UnavailableError
from tracker.http import open_upstream_client
from tracker.origins import origin_of
from tracker.simulate import Arrival, Listener, always, forward_to, serve_app
from tracker.store import access
from tracker.store.database import Database
from tracker.webhooks.signing import decode_secret, new_secret

Secrets = Callable[[], Sequence[str]]


def only(secret: str) -> Secrets:
    """This one, written as every library takes it."""
    try:
        key = decode_secret(secret)
    except ValueError as error:
        raise InputError("--secret", str(error), "copy what `tracker secret` prints") from None
    plain = f"whsec_{base64.b64encode(key).decode()}"
    return lambda: [plain]


def stored(owner: str, database: Database) -> Secrets:
    """What signs for an owner in the moment of asking."""
    return lambda: database.write_now(partial(access.secrets_of, owner=owner, now=utc_now(), fresh=new_secret()))


async def listen_until_told(
    host: str, port: int, *, secrets: Secrets, forward: str | None, status: int, as_json: bool
) -> None:
    """Show every message that arrives, until Ctrl-C or SIGTERM."""
    arrivals: asyncio.Queue[Arrival | None] = asyncio.Queue()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, arrivals.put_nowait, None)
    async with AsyncExitStack() as stack:
        answer = always(status)
        if forward is not None:
            _check(forward)
            answer = forward_to(forward, await stack.enter_async_context(open_upstream_client()))
        listener = Listener(secrets=secrets, answer=answer, told=arrivals.put_nowait)
        try:
            url = await stack.enter_async_context(serve_app(listener, host=host, port=port))
        except OSError as error:
            raise UnavailableError(f"--listen: {host}:{port} cannot be had ({error.strerror})") from error
        click.echo(f"listening at {url} until Ctrl-C", err=True)
        show = shower(as_json=as_json)
        while (arrival := await arrivals.get()) is not None:
            show(arrival)


def _check(url: str) -> None:
    try:
        origin_of(url)
    except InputError as error:
        raise InputError("--forward-to", error.problem, error.fix) from None
