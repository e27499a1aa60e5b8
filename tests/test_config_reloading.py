"""Which settings follow a reload, and which wait for a start."""

from pathlib import Path

from tracker.config import AT_A_START, Settings, load, reload, shown_database
from tracker.config.keys import KEYS


def read(folder: Path, text: str) -> Settings:
    path = folder / "tracker.toml"
    path.write_text(text)
    return load(config_path=path, overrides={}, environ={}, cwd=folder, system_path=path).settings


ONE = """
listen = "127.0.0.1:8640"
[upstreams.default]
base_url = "https://gateway.example"
token = "sk-old"
"""


def test_what_is_the_same_is_no_change(tmp_path: Path) -> None:
    reloaded = reload(read(tmp_path, ONE), read(tmp_path, ONE))

    assert (reloaded.changed, reloaded.waiting) == ((), ())


def test_what_lives_as_long_as_the_daemon_waits_and_is_named(tmp_path: Path) -> None:
    before = read(tmp_path, ONE)
    after = read(tmp_path, ONE.replace("8640", "8641").replace("sk-old", "sk-new") + '[callbacks]\ntimeout = "7s"')

    reloaded = reload(before, after)

    assert reloaded.changed == ("upstreams.default.token",)
    assert reloaded.waiting == ("listen", "callbacks.timeout")
    assert reloaded.settings.listen == before.listen
    assert reloaded.settings.callbacks == before.callbacks
    assert reloaded.settings.upstreams == after.upstreams


def test_an_upstream_that_comes_or_goes_is_told_by_what_was_said_of_it(tmp_path: Path) -> None:
    before = read(tmp_path, ONE)
    after = read(tmp_path, ONE.replace("default", "spare"))

    changed = reload(before, after).changed

    assert {"upstreams.default.token", "upstreams.spare.token"} <= set(changed)


def test_everything_else_follows_at_once() -> None:
    """A new setting is put in force by a reload, unless somebody decided that it cannot be."""
    sections = {key.path[0] for key in KEYS}

    assert sections - set(AT_A_START) == {
        "upstreams",
        "default_upstream",
        "retention",
        "limits",
        "metrics",
        "log",
        "web",
    }


def test_a_database_is_shown_without_what_is_secret() -> None:
    assert shown_database("sqlite:////var/lib/tracker/tracker.db?timeout=3") == "sqlite:////var/lib/tracker/tracker.db"
    shown = shown_database("postgresql://tracker:hidden@db.example:5433/tracker?password=hidden")
    assert shown == "postgresql://tracker:********@db.example:5433/tracker"
