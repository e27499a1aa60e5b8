"""What stands on the request line: the path and the query of a URL, byte for byte as they were registered.

Receivers sign them, or compare them with what they gave out. The parsers of both clients below "normalize": they
decode what need not be escaped, drop an empty query, resolve dots.
"""

import re
from urllib.parse import quote

_PARTS = re.compile(r"[^:/?#]+://[^/?#]*(?P<path>[^?#]*)(?P<query>\?[^#]*)?")
# What browsers escape, and many servers refuse. A lone percent sign is none of it.
_UNFIT_FOR_PATHS = re.compile(r"[^!-~]|[\"<>`{}]")
_UNFIT_FOR_QUERIES = re.compile(r"[^!-~]|[\"<>]")


def target_of(url: str) -> str:
    """The path and the query of a URL, escaped where they have to be; the fragment is nobody's business but ours."""
    parts = _PARTS.match(url)
    if parts is None:
        return "/"
    return _escaped(_UNFIT_FOR_PATHS, parts["path"] or "/") + _escaped(_UNFIT_FOR_QUERIES, parts["query"] or "")


def _escaped(unfit: re.Pattern[str], text: str) -> str:
    return unfit.sub(lambda found: quote(found[0], safe="", errors="replace"), text)
