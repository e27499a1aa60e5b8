"""Registrations of several callers that are written by one call, and many of one."""

from functools import partial

import pytest
from fakes import OWNER, World, statements, want

from tracker.errors import InputError
from tracker.observe import drop
from tracker.store import registrations
from tracker.store.registrations import Asked, Registered, Wanted


def each(world: World, *asked: tuple[Wanted, str]) -> list[Registered | InputError]:
    entries = [Asked(want=wanted, owner=owner, sees_all=owner == "admin") for wanted, owner in asked]
    work = partial(registrations.register_each, asked=entries, default_format="standard", now=world.clock())
    return world.write(partial(work, compose=world.compose))


def test_each_sees_its_own_callbacks_and_an_admin_all(world: World) -> None:
    answers = each(world, (want(), "a"), (want(url="https://b.example/"), "b"), (want(url=None), "admin"))

    told = [[told.owner for told in answer.callbacks] for answer in answers if isinstance(answer, Registered)]
    assert told == [["a"], ["b"], ["a", "b"]]


def test_what_is_new_is_new_to_the_first_who_asks(world: World) -> None:
    asked = ((want(), "a"), (want(), "b"), (want(), "a"), (want(), "admin"))

    news = [(answer.created, answer.adds_live) for answer in each(world, *asked) if isinstance(answer, Registered)]

    assert news == [(True, True), (True, True), (False, False), (False, True)]


def test_one_too_many_is_refused_and_the_others_are_written(world: World) -> None:
    world.register(*(want(url=f"https://receiver.example/{number}") for number in range(50)))

    answers = each(world, (want("2"), OWNER), (want(url="https://receiver.example/50"), OWNER), (want(), "another"))

    assert [isinstance(answer, InputError) for answer in answers] == [False, True, False]
    assert world.column("SELECT count(*) FROM callback WHERE url = 'https://receiver.example/50'") == [0]
    assert world.column("SELECT owner FROM registration ORDER BY task_key, owner") == ["another", OWNER, OWNER]


def test_one_that_is_refused_revives_nothing(world: World) -> None:
    world.watched(*(want(url=f"https://receiver.example/{number}") for number in range(50)))
    world.record({world.key(): partial(drop, now=world.clock(), note="dropped")}, watcher=None)

    (answer,) = each(world, (want(url="https://receiver.example/50"), OWNER))

    assert isinstance(answer, InputError)
    assert world.column("SELECT status FROM task") == ["dropped"]


def test_one_that_is_refused_leaves_nothing_of_its_batch(world: World) -> None:
    wanted = [want("2"), *(want(url=f"https://receiver.example/{number}") for number in range(51))]

    with pytest.raises(InputError, match="callback_url: the task has 50 callbacks already"):
        world.register(*wanted)

    assert world.column("SELECT count(*) FROM task") == [0]


def test_fifty_callbacks_are_counted_across_those_who_ask_at_once(world: World) -> None:
    urls = [f"https://receiver.example/{number}" for number in range(51)]

    answers = each(world, *((want(url=url), OWNER) for url in urls))

    assert [isinstance(answer, InputError) for answer in answers] == [False] * 50 + [True]


@pytest.mark.parametrize("again", [False, True])
def test_many_take_no_more_statements_than_two(world: World, *, again: bool) -> None:
    counts = []
    for count in (2, 200):
        wanted = [want(f"{count}-{number}", metadata={"order": number}) for number in range(count)]
        if again:
            world.register(*wanted)
        with statements() as seen:
            world.register(*wanted)
        counts.append(len(seen))

    assert counts[0] == counts[1]
