"""From signing in to signing out: what a person comes for, in one sitting, with script and without."""

import re

import pytest
from playwright.sync_api import expect

from browser.scene import MANY, Scene
from browser.visiting import Visiting, sign_in
from tracker.simulate import Ending

BOTH = pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])


@BOTH
def test_a_task_is_registered_and_seen_delivered_and_sent_again(
    *, script: bool, scene: Scene, visiting: Visiting
) -> None:
    world = scene.world
    visitor = visiting.open(world.origin, script=script)
    page = visitor.page
    task_id = world.gateway.submit("a journey", ending=Ending.SUCCESS)
    sign_in(visitor, world.tokens["write"])

    page.get_by_role("link", name="Register a task").first.click()
    page.get_by_label("The upstream's id of the task").fill(task_id)
    page.get_by_label("Callback URL").fill(f"{world.receiver_url}/journey")
    page.get_by_label("Metadata").fill('{"order": 99}')
    page.get_by_role("button", name="Register").click()

    expect(page).to_have_url(re.compile(r"/tasks/tsk_\w+$"))
    expect(page.get_by_role("status")).to_be_visible()
    told = world.wait_until_told({"id": page.url.rpartition("/")[2]})
    if not script:
        page.reload()
    expect(page.locator("#live")).to_contain_text("succeeded")
    expect(page.locator("#live")).to_contain_text("delivered")
    visitor.look()

    page.locator(f'a[href="/deliveries/{told["id"]}"]').first.click()
    expect(page.locator("main")).to_contain_text("204")
    expect(page.locator("main")).to_contain_text("/journey")
    visitor.look()

    page.get_by_role("button", name="Redeliver").click()
    expect(page.get_by_role("status")).to_be_visible()
    world.wait_for("a second attempt", lambda: world.deliveries(told["task"])[0]["attempt"] == 2)
    world.wait_until_told({"id": told["task"]})
    assert [one.is_repeat for one in world.receiver.arrivals if one.message_id == told["id"]] == [False, True]

    visitor.forgive("status of 401")  # news may come just when the session is over
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{world.origin}/sign-in")


@BOTH
def test_tasks_are_filtered_and_paged_through(*, script: bool, scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world, script=script)
    page = visitor.page
    rows = page.locator("#live tbody tr")
    visitor.go("/tasks")

    page.get_by_role("search").get_by_label("Status").select_option("failed")
    page.get_by_role("search").get_by_role("button").click()
    expect(page).to_have_url(re.compile("status=failed"))
    expect(rows.filter(has_text=scene.failed["task_id"])).to_have_count(1)
    expect(rows.filter(has_text="succeeded")).to_have_count(0)

    page.get_by_role("link", name="All tasks").click()
    seen: list[str] = []
    for _ in range(MANY):
        seen += page.evaluate("() => [...document.querySelectorAll('#live tbody tr')].map(one => one.id)")
        older = page.get_by_role("link", name="Older")
        if not older.count():
            break
        older.click()
        page.wait_for_load_state()
    assert len(seen) == len(set(seen)) >= MANY
    assert scene.succeeded["id"] in seen


@BOTH
def test_a_task_is_found_by_its_prompt_and_its_metadata(*, script: bool, scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world, script=script)
    visitor.go("/tasks")
    search = visitor.page.get_by_role("searchbox")
    for wanted in ("lighthouse", scene.succeeded["task_id"]):
        search.fill(wanted)
        search.press("Enter")

        expect(visitor.page).to_have_url(re.compile(f"q={wanted}"))
        expect(visitor.page.locator(f"#live tr#{scene.succeeded['id']}")).to_be_visible()
        assert search.input_value() == wanted


@BOTH
def test_what_was_typed_wrongly_is_kept_and_named(*, script: bool, scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world, "write", script=script)
    visitor.forgive("status of 422")
    page = visitor.page
    visitor.go("/register")
    page.get_by_label("The upstream's id of the task").fill("1730621826053455")
    page.get_by_label("Metadata").fill("{no JSON")

    page.get_by_role("button", name="Register").click()

    field = page.get_by_label("Metadata")
    expect(field).to_have_attribute("aria-invalid", "true")
    assert field.input_value() == "{no JSON"
    assert page.get_by_label("The upstream's id of the task").input_value() == "1730621826053455"
    visitor.look()


@BOTH
def test_many_are_dropped_at_once(*, script: bool, scene: Scene, visiting: Visiting) -> None:
    world = scene.world
    tasks = [world.register("unwanted", ending=Ending.NEVER, path=None) for _ in range(2)]
    visitor = visiting.enter(world, "write", script=script)
    visitor.page.on("dialog", lambda dialog: dialog.accept())
    visitor.go("/tasks")

    for task in tasks:
        visitor.page.locator(f"tr#{task['id']} input[type=checkbox]").check()
    visitor.page.get_by_role("button", name="Stop watching").click()

    expect(visitor.page.get_by_role("status")).to_be_visible()
    for task in tasks:
        expect(visitor.page.locator(f"tr#{task['id']}")).to_contain_text("dropped")


def test_a_picture_is_only_loaded_when_somebody_asks(scene: Scene, visiting: Visiting) -> None:
    """The guard against other hosts sees that none is asked before."""
    visitor = visiting.enter(scene.world)
    visitor.visit(scene.address("/tasks/{id}"))
    assert visitor.page.locator("main img").count() == 0
    assert visitor.unforgiven() == []

    visitor.forgive("another host was asked: .*/mj/image/")
    visitor.page.get_by_role("link", name="Show the picture").click()

    picture = visitor.page.locator("main img")
    expect(picture).to_be_visible()
    assert picture.evaluate("one => one.complete && one.naturalWidth > 0")


def test_an_id_is_copied(scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world)
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.go(scene.address("/tasks/{id}"))

    visitor.page.locator(f"[data-copy='{scene.succeeded['id']}']").click()

    assert visitor.page.evaluate("navigator.clipboard.readText()") == scene.succeeded["id"]


def test_what_needs_a_script_is_not_shown_without_one(scene: Scene, visiting: Visiting) -> None:
    visitor = visiting.enter(scene.world, script=False)
    visitor.go(scene.address("/tasks/{id}"))

    button = visitor.page.locator(f"[data-copy='{scene.succeeded['id']}']")
    expect(button).to_have_count(1)
    expect(button).to_be_hidden()


def test_the_first_page_is_light(scene: Scene, visiting: Visiting) -> None:
    """Less than 100 kB with all that belongs to it."""
    visitor = visiting.enter(scene.world)
    compressed: dict[str, bool] = {}
    visitor.page.on("response", lambda told: compressed.update({told.url: "content-encoding" in told.headers}))
    visitor.go("/")

    sizes = visitor.page.evaluate(
        """() => ["navigation", "resource"].flatMap(kind => performance.getEntriesByType(kind)).map(
             one => [new URL(one.name).pathname, one.transferSize])"""
    )

    assert {name for name, _ in sizes} >= {"/", "/static/page.css", "/static/page.js", "/static/htmx.min.js"}
    assert sum(size for _, size in sizes) < 100_000, sizes
    assert not compressed[f"{scene.world.origin}/"], "its length would tell of what is secret in it"
