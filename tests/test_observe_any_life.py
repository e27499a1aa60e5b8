"""What holds for a task whatever sequence of answers and silences it meets."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tracker.model import NO_STREAK, Change, EventKind, Miss, MissKind, Rules, Seen, Snapshot, Status, Streak, Task
from tracker.observe import LOOKS_BEFORE_AN_IMPLIED_FAILURE, MISSES_BEFORE_AN_END, observe, tally

START = datetime(2026, 11, 22, 8, tzinfo=UTC)
RULES = Rules()
TASK = Task(key=1, id="tsk_1", upstream="default", task_id="1730621826053455", registered_at=START, sequence=1)
FAR = timedelta(days=400)
UPSTREAM_STATUSES = tuple(status for status in Status if status not in (Status.LOST, Status.EXPIRED, Status.DROPPED))

MOMENTS = st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001, a bound
SNAPSHOTS = st.builds(
    Snapshot,
    task_id=st.just(TASK.task_id),
    status=st.none() | st.sampled_from(UPSTREAM_STATUSES),
    upstream_status=st.sampled_from(("", "unknown", "IN_PROGRESS", "SUCCESS")),
    progress=st.none() | st.integers(0, 100),
    action=st.sampled_from((None, "IMAGINE", "UPSCALE")),
    submitted_at=MOMENTS,
    started_at=MOMENTS,
    finished_at=MOMENTS,
    image_url=st.sampled_from((None, "https://host/1", "https://host/2")),
    fail_reason=st.sampled_from((None, "banned")),
    reported_id=st.sampled_from((None, "17")),
    implies_failure=st.booleans(),
)
MISSES = st.builds(Miss, kind=st.sampled_from(MissKind), detail=st.just("made up"))
LIVES = st.lists(st.tuples(SNAPSHOTS | MISSES, st.timedeltas(timedelta(minutes=-1), timedelta(hours=2))), max_size=60)


def live(answers: list[tuple[Seen, timedelta]]) -> list[tuple[Seen, Change]]:
    """Let a task live through answers, each some time after the one before."""
    task, streak, now, told = TASK, NO_STREAK, START, []
    for seen, later in answers:
        now += later
        streak = tally(streak, seen, now)
        change = observe(task, seen, now, streak=streak, rules=RULES)
        told.append((seen, change))
        task = change.task
    return told


class TestAnyLife:
    @given(LIVES)
    def test_a_task_ends_at_most_once_and_stays_so(self, answers: list[tuple[Seen, timedelta]]) -> None:
        told = live(answers)
        ends = [c for _, c in told if c.event and c.event.kind is EventKind.STATUS and c.task.status.is_end]
        after = [c.task for _, c in told if c.task.status.is_end]

        assert len(ends) <= 1
        assert len({(task.status, task.ended_at) for task in after}) <= 1
        assert bool(after) == bool(ends)

    @given(LIVES)
    def test_sequence_numbers_have_no_gap(self, answers: list[tuple[Seen, timedelta]]) -> None:
        changes = [change for _, change in live(answers)]
        events = [change.event for change in changes if change.event]

        assert [event.sequence for event in events] == list(range(2, len(events) + 2))
        if changes:
            assert changes[-1].task.sequence == len(events) + 1

    @given(LIVES)
    def test_every_end_has_its_own_proof(self, answers: list[tuple[Seen, timedelta]]) -> None:
        streak, now, task = NO_STREAK, START, TASK
        for (seen, later), (_, change) in zip(answers, live(answers), strict=True):
            now += later
            streak = tally(streak, seen, now)
            if change.task.status.is_end and not task.status.is_end:
                assert_proven(change, seen, streak, now)
            task = change.task

    @given(LIVES)
    def test_identity_and_registration_never_change(self, answers: list[tuple[Seen, timedelta]]) -> None:
        for _, change in live(answers):
            same = replace(change.task, registered_at=START)
            assert (same.key, same.id, same.upstream, same.task_id) == (1, "tsk_1", "default", TASK.task_id)
            assert change.task.registered_at == START

    @given(st.lists(MISSES.filter(lambda one: one.kind not in (MissKind.UNKNOWN, MissKind.TRANSIENT)), max_size=60))
    def test_mixed_refusals_never_end_a_task(self, answers: list[Seen]) -> None:
        assert all(change == Change(task=TASK) for _, change in live([(seen, FAR) for seen in answers]))

    @given(st.lists(SNAPSHOTS.filter(lambda one: one.status is None and not one.implies_failure), max_size=60))
    def test_an_unknown_status_never_ends_a_task_before_its_deadline(self, answers: list[Seen]) -> None:
        for _, change in live([(seen, timedelta(minutes=10)) for seen in answers]):
            assert not change.task.status.is_end


def assert_proven(change: Change, seen: Seen, streak: Streak, now: datetime) -> None:
    match change.task.status:
        case Status.LOST:
            assert streak.kind == MissKind.UNKNOWN
            assert streak.count >= MISSES_BEFORE_AN_END
            assert streak.lasted(now) >= RULES.lost_after
        case Status.EXPIRED:
            assert now >= START + RULES.expire_after
        case Status.FAILED if isinstance(seen, Snapshot) and seen.status is not Status.FAILED:
            assert seen.implies_failure
            assert streak.count >= LOOKS_BEFORE_AN_IMPLIED_FAILURE
        case status:
            assert isinstance(seen, Snapshot)
            assert seen.status is status
