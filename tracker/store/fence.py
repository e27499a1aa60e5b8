"""The fence around what a daemon writes: once it has been declared dead, nothing of it reaches the database.

It is asked in every transaction that writes, whatever it writes: tasks, events, deliveries, outcomes, how upstreams do.
Another may have gone on under its name meanwhile; so the question goes by its life too, which no two have in common.
Whoever declares a daemon dead waits for the transaction that is under way, and the next one is refused.
"""

import re

from sqlalchemy import Connection

from tracker.errors import UnavailableError

_WORD = re.compile(r"\w*")


class ReplacedError(UnavailableError):
    """This daemon was taken for dead: others have its tasks, and it has to start anew before it writes anything."""

    def __init__(self) -> None:
        super().__init__("this daemon was taken for dead; it starts anew")


class Fence:
    """Lets everybody write until it is put around somebody."""

    def __init__(self) -> None:
        self._question = ""

    def put_around(self, me: str, life: str) -> None:
        """From now on only this daemon writes, and only while the table of daemons knows this life of it."""
        if not (_WORD.fullmatch(me) and _WORD.fullmatch(life)):
            raise ValueError("a daemon's name and life have letters, digits and underscores")
        lives = f"id = '{me}' AND life = '{life}' AND NOT is_gone"
        alive = f"SELECT 1 FROM daemon WHERE {lives} FOR KEY SHARE"  # noqa: S608 - these are words
        self._question = f", (SELECT count(*) FROM ({alive}) AS me) AS alive"  # noqa: S608

    def __call__(self, connection: Connection, limits: str) -> None:
        """Begin a transaction: limit it and ask the question in one statement, since each costs time."""
        row = connection.exec_driver_sql(f"SELECT {limits}{self._question}").one()
        if self._question and not row.alive:
            raise ReplacedError
