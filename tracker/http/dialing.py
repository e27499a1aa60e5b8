"""From a host's name to a socket: where the guard has its last word.

A name is refused when any of its addresses is bad; and whatever is dialled in the end, literal or resolved, is
judged once more in the call that makes its socket, so that nothing can change in between.
"""

import asyncio
import errno
import functools
import ipaddress
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from weakref import WeakValueDictionary

import structlog
from aiohappyeyeballs import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from tracker.guard import Guard, unwrapped
from tracker.http import phases

Lookup = Callable[[str], Sequence[str]]
"""All addresses of a host's name; runs on a thread, raises OSError."""

LONGEST_LOOKUP_SECONDS = 5.0
"""For a name, with its wait for a free thread."""
_LONGEST_WAIT_SECONDS = 2.0
"""For a free thread; leaves the lookup itself time enough to be judged by."""
MOST_ADDRESSES = 64
MOST_DIALLED = 4
"""Of a name's addresses. The client tries all of them, then all but the first, and so on: a name with 64 would get its
owner, or anybody it names, two thousand connections for one message."""
_MOST_LOOKUPS = 16
_MOST_LOOKUPS_OF_A_DOMAIN = 4
"""Whoever runs the servers of a domain decides how long its look-ups take."""
_SHARED_LABELS = frozenset({"ac", "co", "com", "edu", "go", "gov", "ne", "net", "or", "org"})
"""Below a country they belong to everybody: one owner's part is the label before."""
_COUNTRY_LETTERS = 2

_log = structlog.get_logger(__name__)


class BlockedError(OSError):
    """The guard forbids it. Says nothing about addresses, since its text may reach whoever named the host."""


def blocked(host: str, rule: str) -> BlockedError:
    """Tell the operator which rule it was and the caller only that there was one."""
    phases.note_blocked()
    _log.info("call_blocked", host=host, rule=rule)
    return BlockedError("blocked by the guard")


def system_lookup(host: str) -> Sequence[str]:
    """The addresses of a name as the system knows them; raises OSError."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "the name cannot be encoded") from None
    return [str(address[0]) for *_, address in found]


class Resolver(AbstractResolver):
    """Resolves names for one client on threads of its own, one lookup per name at a time, within 5 s."""

    def __init__(self, lookup: Lookup, guard: Guard | None) -> None:
        self._lookup = lookup
        self._guard = guard
        self._free = asyncio.Semaphore(_MOST_LOOKUPS)
        self._free_of_domains: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._running: dict[str, asyncio.Task[Sequence[str]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every address of the name; raises BlockedError if there is a bad one, TimeoutError, or OSError."""
        async with asyncio.timeout(LONGEST_LOOKUP_SECONDS):
            addresses = await self._joined(host)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        if self._guard:
            _check_all(self._guard, host, addresses)
        found = [_result(host, address, port) for address in _few_of_each_kind(addresses)]
        return [result for result in found if family in (socket.AF_UNSPEC, result["family"])]

    async def close(self) -> None:
        """Lookups still under way end by themselves, on threads that keep no process alive."""

    async def _joined(self, host: str) -> Sequence[str]:
        # A name whose servers hang must not take a thread for every attempt to reach it.
        running = self._running.get(host)
        if running is None:
            running = asyncio.create_task(self._looked_up(host))
            self._running[host] = running
            running.add_done_callback(functools.partial(self._forget, host))
        return await asyncio.shield(running)

    async def _looked_up(self, host: str) -> Sequence[str]:
        ends_at = asyncio.get_running_loop().time() + _LONGEST_WAIT_SECONDS
        of_domain = self._free_of_domains.setdefault(domain_of(host), asyncio.Semaphore(_MOST_LOOKUPS_OF_A_DOMAIN))
        # The domain first: one whose servers hang must not fill the queue of all either. Its slowness is its own.
        slow = TimeoutError("too many names of this domain are being looked up")
        # Other names hang: a shortage of ours, which must not count against this one.
        short = OSError(errno.ENOBUFS, "too many names are being looked up")
        async with _turn(of_domain, ends_at, slow), _turn(self._free, ends_at, short):
            return await _on_thread(functools.partial(self._lookup, host))

    def _forget(self, host: str, done: asyncio.Task[Sequence[str]]) -> None:
        del self._running[host]
        if not done.cancelled():
            # Whoever waited may have gone; a failure that nobody fetches would be logged as lost.
            done.exception()


def domain_of(host: str) -> str:
    """The part of a name that one owner registered, as well as its text tells."""
    labels = host.lower().rstrip(".").split(".")
    is_shared = len(labels[-1]) == _COUNTRY_LETTERS and labels[-2:][0] in _SHARED_LABELS
    return ".".join(labels[-3 if is_shared else -2 :])


@asynccontextmanager
async def _turn(free: asyncio.Semaphore, ends_at: float, shortage: OSError) -> AsyncIterator[None]:
    """One of those that are free, or raise the shortage."""
    try:
        async with asyncio.timeout_at(ends_at):
            await free.acquire()
    except TimeoutError:
        raise shortage from None
    try:
        yield
    finally:
        free.release()


async def _on_thread(call: Callable[[], Sequence[str]]) -> Sequence[str]:
    """A pool would do, but joins its threads at exit: a hanging lookup would hold up the end of the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Sequence[str]] = loop.create_future()

    def settle(outcome: Sequence[str] | Exception) -> None:
        if future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def run() -> None:
        outcome: Sequence[str] | Exception
        try:
            outcome = call()
        except Exception as fault:  # noqa: BLE001 - whatever it is, it belongs to the task that waits
            outcome = fault
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=run, name="lookup", daemon=True).start()
    return await future


def _check_all(guard: Guard, host: str, addresses: Sequence[str]) -> None:
    if len(addresses) > MOST_ADDRESSES:
        raise blocked(host, "too many addresses")
    for address in addresses:
        if rule := rule_against(guard, address):
            raise blocked(host, rule)


def _few_of_each_kind(addresses: Sequence[str]) -> list[str]:
    """In their order; where one kind has few, the other gets the rest."""
    different = list(dict.fromkeys(addresses))
    ipv6 = [address for address in different if ":" in address]
    ipv4 = [address for address in different if ":" not in address]
    half = MOST_DIALLED // 2
    chosen = {*ipv6[: max(half, MOST_DIALLED - len(ipv4))], *ipv4[: max(half, MOST_DIALLED - len(ipv6))]}
    return [address for address in different if address in chosen]


def _result(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST,
    )


def rule_against(guard: Guard, address: str) -> str | None:
    """The rule that keeps an address from being dialled; None where it may be."""
    rule = guard.judge(address)
    if rule is None and not guard.allows(address) and is_this_machine(address):
        return "this machine"
    return rule


def guarded_socket(guard: Guard, target: AddrInfoType) -> socket.socket:
    """A socket for exactly this address; raises BlockedError."""
    family, kind, protocol, _, peer = target
    address = str(peer[0])
    if rule := rule_against(guard, address):
        raise blocked(address, rule)
    return socket.socket(family, kind, protocol)


def is_this_machine(address: str) -> bool:
    """Whether an address is one of our own: the kernel then talks to it from itself. Nothing is sent."""
    meant = unwrapped(ipaddress.ip_address(address))
    family = socket.AF_INET6 if meant.version == 6 else socket.AF_INET  # noqa: PLR2004 - the version
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(meant), 9))
        except OSError:
            return False
        return ipaddress.ip_address(probe.getsockname()[0]) == meant
