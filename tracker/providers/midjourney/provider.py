"""Asks one upstream about tasks: by lists where it has them, one by one where not."""

import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from tracker.clock import Clock
from tracker.model import Miss, MissKind, Seen, Snapshot
from tracker.providers.midjourney.addresses import Addresses, is_plain
from tracker.providers.midjourney.answers import Reply, is_about_account, is_upstream_wide, is_whole, task_in
from tracker.providers.midjourney.batching import Batching, BatchMode, Verdict, judge
from tracker.providers.midjourney.lists import digest_of, is_calm, listed
from tracker.providers.midjourney.objects import snapshot
from tracker.providers.protocol import NOTHING_KNOWN, Look

Fetch = Callable[[str, str, Mapping[str, str], bytes | None], Awaitable[Reply | Miss]]
"""Method, URL, headers, content; a `Miss` where no answer came."""

_ANY_TIME = datetime.min.replace(tzinfo=UTC)
MOST_REQUESTS = 10
"""HTTP requests that one look makes; ids beyond them wait for the next."""
_SHORTEST_SECRET = 6
_WAITS = Miss(kind=MissKind.TRANSIENT, detail="not asked in this look: its turn is the next")
_UNLISTED = Miss(kind=MissKind.UNKNOWN, detail="the upstream leaves this id out of its list")
_UNSETTLED = Miss(
    kind=MissKind.TRANSIENT,
    detail="the upstream leaves this id out of its list; no single fetch has settled yet whether it knows it",
)
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_AS_BEFORE = Snapshot(task_id="", status=None)
"""Stands for what a task told before, where it tells the same again."""


@dataclass(slots=True, kw_only=True)
class _Round:
    """A look in progress."""

    waiting: list[str]
    known: Mapping[int, str]
    seen: dict[str, Seen] = field(default_factory=dict)
    unchanged: set[str] = field(default_factory=set)
    digests: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    trouble: Miss | None = None
    check: Seen | None = None
    """What a single fetch said of the first id found left out of a list; there is one such check in a look."""
    left_out: set[str] = field(default_factory=set)
    """Ids that a list left out although the upstream may know them."""
    is_alone: bool = False
    """Whether lists are done with: what they leave out is asked for one by one."""

    def answer(self, seen: Mapping[str, Seen], unchanged: AbstractSet[str] = frozenset()) -> None:
        self.seen.update(seen)
        self.unchanged |= unchanged
        self.waiting = [task_id for task_id in self.waiting if task_id not in seen and task_id not in unchanged]

    def blame(self, miss: Miss) -> None:
        """It is about the upstream, unless that has just answered with the same credential and base URL."""
        is_disproved = bool(self.unchanged) or any(map(_is_proper, self.seen.values()))
        if not (is_disproved and miss.kind in (MissKind.REFUSED, MissKind.UNUSABLE)):
            self.trouble = miss

    def close(self) -> Look:
        """With an entry for every id: the trouble where there is one, patience otherwise."""
        if self.waiting:
            rest = {task_id: _UNSETTLED if task_id in self.left_out else _WAITS for task_id in self.waiting}
            self.answer(dict.fromkeys(rest, self.trouble) if self.trouble else rest)
        return Look(
            seen=self.seen,
            unchanged=self.unchanged,
            digests=self.digests,
            trouble=self.trouble,
            requests=self.requests,
        )


class Midjourney:
    """The provider of one upstream; remembers how that upstream likes to be asked."""

    def __init__(
        self,
        *,
        addresses: Addresses,
        headers: Mapping[str, str],
        fetch: Fetch,
        batching: Batching,
        timeout: timedelta,
        clock: Clock,
    ) -> None:
        self._addresses = addresses
        self._headers = {"accept": "application/json", **headers}
        self._secrets = [value.removeprefix("Bearer ") for value in headers.values()]
        self._fetch = fetch
        self._batching = batching
        self._is_single = batching.mode is BatchMode.OFF
        self._insists = batching.insists
        self._timeout = timeout
        self._clock = clock
        self._checks = 0

    @property
    def look_size(self) -> int:
        """How many ids one look should carry just now."""
        # It is asked for all the time, and seldom hangs on what time it is.
        if self._is_single:
            return 1
        return self._batching.look_size(self._clock() if self._batching.single_until else _ANY_TIME)

    def look(self, task_ids: Sequence[str], known: Mapping[int, str] = NOTHING_KNOWN) -> Coroutine[Any, Any, Look]:
        """Ask about these tasks; starts no further request once the timeout of one has passed."""
        if len(task_ids) == 1 and not self._insists:
            return self._look_at(task_ids[0], known)
        return self._look_at_many(task_ids, known)

    async def _look_at_many(self, task_ids: Sequence[str], known: Mapping[int, str]) -> Look:
        this = _Round(waiting=list(dict.fromkeys(task_ids)), known=known)
        started_at = now = self._clock()
        while this.waiting and not this.trouble and this.requests < MOST_REQUESTS and now - started_at < self._timeout:
            # One id is asked for alone even where lists work: the fetch call says more about it.
            is_many = len(this.waiting) > 1 or not self._batching.learns
            if is_many and not this.is_alone and self._batching.asks_lists(now):
                await self._ask_list(this)
            else:
                await self._ask_one(this, this.waiting[0])
            if this.waiting:
                now = self._clock()
        return this.close()

    async def _look_at(self, task_id: str, known: Mapping[int, str]) -> Look:
        """A look at a single id; most tell what they told before, and need no round."""
        reply = await self._fetch("GET", self._addresses.fetch(task_id), self._headers, None)
        if _is_as_before(reply, task_id, known):
            return Look(seen=_NOTHING, unchanged=(task_id,), digests=_NOTHING)
        this = _Round(waiting=[task_id], known=known, requests=1)
        self._read(this, task_id, reply)
        return this.close()

    async def _ask_one(self, this: _Round, task_id: str) -> Seen:
        reply = await self._request(this, "GET", self._addresses.fetch(task_id))
        if _is_as_before(reply, task_id, this.known):
            this.answer({}, {task_id})
            return _AS_BEFORE
        return self._read(this, task_id, reply)

    def _read(self, this: _Round, task_id: str, reply: Reply | Miss) -> Seen:
        """What has been answered about one id."""
        seen: Seen
        if isinstance(reply, Miss):
            seen = this.trouble = self._discreet(reply)
        else:
            found = task_in(reply, task_id)
            seen = self._discreet(found) if isinstance(found, Miss) else snapshot(task_id, found)
            # An odd id can lead astray or be blocked on its way, which must not stop the tasks beside it.
            if isinstance(seen, Miss) and is_plain(task_id) and is_upstream_wide(reply, seen):
                this.blame(seen)
            if is_calm(seen):
                this.digests[task_id] = _alone(reply.body)
        this.answer({task_id: seen})
        return seen

    async def _ask_list(self, this: _Round) -> None:
        asked = this.waiting[: self._batching.size]
        content = json.dumps({"ids": asked}).encode()
        reply = await self._request(this, "POST", self._addresses.list, content)
        if isinstance(reply, Miss):
            await self._without_answer(this, asked, reply)
            return
        found = listed(reply, asked, this.known)
        if isinstance(found, Miss):
            await self._without_list(this, asked, reply, self._discreet(found))
            return
        this.answer(found.seen, found.unchanged)
        this.digests.update(found.digests)
        has_any = bool(found.unchanged) or any(isinstance(one, Snapshot) for one in found.seen.values())
        missing = [task_id for task_id in asked if task_id not in found.seen and task_id not in found.unchanged]
        if not missing or await self._are_unknown(this, missing):
            self._batching = self._batching.worked(len(asked), found=has_any)
        elif isinstance(this.check, Snapshot):
            # Some gateways cut their lists to the newest tasks; some have the call as a stub that answers `[]`.
            proven = has_any or self._batching.is_proven
            self._learn(Verdict.INCOMPLETE if proven else Verdict.MISSING, asked)

    async def _are_unknown(self, this: _Round, missing: Sequence[str]) -> bool:
        """Whether ids that a list leaves out are unknown: so they are if the upstream does not know one of them.

        Otherwise they wait to be asked for once more, unless it is not known what the upstream knows.
        """
        is_first = this.check is None
        if this.check is None:
            # In turn, lest one odd id settles nothing for the others look after look.
            this.check = await self._ask_one(this, missing[self._checks % len(missing)])
            self._checks += 1
        if _is_unknown(this.check):
            this.answer(dict.fromkeys(missing, _UNLISTED))
        elif isinstance(this.check, Snapshot):
            this.left_out.update(missing)
            this.is_alone = not is_first
        elif not this.trouble:
            this.answer(dict.fromkeys(missing, _UNSETTLED))
        return _is_unknown(this.check)

    async def _without_answer(self, this: _Round, asked: Sequence[str], miss: Miss) -> None:
        """A list call got no answer: the upstream is out of reach, or so many tasks are too much for it."""
        self._batching = self._batching.unanswered()
        if not self._batching.doubts:
            this.trouble = self._discreet(miss)
        elif _is_proper(await self._ask_one(this, asked[0])):
            self._learn(Verdict.TOO_LARGE, asked)

    async def _without_list(self, this: _Round, asked: Sequence[str], reply: Reply, miss: Miss) -> None:
        """A list call brought no list: learn from it, or report it."""
        verdict = judge(reply.status, miss, truncated=reply.truncated)
        if not self._batching.learns or verdict is Verdict.NOTHING or is_about_account(reply, miss):
            if is_upstream_wide(reply, miss):
                this.blame(miss)
            this.answer(dict.fromkeys(asked, miss))
            return
        if verdict not in (Verdict.DOUBTFUL, Verdict.FAULTY) or _is_proper(await self._ask_one(this, asked[0])):
            self._learn(verdict, asked)

    def _learn(self, verdict: Verdict, asked: Sequence[str]) -> None:
        self._batching = self._batching.after(verdict, self._clock(), asked=len(asked))

    async def _request(self, this: _Round, method: str, url: str, content: bytes | None = None) -> Reply | Miss:
        this.requests += 1
        headers = self._headers if content is None else {**self._headers, "content-type": "application/json"}
        return await self._fetch(method, url, headers, content)

    def _discreet(self, miss: Miss) -> Miss:
        """The miss without our token, which some upstreams repeat in their errors."""
        detail = miss.detail
        for secret in self._secrets:
            for form in (secret, secret.removeprefix("sk-")):
                if len(form) >= _SHORTEST_SECRET:
                    detail = detail.replace(form, "…")
        return replace(miss, detail=detail)


def _is_unknown(seen: Seen) -> bool:
    return isinstance(seen, Miss) and seen.kind is MissKind.UNKNOWN


def _is_proper(seen: Seen) -> bool:
    """Whether the upstream answered the question."""
    return isinstance(seen, Snapshot) or _is_unknown(seen)


def _is_as_before(reply: Reply | Miss, task_id: str, known: Mapping[int, str]) -> bool:
    """Whether an answer about one id is byte for byte the one that is known."""
    if not known or isinstance(reply, Miss) or known.get(_alone(reply.body)) != task_id:
        return False
    return is_whole(reply)


def _alone(body: bytes) -> int:
    """The digest of an answer about one task: never that of an entry in a list, which has to carry its id itself."""
    return ~digest_of(body)
