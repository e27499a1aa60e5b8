"""Synchronous calls of the command line to a daemon's API: JSON there and back, nothing kept in between."""

import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from tracker.errors import InputError, UnavailableError
from tracker.http.clients import tls_context

_TIMEOUT_SECONDS = 30.0
_TOKEN = re.compile("[!-~]+")


class PlainClient:
    """Calls below one base URL, with one bearer token; to be closed, or used by `with`."""

    def __init__(
        self, base_url: str, token: str, *, user_agent: str, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> None:
        headers = {"user-agent": user_agent, "accept": "application/json"}
        if token:
            if not _TOKEN.fullmatch(token):
                raise InputError("TRACKER_TOKEN", "is no token", "set it to one that `tracker token create` printed")
            headers["authorization"] = f"Bearer {token}"
        try:
            self._client = httpx.Client(
                base_url=base_url,
                headers=headers,
                timeout=timeout_seconds,
                verify=tls_context(),
                trust_env=False,
                follow_redirects=False,
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise _no_address() from error
        if self._client.base_url.scheme not in ("http", "https") or not self._client.base_url.host:
            self._client.close()
            raise _no_address()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def call(
        self, method: str, path: str, *, query: Mapping[str, str | int] | None = None, document: object = None
    ) -> tuple[int, Any]:
        """The status and the JSON of an answer (None where it has none); raises UnavailableError without an answer."""
        try:
            response = self._client.request(method, path, params=dict(query or {}), json=document)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise UnavailableError(
                f"the daemon at {self._client.base_url.netloc.decode()} is out of reach: {reason}"
            ) from error
        try:
            return response.status_code, response.json() if response.content else None
        except ValueError:
            return response.status_code, None


def _no_address() -> InputError:
    return InputError("--url", "is not an address", 'write one like "http://127.0.0.1:8640"')
