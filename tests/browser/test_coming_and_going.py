"""Signing in and out, and what a browser remembers: with script and without."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from browser.scene import Scene
from browser.visiting import Visiting, sign_in

BOTH = pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])


@BOTH
def test_who_signs_in_arrives_where_they_wanted_to_go(*, script: bool, scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.open(scene.world.origin, script=script)

    visitor.go("/deliveries?status=dead")
    expect(visitor.page).to_have_url(re.compile(r"/sign-in\?next="))
    visitor.page.get_by_label("A token of the API").fill(scene.world.tokens["read"])
    visitor.page.get_by_role("button", name="Sign in").click()

    expect(visitor.page).to_have_url(f"{scene.world.origin}/deliveries?status=dead")
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Deliveries")


@BOTH
def test_who_signs_out_sees_nothing_any_more(*, script: bool, scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.open(scene.world.origin, script=script)
    visitor.forgive("status of 401")  # news may come just when the session is over
    sign_in(visitor, scene.world.tokens["write"])

    visitor.page.get_by_role("button", name="Sign out").click()
    expect(visitor.page).to_have_url(f"{scene.world.origin}/sign-in")
    visitor.go("/tasks")

    expect(visitor.page).to_have_url(re.compile("/sign-in"))
    visitor.page.go_back()
    visitor.page.go_back()
    assert scene.succeeded["task_id"] not in visitor.text("body")


def test_a_token_that_is_none_is_refused_in_words(scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.open(scene.world.origin)
    visitor.forgive("status of 403")
    visitor.go("/sign-in")
    visitor.page.get_by_label("A token of the API").fill("trk_nobody")

    visitor.page.keyboard.press("Enter")

    expect(visitor.page.get_by_role("alert")).to_have_text("This token is unknown or revoked.")
    assert visitor.page.get_by_label("A token of the API").input_value() == ""
    visitor.look()


@BOTH
def test_a_link_from_the_command_line_signs_in_once(*, script: bool, scene: Scene, visiting: Visiting) -> None:
    world = scene.world
    link = urlsplit(world.daemon.tell("open").stdout.strip())
    visitor = visiting.open(world.origin, script=script)
    somebody_else = visiting.open(world.origin, script=script)
    somebody_else.forgive("status of 403")

    visitor.page.goto(f"{world.origin}{link.path}?{link.query}")

    expect(visitor.page).to_have_url(f"{world.origin}/")
    expect(visitor.page.get_by_role("button", name="Sign out")).to_be_visible()
    answer = somebody_else.go(f"{link.path}?{link.query}")
    assert answer.status == 403
    expect(somebody_else.page.get_by_role("alert")).to_contain_text("This link was used already")


@BOTH
def test_a_language_and_colours_are_remembered(*, script: bool, scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world, script=script, scheme="light")
    visitor.go("/tasks?q=pig")

    visitor.page.get_by_role("button", name="中文").click()
    expect(visitor.page).to_have_url(f"{scene.world.origin}/tasks?q=pig")
    visitor.page.locator("button[name=theme][value=dark]").click()
    expect(visitor.page).to_have_url(f"{scene.world.origin}/tasks?q=pig")

    html = visitor.page.locator("html")
    expect(html).to_have_attribute("lang", "zh-Hans")
    expect(html).to_have_attribute("data-theme", "dark")
    visitor.go("/")
    expect(html).to_have_attribute("lang", "zh-Hans")


def test_the_session_is_out_of_reach_of_scripts(scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world)
    visitor.go("/")

    (session,) = [one for one in visitor.context.cookies() if one["name"] == "tracker_session"]
    assert (session["httpOnly"], session["sameSite"]) == (True, "Strict")
    assert "tracker_session" not in visitor.page.evaluate("document.cookie")
    assert visitor.page.evaluate("Object.keys(localStorage)") == []


@BOTH
def test_a_page_that_is_not_there_says_so_and_leads_back(*, script: bool, scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world, script=script)
    visitor.forgive("status of 404")

    answer = visitor.go("/nowhere")
    visitor.look()
    visitor.page.get_by_role("link", name="To the overview").click()

    assert answer.status == 404
    expect(visitor.page).to_have_url(f"{scene.world.origin}/")
