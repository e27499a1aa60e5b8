"""The upstream of the benchmarks, which lives as the ids that it is asked about say."""

import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from bench.seeding import all_adopted, beside, seed
from bench.upstream import answer_list, upstream
from tracker.model import NO_STREAK, Rules, Status
from tracker.observe import observe
from tracker.providers.midjourney.entries import seen_in
from tracker.store.database import Database
from tracker.store.rows import TASK_COLUMNS, task_of
from tracker.store.schema import task


def answered(task_id: str, now: int) -> dict[str, object]:
    (found,) = json.loads(answer_list([task_id], now))
    return found


def test_a_task_that_is_seeded_is_what_the_upstream_says_so_that_a_look_at_it_changes_nothing(
    database: Database, database_url: str
) -> None:
    with beside(database_url) as engine:
        seed(engine, 1, 3)
    rows = database.read_now(lambda connection: connection.execute(task.select().order_by(task.c.key)).all())
    names = [column.name for column in TASK_COLUMNS]
    known = [task_of([getattr(row, name) for name in names]) for row in rows]
    now = datetime.now(UTC)

    seen = seen_in(json.loads(answer_list(["m1", "m2", "m3"], 0)), ["m1", "m2", "m3"])

    for one in known:
        change = observe(one, seen[one.task_id], now, streak=NO_STREAK, rules=Rules())
        assert change.event is None
        assert change.object is None
        assert one.status is Status.RUNNING


def test_seeds_have_a_callback_a_registration_and_an_event_each(database_url: str) -> None:
    with beside(database_url) as engine:
        seed(engine, 1, 4)
        seed(engine, 5, 3)
        with engine.connect() as connection:
            for table in ("task", "registration", "callback", "event"):
                assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 7


def test_tasks_are_adopted_once_this_very_process_watches_all_of_them(database_url: str) -> None:
    with beside(database_url) as engine:
        seed(engine, 1, 3)

        def adopted_after(*statements: str) -> bool:
            with engine.begin() as connection:
                for statement in statements:
                    connection.execute(text(statement))
            return all_adopted(engine, 4711)

        columns = "INSERT INTO daemon (id, host, pid, version, started_at, heartbeat_at)"
        moment = "'2026-11-22 08:00:00.000Z'"
        joined = [
            f"{columns} VALUES ('{name}', 'here', {pid}, '1', {moment}, {moment})"
            for name, pid in (("dmn_b", 4711), ("dmn_a", 4710), ("dmn_c", 4712))
        ]
        assert not adopted_after()
        assert not adopted_after(*joined)
        assert not adopted_after("UPDATE task SET watcher = 'dmn_b' WHERE task_id <> 'm2'")
        assert not adopted_after("UPDATE task SET watcher = 'dmn_a' WHERE task_id = 'm2'")
        assert not adopted_after("UPDATE task SET watcher = 'dmn_c' WHERE task_id = 'm2'")
        assert adopted_after("UPDATE task SET watcher = 'dmn_b' WHERE task_id = 'm2'")


@pytest.mark.parametrize(
    ("now", "status", "progress"),
    [
        (1000, "IN_PROGRESS", "0%"),
        (2999, "IN_PROGRESS", "25%"),
        (4999, "IN_PROGRESS", "75%"),
        (5000, "SUCCESS", "100%"),
    ],
)
def test_a_task_lives_as_its_id_says(now: int, status: str, progress: str) -> None:
    found = answered("s1000-5000-7", now)

    assert (found["status"], found["progress"], found["submitTime"]) == (status, progress, 1000)
    assert found["finishTime"] == (5000 if status == "SUCCESS" else 0)


def test_it_tells_what_it_was_asked_since_the_last_time() -> None:
    import httpx

    with upstream() as asked, httpx.Client(base_url=asked.origin, trust_env=False) as client:
        for ids in (["m777", "m1"], ["m777", "s1000-2000-1"]):
            answer = client.post("/mj/task/list-by-condition", json={"ids": ids})
            assert [found["id"] for found in answer.json()] == ids
        assert client.get("/mj/task/m9/fetch").json()["id"] == "m9"

        told = asked.read()

        assert (told.requests, told.ids, len(told.gaps), len(told.silences)) == (3, 5, 1, 1)
        assert asked.read().requests == 0
