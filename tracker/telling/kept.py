"""Sentences that come as English text (kept in the database, or told by an error), and how they are recognised.

What people and upstreams wrote themselves is none of these, and stays as it is.
"""

from functools import lru_cache

from tracker.telling import waiting
from tracker.telling.refusals import REFUSALS
from tracker.telling.sentences import Recogniser, Sentence, Template

CAUSES = (
    waiting.ANSWERED,
    waiting.NO_ANSWER,
    waiting.INTERRUPTED,
    Template("timeout"),
    Template("refused"),
    Template("reset"),
    Template("unreachable"),
    Template("blocked"),
    Template("dns"),
    Template("tls"),
    Template("protocol"),
    Template("local"),
    Template("internal"),
)
"""What came of an attempt, in a word or two."""

ENDPOINT_REASONS = (
    Template("{failures} failures in a row, the last one: {cause}"),
    Template("no success for {days} days and {failures} failures, the last one: {cause}"),
    Template("its last callback is gone (HTTP 410)"),
    Template("disabled by {owner}"),
    waiting.NO_REASON,
)

ATTEMPT_DETAILS = (
    Template("this URL may not be called: its address is no public one, or its port is closed to callbacks"),
    Template("the host name could not be resolved"),
    Template("no secure connection could be made"),
    Template("no secure connection could be made: {certificate}"),
    Template("the connection was refused"),
    Template("the host could not be reached"),
    Template("the connection was closed before the answer was complete"),
    Template("the answer was not valid HTTP"),
    Template("the request could not be made"),
    Template("the host name was not resolved in time"),
    Template("the connection was not accepted in time"),
    Template("the TLS handshake did not end in time"),
    Template("the request was not taken in time"),
    Template("no answer came in time"),
    Template("the answer did not end in time"),
    Template("taken, though its answer's body broke off ({error})"),
    Template("the receiver answered {status_code}; redirects are not followed"),
    Template("the receiver answered {status_code}"),
    Template("the attempt could not be made; this is the tracker's fault"),
    Template("the attempt could not be made, or was lost; this is the tracker's fault"),
    Template(
        "The operator's rules do not let this URL be called: it, or what its name stands for, is no public address."
    ),
)

UPSTREAM_DETAILS = (
    Template("base_url is no address that may be called"),
    Template("the answer broke off: {reason}"),
    Template("the answer is larger than {megabytes} MB"),
    Template("the upstream answers with a web page: base_url leads to the wrong path"),
    Template("the upstream answers as a submit call does: base_url leads to the wrong path"),
    Template("the upstream answers HTTP {status_code} with an empty body"),
    Template("the upstream answers with broken JSON: {excerpt}"),
    Template("the upstream answers with JSON of the wrong shape: {excerpt}"),
    Template("the upstream redirects (HTTP {status_code}), which is not followed: correct base_url"),
    Template("the upstream answers an error: {words}"),
    Template("the upstream answers an object that is no task"),
    Template("the upstream lists this id with something that is no task"),
    Template("HTTP {status_code}; base_url leads to the wrong path"),
    Template("HTTP {status_code}: {words}; base_url leads to the wrong path"),
)

UPSTREAM_REASONS = (
    Template("refused: {detail}"),
    Template("throttled: {detail}"),
    Template("unusable: {detail}"),
    Template("transient: {detail}"),
)

NOTES = (
    Template("no end within the deadline"),
    Template("full progress with a reason of failure while the status said {upstream_status}"),
    Template("the upstream now says {upstream_status}; the task stays {status}"),
    Template("the upstream has not known it for {looks} looks"),
    Template("the answer carries the id {task_id}"),
    Template("dropped by another owner"),
    Template("dropped by {owner}"),
    Template("registered again by another owner"),
    Template("registered again by {owner}"),
    Template("{message_type} {id} to {endpoint}, attempt {attempt}: {cause}"),
    Template("{message_type} {id} to {endpoint}: its callback is gone"),
)
"""What stands beside an event."""

STANDINGS = (
    waiting.DELIVERED,
    waiting.SUPERSEDED_BY_NEWS,
    waiting.SUPERSEDED_BY_END,
    waiting.SUPERSEDED,
    waiting.GONE,
    waiting.OLD_NEWS,
    waiting.OLD_NEWS_AFTER,
    waiting.USED_UP,
    waiting.USED_UP_AFTER,
    waiting.UNDER_WAY,
    waiting.PAUSED_FAILING,
    waiting.PAUSED,
    waiting.DISABLED_FAILING,
    waiting.DISABLED,
    waiting.BEHIND,
    waiting.AGAIN,
    waiting.WAITING_AFTER,
    waiting.WAITING,
)
"""Where a delivery stands."""

LAST = (Template("HTTP {status_code}: {words}"), Template("{detail} ({phase})"))
"""They fit so much that all others go first."""

TEMPLATES = (
    *(*STANDINGS, *NOTES, *ENDPOINT_REASONS, *UPSTREAM_REASONS, *UPSTREAM_DETAILS, *ATTEMPT_DETAILS, *CAUSES),
    *(*REFUSALS, *LAST),
)
_RECOGNISER = Recogniser(TEMPLATES)


@lru_cache(maxsize=1024)
def recognise(text: str) -> Sentence | None:
    """The sentence of ours that reads like this; None for what others wrote."""
    return _RECOGNISER.recognise(text)
