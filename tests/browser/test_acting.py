"""What can be done on the pages for operators: each once with script and once without."""

import re

import pytest
from daemons import free_port
from playwright.sync_api import Dialog, expect

from browser.scene import Scene
from browser.visiting import Visiting

BOTH = pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])


@BOTH
def test_a_token_is_shown_once_and_can_be_revoked(*, script: bool, scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world, script=script)
    visitor.forgive("status of 401")
    visitor.page.on("dialog", lambda dialog: dialog.accept())
    page = visitor.page
    visitor.go("/tokens")
    page.get_by_label("Owner").fill("shop")
    page.get_by_role("button", name="Make a token").click()

    shown = re.search(r"trk_[\w-]{20,}", visitor.text("main .made"))
    assert shown
    visitor.look()
    visitor.go("/tokens")
    assert shown[0] not in page.content()

    row = page.locator("#live tbody tr", has_text="shop").filter(has=page.get_by_role("button", name="Revoke")).first
    row.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.locator("#live tbody tr", has_text="shop").first).to_contain_text("revoked")


@BOTH
def test_a_new_secret_is_shown_once(*, script: bool, scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world, "stranger", script=script)
    visitor.page.on("dialog", lambda dialog: dialog.accept())
    visitor.go("/secrets")
    visitor.page.get_by_role("button", name="Make a new secret").click()

    shown = re.search(r"whsec_\S{20,}", visitor.text("main .made"))
    assert shown
    visitor.look()
    visitor.go("/secrets")
    assert shown[0] not in visitor.page.content()


@BOTH
def test_a_url_is_tested(*, script: bool, scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world, "write", script=script)
    page = visitor.page
    for url, told in (
        (f"{scene.world.receiver_url}/test", "It works"),
        (f"http://127.0.0.1:{free_port()}/nobody", "It does not work"),
    ):
        visitor.go("/test")
        page.get_by_label("Callback URL").fill(url)
        page.get_by_role("button", name="Send a test").click()

        expect(page.locator("#result")).to_contain_text(told)
        assert page.get_by_label("Callback URL").input_value() == url
        visitor.look()


@BOTH
def test_an_endpoint_is_disabled_and_enabled(*, script: bool, scene: Scene, visiting: Visiting) -> None:
    """One of its own: messages of other tests go on."""
    world = scene.world
    task = world.register("to nobody", path=f"http://127.0.0.1:{free_port()}/nobody")
    world.wait_for("a message", lambda: bool(world.deliveries(task["id"])))
    origin = world.deliveries(task["id"])[0]["endpoint"]
    visitor = visiting.enter(world, script=script)
    visitor.page.on("dialog", lambda dialog: dialog.accept())
    visitor.go("/endpoints")
    row = visitor.page.locator("#live tbody tr", has_text=origin)

    row.get_by_role("button", name="Disable").click()
    expect(visitor.page).to_have_url(re.compile(r"/endpoints/end_\w+$"))
    state = visitor.page.locator("#live section").first
    expect(state).to_contain_text("disabled")
    visitor.look()
    state.get_by_role("button", name="Enable").click()

    expect(state).to_contain_text("active")


def test_what_cannot_be_undone_is_asked_about_first(scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world)
    asked: list[str] = []

    def refuse(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    visitor.page.on("dialog", refuse)
    visitor.go(scene.address("/tasks/{id} of one that runs"))

    visitor.page.get_by_role("button", name="Stop watching").click()

    assert asked == ["Stop watching this task? Its history stays."]
    assert scene.world.task(scene.running["id"])["status"] == "running"


@BOTH
def test_dead_messages_are_sent_again_together(*, script: bool, scene: Scene, visiting: Visiting) -> None:
    world = scene.world
    world.receiver.answer_next(410)
    dead = world.wait_until_told(world.register("gone for a while", path="/again"), "dead")
    visitor = visiting.enter(world, "write", script=script)
    visitor.go(f"/deliveries?status=dead&task={dead['task']}")

    visitor.page.locator(f"tr#{dead['id']} input[type=checkbox]").check()
    visitor.page.get_by_role("button", name="Redeliver those ticked").click()

    expect(visitor.page.get_by_role("status")).to_be_visible()
    world.wait_until_told({"id": dead["task"]}, "delivered")
