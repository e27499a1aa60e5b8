"""How the tasks of an upstream are shared out among the daemons that watch it. Pure: numbers in, numbers out."""

from collections.abc import Collection

SLACK = 0.1
"""By how much of its share a daemon may go beyond it before it gives anything back: moving a task costs a look."""
_FEW = 20
"""Tasks that are not worth moving at all."""


def share(watched: Collection[int], waiting: int = 0) -> int:
    """The tasks that are one daemon's due: those that each of them watches and those nobody does, divided evenly."""
    return -(-(sum(watched) + waiting) // max(len(watched), 1))


def surplus(mine: int, watched: Collection[int], *, is_giving_back: bool) -> int:
    """How many a daemon has to give back; `watched` has its own number too, `is_giving_back` what it was doing.

    It begins beyond the slack, and stops at its share: else each end would move a task.
    """
    due = share(watched)
    over = mine - due
    if len(watched) < 2 or over <= 0:  # noqa: PLR2004 - alone
        return 0
    return over if is_giving_back or over > max(due * SLACK, _FEW) else 0
