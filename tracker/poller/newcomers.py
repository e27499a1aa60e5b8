"""Tasks that are registered in this process, which may be ours from the moment they are written: nobody adopts them."""

from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence

from tracker.model import Task
from tracker.store.registrations import Newcomer
from tracker.store.watching import Adopted


class Newcomers:
    """Tasks on their way from whoever registers them to the lanes."""

    def __init__(self, taker: Callable[[], str | None]) -> None:
        self.taker = taker
        """Who watches new tasks from the beginning, or None where they wait for adoption. Asked on any thread."""
        self.is_sure = True
        """Whether what is watched in memory is what the database says."""
        self.strays: list[int] = []
        """Keys of tasks that are ours, and that we cannot watch."""
        self._given: deque[tuple[str, Sequence[Task | Newcomer]]] = deque()

    def take(self, me: str, tasks: Sequence[Task | Newcomer]) -> None:
        """Hand over tasks that are committed, and are watched by the daemon that had this name then."""
        self._given.append((me, tasks))

    def doubt(self) -> None:
        """It is not known whether some were committed as ours: nobody else would look at them."""
        self.is_sure = False

    def taken(self, upstreams: Container[str]) -> Iterator[tuple[str, list[Adopted]]]:
        """What was handed over since, each with the name of its watcher: tasks of these upstreams.

        What is not to be looked at by anybody here, since its upstream went meanwhile, is in `strays`.
        """
        while self._given:
            me, tasks = self._given.popleft()
            self.strays += [task.key for task in tasks if task.upstream not in upstreams]
            yield me, [_adopted(task) for task in tasks if task.upstream in upstreams]


def _adopted(task: Task | Newcomer) -> Adopted:
    return Adopted(
        key=task.key,
        upstream=task.upstream,
        task_id=task.task_id,
        registered_at=task.registered_at,
        has_ended=False,
    )
