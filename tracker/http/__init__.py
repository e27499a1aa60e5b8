"""The only place that knows the HTTP client: two kinds of client, one way to do an exchange.

Clients are a pool of aiohttp's connections, because httpx's own pool costs twenty times the CPU at a hundred
connections; httpx reads the URLs. What comes from outside is bounded here: time, bytes, headers, redirects (none),
cookies (none).
"""

from tracker.http.bodies import inflate
from tracker.http.clients import open_callback_client, open_upstream_client, tls_context
from tracker.http.dates import parse_http_date
from tracker.http.dialing import Lookup, rule_against, system_lookup
from tracker.http.exchanges import AS_IT_IS, Answer, Exchanges, exchange
from tracker.http.faults import ExchangeError
from tracker.http.retry_after import parse_retry_after
from tracker.http.transport import Client, Fixed, Request, Response

__all__ = [
    "AS_IT_IS",
    "Answer",
    "Client",
    "ExchangeError",
    "Exchanges",
    "Fixed",
    "Lookup",
    "Request",
    "Response",
    "exchange",
    "inflate",
    "open_callback_client",
    "open_upstream_client",
    "parse_http_date",
    "parse_retry_after",
    "rule_against",
    "system_lookup",
    "tls_context",
]
