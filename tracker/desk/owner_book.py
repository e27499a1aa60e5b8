"""What is remembered of each owner, for as long as there is something to remember."""

from collections.abc import Callable
from typing import Generic, TypeVar

Entry = TypeVar("Entry")
_SMALL = 1024


class OwnerBook(Generic[Entry]):
    """An entry for each owner, made when it is first asked for; idle ones are forgotten when the book has grown."""

    def __init__(self, make: Callable[[], Entry], is_idle: Callable[[Entry], bool]) -> None:
        """An idle entry is one that a new one would be equal to."""
        self._make = make
        self._is_idle = is_idle
        self._entries: dict[str, Entry] = {}
        self._largest = _SMALL

    def __getitem__(self, owner: str) -> Entry:
        entry = self._entries.get(owner)
        if entry is None:
            if len(self._entries) >= self._largest:
                self._forget_idle()
            entry = self._entries[owner] = self._make()
        return entry

    def __len__(self) -> int:
        return len(self._entries)

    def _forget_idle(self) -> None:
        self._entries = {owner: entry for owner, entry in self._entries.items() if not self._is_idle(entry)}
        self._largest = max(2 * len(self._entries), _SMALL)
