"""The fence around what a daemon writes: once it has been declared dead, nothing of it reaches the database.

It is asked in every transaction that writes, whatever it writes: tasks, events, deliveries, outcomes, how upstreams do.
Whoever declares a daemon dead waits for the transaction that is under way, and the next one is refused.
"""

import re

from sqlalchemy import Connection

from tracker.errors import UnavailableError

_NAME = re.compile(r"\w+")


class ReplacedError(UnavailableError):
    """This daemon was taken for dead: others have its tasks, and it has to start anew before it writes anything."""

    def __init__(self) -> None:
        super().__init__("this daemon was taken for dead; it starts anew")


class Fence:
    """Lets everybody write until it is put around somebody."""

    def __init__(self) -> None:
        self._question = ""

    def put_around(self, me: str) -> None:
        """From now on only this daemon writes, and only while the table of daemons knows it to be alive."""
        if not _NAME.fullmatch(me):
            raise ValueError("a daemon's name has letters, digits and underscores")
        alive = f"SELECT 1 FROM daemon WHERE id = '{me}' AND NOT is_gone FOR KEY SHARE"  # noqa: S608 - it is a word
        self._question = f", (SELECT count(*) FROM ({alive}) AS me) AS alive"  # noqa: S608

    def __call__(self, connection: Connection, limits: str) -> None:
        """Begin a transaction: limit it and ask the question in one statement, since each costs time."""
        row = connection.exec_driver_sql(f"SELECT {limits}{self._question}").one()
        if self._question and not row.alive:
            raise ReplacedError
