"""A page shows only what its reader may do, and nothing of what is another's."""

import pytest
from playwright.sync_api import expect

from browser.scene import PAGES, Scene
from browser.visiting import Visiting
from browser.visitor import Visitor

FOR_EVERYBODY = {"/sign-out", "/preferences"}
NOT_FOR_READERS = {"/register", "/test", "/tokens", "/secrets"}


def actions(visitor: Visitor) -> set[str]:
    """Where the forms of the page post to."""
    found: list[str] = visitor.page.evaluate(
        """() => [...document.querySelectorAll("form[method=post]")].map(one => new URL(one.action).pathname).concat(
             [...document.querySelectorAll("[formaction]")].map(one => new URL(one.formAction).pathname))"""
    )
    return set(found) - FOR_EVERYBODY


@pytest.mark.parametrize("page", [page for page in PAGES if page not in NOT_FOR_READERS])
def test_who_may_read_is_shown_no_action(page: str, scene: Scene, visiting: Visiting) -> None:
    reader = visiting.enter(scene.world, "read")

    answer = reader.go(scene.address(page))

    assert answer.status == 200
    assert actions(reader) == set()
    assert (
        reader.page.locator('a[href="/register"], a[href="/test"], a[href="/tokens"], a[href="/secrets"]').count() == 0
    )


def test_there_are_actions_that_a_reader_is_not_shown(scene: Scene, visiting: Visiting) -> None:
    """Or the test above would see none wherever it looks."""
    writer = visiting.enter(scene.world, "write")

    found = set()
    for page in ("/tasks", "/tasks/{id} of one that runs", "/deliveries/{id} of a dead one"):
        writer.go(scene.address(page))
        found |= actions(writer)

    assert {one.rpartition("/")[2] for one in found} >= {"act", "refresh", "drop", "callbacks", "redeliver"}


@pytest.mark.parametrize("page", sorted(NOT_FOR_READERS))
def test_who_may_read_is_refused_the_pages_that_act(page: str, scene: Scene, visiting: Visiting) -> None:
    reader = visiting.enter(scene.world, "read")
    reader.forgive("status of 403")

    answer = reader.go(page)

    assert answer.status == 403
    reader.look()


@pytest.mark.parametrize("page", [page for page in PAGES if "{id}" in page])
def test_what_is_another_owners_is_not_there(page: str, scene: Scene, visiting: Visiting) -> None:
    stranger = visiting.enter(scene.world, "stranger")
    stranger.forgive("status of 404")

    answer = stranger.go(scene.address(page))

    assert answer.status == 404


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("page", ["/", "/tasks", "/deliveries", "/endpoints"])
def test_who_has_nothing_yet_is_told_how_to_begin(page: str, language: str, scene: Scene, visiting: Visiting) -> None:
    stranger = visiting.enter(scene.world, "stranger", language=language)  # type: ignore[arg-type]

    stranger.visit(page)

    expect(stranger.page.locator("main .empty").first).to_be_visible()
    text = stranger.text("main")
    assert "tracker add" in text or page != "/tasks"
    assert scene.succeeded["task_id"] not in text
