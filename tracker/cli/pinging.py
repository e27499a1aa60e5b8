"""A test of a URL from this machine: what its name stands for, what the guard says to that, what the receiver says."""

import asyncio
import ipaddress
from collections.abc import Sequence
from functools import partial

import tracker
from tracker import log
from tracker.cli.protocol import Document
from tracker.clock import utc_now
from tracker.config import CallbackSettings
from tracker.errors import InputError
from tracker.guard import Guard
from tracker.http import open_callback_client, rule_against, system_lookup
from tracker.model import Trial
from tracker.origins import host_of
from tracker.store import access
from tracker.store.database import Database
from tracker.telling import tell_trial
from tracker.webhooks import Sender, new_secret, try_url


def ping(url: str, owner: str, callbacks: CallbackSettings, database: Database) -> Document:
    """Send `callback.test` as the daemon would; the answer of the API, with all that an operator may know."""
    guard = Guard(allow_networks=callbacks.allow_networks, require_https=callbacks.require_https)
    try:
        host = host_of(url)
    except InputError as error:
        raise InputError("CALLBACK_URL", error.problem, error.fix) from None
    addresses = _survey(guard, host)
    work = partial(access.secrets_of, owner=owner, now=utc_now(), fresh=new_secret())
    secrets = database.write_now(work)
    with log.quiet():
        trial = asyncio.run(_send(url, secrets, guard, callbacks))
    told: Document = {"url": url, **tell_trial(trial), "addresses": addresses}
    if trial.outcome.error == "blocked":
        told["blocked_by"] = _reason(guard, url, addresses)
    return told


_EVERYWHERE = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
_NEVER_OPENED = frozenset({"link-local", "cloud metadata"})
"""Where machines in clouds are told their secrets: nobody is advised to let callbacks in there."""


def _survey(guard: Guard, host: str) -> list[Document]:
    """Every address of a host, with the rule against it and what would open it."""
    found = []
    for address in dict.fromkeys(_addresses(host)):
        rule = rule_against(guard, address)
        found.append({"address": address, "rule": rule, "opened_by": _opening(guard, address, rule)})
    return found


def _opening(guard: Guard, address: str, rule: str | None) -> str | None:
    return None if rule is None or rule in _NEVER_OPENED else guard.opening(address)


def _addresses(host: str) -> Sequence[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    try:
        return system_lookup(host)
    except OSError:
        # The attempt meets the same fault, and tells it.
        return []


async def _send(url: str, secrets: Sequence[str], guard: Guard, callbacks: CallbackSettings) -> Trial:
    async with open_callback_client(guard, reuse=False) as client:
        sender = Sender(client, version=tracker.__version__, timeout=callbacks.timeout, clock=utc_now)
        return await try_url(sender, url, secrets, utc_now)


def _reason(guard: Guard, url: str, addresses: Sequence[Document]) -> str:
    """The rule that blocks, and what would open it: one about the URL first, which no opened network changes."""
    everything = Guard(allow_networks=_EVERYWHERE, require_https=guard.require_https)
    try:
        everything.check_url(url)
    except InputError as error:
        return f"{error.problem}; {error.fix}"
    closed = [one for one in addresses if one["rule"]]
    if closed:
        rules = ", ".join(f"{one['address']} ({one['rule']})" for one in closed)
        entries = [f'"{one["opened_by"]}"' for one in closed if one["opened_by"]]
        opening = f"; callbacks.allow_networks = [{', '.join(entries)}] opens it" if entries else ""
        return f"{rules} may not be called{opening}"
    return "the guard or a firewall of this machine"
