"""Where an upstream is asked, and with which header it knows us."""

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

AUTH_STYLES = ("bearer", "raw", "mj-api-secret")


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """The URLs of one upstream; `root` ends in `/mj`."""

    root: str

    @classmethod
    def of(cls, base_url: str) -> "Addresses":
        """From a base URL that may or may not end in `/mj` or a slash, behind any prefix (`/mj-fast/mj`)."""
        scheme, host, path, _, _ = urlsplit(base_url.strip())
        path = path.rstrip("/")
        if path.rpartition("/")[2] != "mj":
            path += "/mj"
        return cls(root=urlunsplit((scheme, host, path, "", "")))

    def fetch(self, task_id: str) -> str:
        """The URL of one task; ids are opaque, may hold a slash and are encoded whole."""
        # Nearly all ids are plain, and stand as they are.
        segment = task_id if task_id.isascii() and task_id.isalnum() else _segment(task_id)
        return f"{self.root}/task/{segment}/fetch"

    @property
    def list(self) -> str:
        """The URL that takes many ids."""
        return f"{self.root}/task/list-by-condition"


def _segment(task_id: str) -> str:
    # A segment of one or two dots would be resolved away by the client or a proxy: it must not stay bare.
    if task_id in (".", ".."):
        return task_id.replace(".", "%2E")
    return quote(task_id, safe="", errors="replace")


def is_plain(task_id: str) -> bool:
    """Whether an id means the same to every router and firewall on its way; any that the proxies make does."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}", task_id) is not None


def credentials(style: str, token: str | None) -> dict[str, str]:
    """The one header that carries the token; none without a token.

    trueai takes the whole `Authorization` value as the token (`raw`); novicezk and one-hub read only
    `mj-api-secret`; everybody else wants `Bearer`.
    """
    if not token:
        return {}
    if style == "mj-api-secret":
        return {"mj-api-secret": token}
    if style == "raw":
        return {"authorization": token}
    return {"authorization": f"Bearer {token.removeprefix('Bearer ')}"}
