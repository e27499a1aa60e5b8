"""The configuration: its layers, its values, and what is said about a wrong one."""

import json
import re
import string
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import example as case
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tracker.config import Loaded, Settings, example, load, show
from tracker.config.durations import LONGEST, format_duration, parse_duration
from tracker.config.keys import KEYS, dotted
from tracker.errors import ConfigError

BASE = "upstreams.default.base_url"
BASE_VARIABLE = "TRACKER_UPSTREAMS__DEFAULT__BASE_URL"
GATEWAY = "https://gateway.example/mj"
FILE = f'[upstreams.default]\nbase_url = "{GATEWAY}"\ntoken = "from-file"\n'


def read(cwd: Path, environ: Mapping[str, str] | None = None, **overrides: object) -> Loaded:
    """Load with nothing but what is given here; `__` in an override stands for a dot."""
    dots = {key.replace("__", "."): value for key, value in overrides.items()}
    return load(config_path=None, overrides=dots, environ=environ or {}, cwd=cwd, system_path=cwd / "system.toml")


def token(loaded: Loaded, upstream: str = "default") -> str | None:
    secret = loaded.settings.upstreams[upstream].token
    return secret and secret.get_secret_value()


class TestDurations:
    @pytest.mark.parametrize(
        ("text", "duration"),
        [
            ("250ms", timedelta(milliseconds=250)),
            ("20s", timedelta(seconds=20)),
            ("5m", timedelta(minutes=5)),
            ("2h", timedelta(hours=2)),
            ("24h", timedelta(hours=24)),
            ("7d", timedelta(days=7)),
            ("0s", timedelta(0)),
        ],
    )
    def test_are_written_and_read_alike(self, text: str, duration: timedelta) -> None:
        assert parse_duration(text) == duration
        assert format_duration(duration) == text

    @pytest.mark.parametrize(
        "text", ["", "5", "s", "-5s", "1.5h", "5S", "5 min", "5s5s", "\u0665s", "3651d", "9" * 30 + "d"]
    )
    def test_of_another_shape_are_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"not a whole number with a unit|longer than 3650d"):
            parse_duration(text)

    @given(st.integers(0, LONGEST // timedelta(milliseconds=1)))
    def test_survive_being_written(self, milliseconds: int) -> None:
        duration = timedelta(milliseconds=milliseconds)

        assert parse_duration(format_duration(duration)) == duration

    @given(st.text(string.digits + "mshd .-", max_size=20))
    def test_that_are_read_can_be_written(self, text: str) -> None:
        try:
            duration = parse_duration(text)
        except ValueError:
            return
        assert parse_duration(format_duration(duration)) == duration


class TestLayers:
    def test_nothing_at_all_is_a_configuration(self, tmp_path: Path) -> None:
        loaded = read(tmp_path)

        assert loaded.settings == Settings(database_url=f"sqlite:///{tmp_path}/tracker.db")
        assert loaded.path is None
        assert set(loaded.origins.values()) == {"default"}

    def test_the_higher_layer_wins_and_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "tracker.toml").write_text(FILE)
        (tmp_path / "upstream-default-token").write_text("from-credential\r\n")
        variables = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
        variable = "TRACKER_UPSTREAMS__DEFAULT__TOKEN"
        key = "upstreams.default.token"

        file = read(tmp_path)
        credential = read(tmp_path, variables)
        environment = read(tmp_path, variables | {variable: "from-environment"})
        line = read(tmp_path, variables | {variable: "x"}, upstreams__default__token="from-line")

        layers = [file, credential, environment, line]
        assert [token(loaded) for loaded in layers] == ["from-file", "from-credential", "from-environment", "from-line"]
        assert [loaded.origins[key] for loaded in layers] == [
            f"file {tmp_path}/tracker.toml",
            "credential upstream-default-token",
            f"environment {variable}",
            "command line",
        ]
        assert all(loaded.origins[BASE] == f"file {tmp_path}/tracker.toml" for loaded in layers)

    def test_one_upstream_in_the_environment_needs_no_file(self, tmp_path: Path) -> None:
        loaded = read(tmp_path, {BASE_VARIABLE: GATEWAY, "tracker_upstreams__Default__token": "x"})

        assert loaded.settings.upstreams["default"].base_url == GATEWAY
        assert token(loaded) == "x"

    def test_upstreams_of_the_environment_come_in_the_order_of_their_names(self, tmp_path: Path) -> None:
        names = ["a", "a2", "a_b", "b"]
        variables = {f"TRACKER_UPSTREAMS__{name.upper()}__BASE_URL": GATEWAY for name in (*names[2:], *names[:2])}

        assert list(read(tmp_path, variables).settings.upstreams) == names

    def test_a_variable_in_capitals_wins(self, tmp_path: Path) -> None:
        variables = {"tracker_listen": "a:1", "TRACKER_LISTEN": "b:2", "Tracker_Listen": "c:3"}

        assert read(tmp_path, variables).settings.listen == "b:2"

    def test_a_database_url_may_be_a_credential(self, tmp_path: Path) -> None:
        (tmp_path / "database-url").write_text("postgres://joe:hush@db/tracker\n")
        (tmp_path / "something-else").write_text("x")

        loaded = read(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})

        assert loaded.settings.database_url == "postgresql://joe:hush@db/tracker"
        assert loaded.origins["database_url"] == "credential database-url"

    def test_a_credential_alone_makes_no_upstream(self, tmp_path: Path) -> None:
        (tmp_path / "upstream-default-token").write_text("x")

        assert read(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).settings.upstreams == {}

    def test_a_credential_finds_an_upstream_of_the_environment(self, tmp_path: Path) -> None:
        (tmp_path / "upstream-default-token").write_text("x")

        assert token(read(tmp_path, {BASE_VARIABLE: GATEWAY, "CREDENTIALS_DIRECTORY": str(tmp_path)})) == "x"

    @pytest.mark.parametrize("name", ["my-gateway", "my_gateway"])
    def test_a_variable_finds_the_upstream_of_the_file(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "tracker.toml").write_text(FILE.replace("default", name))

        loaded = read(tmp_path, {"TRACKER_UPSTREAMS__MY_GATEWAY__TOKEN": "x"})

        assert token(loaded, name) == "x"
        assert list(loaded.settings.upstreams) == [name]

    def test_a_variable_that_may_mean_two_upstreams_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "tracker.toml").write_text(FILE.replace("default", "a-b_c") + FILE.replace("default", "a_b-c"))

        with pytest.raises(ConfigError, match=r"TRACKER_UPSTREAMS__A_B_C__TOKEN: may mean each of .* a-b_c, a_b-c"):
            read(tmp_path, {"TRACKER_UPSTREAMS__A_B_C__TOKEN": "x"})

    @pytest.mark.parametrize(
        "name", ["TRACKER_TOKEN", "TRACKER_URL", "TRACKER_SECRET", "TRACKER_TEST_POSTGRES", "tracker_url", "OTHER"]
    )
    def test_some_variables_are_no_settings(self, tmp_path: Path, name: str) -> None:
        assert read(tmp_path, {name: "x"}) == read(tmp_path)

    def test_an_empty_variable_and_an_option_not_given_say_nothing(self, tmp_path: Path) -> None:
        assert read(tmp_path, {"TRACKER_LISTEN": ""}, log__level=None) == read(tmp_path)

    def test_an_address_left_empty_is_blamed_itself(self, tmp_path: Path) -> None:
        variables = {"TRACKER_UPSTREAMS__DEFAULT__BASE_URL": "", "TRACKER_UPSTREAMS__DEFAULT__TOKEN": "x"}

        fix = r"\(environment TRACKER_UPSTREAMS__DEFAULT__BASE_URL, which is empty\)"
        with pytest.raises(ConfigError, match=f"^upstreams.default.base_url: is missing; .*{fix}$"):
            read(tmp_path, variables)
        (tmp_path / "tracker.toml").write_text(FILE)
        assert read(tmp_path, variables).origins["upstreams.default.base_url"].startswith("file ")

    def test_the_first_file_that_exists_is_read(self, tmp_path: Path) -> None:
        for name in ("system", "tracker", "variable", "option"):
            (tmp_path / f"{name}.toml").write_text(f'[upstreams.{name}]\nbase_url = "{GATEWAY}"\n')
        variable = {"TRACKER_CONFIG": "variable.toml"}

        option = load(config_path=Path("option.toml"), overrides={}, environ=variable, cwd=tmp_path)
        found = [option, read(tmp_path, variable), read(tmp_path)]
        (tmp_path / "tracker.toml").unlink()
        found.append(read(tmp_path))

        names = ["option", "variable", "tracker", "system"]
        assert [list(loaded.settings.upstreams) for loaded in found] == [[name] for name in names]
        assert [loaded.path for loaded in found] == [tmp_path / f"{name}.toml" for name in names]

    @pytest.mark.parametrize(
        ("variables", "url"),
        [
            ({}, "sqlite:///{cwd}/tracker.db"),
            ({"STATE_DIRECTORY": "/var/lib/tracker"}, "sqlite:////var/lib/tracker/tracker.db"),
            ({"STATE_DIRECTORY": "/var/lib/a b:/var/lib/c"}, "sqlite:////var/lib/a%20b/tracker.db"),
            ({"TRACKER_DATABASE_URL": "sqlite:///./x.db?timeout=5"}, "sqlite:///{cwd}/x.db?timeout=5"),
            ({"TRACKER_DATABASE_URL": "sqlite+pysqlite:////x.db"}, "sqlite+pysqlite:////x.db"),
            ({"TRACKER_DATABASE_URL": "postgres:///x"}, "postgresql:///x"),
            ({"TRACKER_DATABASE_URL": "postgresql+psycopg://[::1]:5/x"}, "postgresql+psycopg://[::1]:5/x"),
        ],
    )
    def test_the_database_is_named_absolutely(self, tmp_path: Path, variables: dict[str, str], url: str) -> None:
        assert read(tmp_path, variables).settings.database_url == url.format(cwd=tmp_path)


class TestValues:
    def test_lists_may_be_one_text(self, tmp_path: Path) -> None:
        variables = {
            "TRACKER_CALLBACKS__RETRY_SCHEDULE": "0s, 5s,5m",
            "TRACKER_CALLBACKS__ALLOW_NETWORKS": "10.0.0.0/8,fd00::/8",
            "TRACKER_CALLBACKS__REQUIRE_HTTPS": "yes",
            "TRACKER_LOG__LEVEL": "DEBUG",
            "TRACKER_CALLBACKS__MAX_PER_SECOND_PER_ENDPOINT": "0.5",
            "TRACKER_LIMITS__LIVE_TASKS_PER_OWNER": "5000",
            "TRACKER_METRICS__SCOPE": "Admin",
        }

        settings = read(tmp_path, variables).settings

        assert settings.callbacks.retry_schedule == (timedelta(0), timedelta(seconds=5), timedelta(minutes=5))
        assert settings.callbacks.allow_networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
        assert settings.callbacks.require_https is True
        assert settings.callbacks.max_per_second_per_endpoint == 0.5
        assert settings.log.level == "debug"
        assert settings.limits.live_tasks_per_owner == 5000
        assert settings.metrics.scope == "admin"

    @pytest.mark.parametrize(
        ("names", "named", "default"),
        [
            ([], None, None),
            (["one"], None, "one"),
            (["one", "two"], None, None),
            (["one", "default"], None, "default"),
            (["one", "default"], "one", "one"),
        ],
    )
    def test_the_default_upstream_follows_from_what_there_is(
        self, names: list[str], named: str | None, default: str | None
    ) -> None:
        upstreams = {name: {"base_url": GATEWAY} for name in names}

        assert Settings.model_validate({"upstreams": upstreams, "default_upstream": named}).upstream_default == default

    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1:9000/x", "http://localhost", "https://[fd00::7]/x?key=1", "http://ops.internal:5432/"]
    )
    def test_the_operator_may_be_told_in_a_private_network(self, tmp_path: Path, url: str) -> None:
        """No rule about addresses applies to what the operator names: it is one of theirs, as an upstream is."""
        variables = {"TRACKER_OPERATOR_CALLBACK_URL": url, "TRACKER_CALLBACKS__REQUIRE_HTTPS": "yes"}

        assert read(tmp_path, variables).settings.operator_callback_url == url

    @pytest.mark.parametrize(
        ("listen", "address"), [("127.0.0.1:8640", ("127.0.0.1", 8640)), ("[::1]:0", ("::1", 0)), ("a.b:1", ("a.b", 1))]
    )
    def test_an_address_has_a_host_and_a_port(self, listen: str, address: tuple[str, int]) -> None:
        assert Settings(listen=listen).listen_address == address

    def test_values_may_be_given_as_what_they_are(self) -> None:
        callbacks = {"timeout": timedelta(seconds=1), "allow_networks": [ip_network("10.0.0.0/8")]}

        settings = Settings.model_validate({"callbacks": callbacks}).callbacks

        assert settings.timeout == timedelta(seconds=1)
        assert settings.allow_networks == (ip_network("10.0.0.0/8"),)

    def test_settings_are_frozen_and_tell_no_secret(self) -> None:
        upstream = {"base_url": GATEWAY, "token": "hush"}
        urls = {"database_url": "postgresql://joe:hush@db/x", "operator_callback_url": "https://ops.example/hush"}
        settings = Settings.model_validate({"upstreams": {"a": upstream}, **urls})

        assert "hush" not in repr(settings)
        with pytest.raises(ValidationError):
            settings.listen = "x"
        with pytest.raises(TypeError):
            settings.upstreams["b"] = settings.upstreams["a"]  # type: ignore[index]


BAD = [
    ("upstreams.default.poll_interval", "5", '"5" is not a duration; write a number with a unit: "250ms", "20s", "5m"'),
    ("upstreams.default.poll_interval", 5, "5 is not a duration; write a number with a unit"),
    ("upstreams.default.timeout", "0s", '"0s" is no time at all'),
    ("upstreams.default.timeout", "9999d", '"9999d" is longer than 3650d'),
    ("upstreams.default.expire_after", ["1h"], "a list is not a duration"),
    ("upstreams.default.auth", "sk-hush", 'this value is not possible here; write "bearer", "raw" or "mj-api-secret"'),
    ("upstreams.default.batch", "maybe", '"maybe" is not possible here; write "auto", "on" or "off"'),
    ("upstreams.default.batch_size", 0, "0 is out of range; write a whole number from 1 to 1000"),
    ("upstreams.default.batch_size", True, "true is not a whole number"),
    ("upstreams.default.batch_size", "1e3", '"1e3" is not a whole number'),
    ("upstreams.default.max_in_flight", 10**20, "a huge number is out of range"),
    ("upstreams.default.max_requests_per_second", 0, "0 is out of range"),
    ("upstreams.default.max_requests_per_second", float("nan"), "NaN is not a number"),
    ("upstreams.default.token", " ", "is empty; write the token, or leave the key out"),
    ("upstreams.default.token", "hush\nhush", "has characters that no HTTP header can carry"),
    ("upstreams.default.token", {"hush": "hush"}, "is not a text"),
    ("upstreams.default.dialect", "Mid Journey", '"Mid Journey" is not a name'),
    ("upstreams.default.dialect", "klingon", '"klingon" is not a dialect that tracker speaks; write "midjourney"'),
    ("upstreams.default.base_url", "gateway.example", "does not begin with http:// or https://"),
    ("upstreams.default.base_url", "https://joe:hush@gateway.example", "carries a user name or password"),
    ("upstreams.default.base_url", "https://gateway.example?key=hush", "has a query or a fragment"),
    ("upstreams.default.base_url", "https://gateway.example#hush", "has a query or a fragment"),
    ("upstreams.default.base_url", "https:///mj", "names no host"),
    ("upstreams.default.base_url", "https://host:hush/mj", "is not an address"),
    ("upstreams.default.base_url", "https://ho st/", "has blanks or control characters inside"),
    ("upstreams.other.token", "hush", "base_url: is missing; write it, like"),
    ("upstreams.Default.base_url", GATEWAY, '"Default" is not a name; write up to 64 of a-z'),
    ("upstreams.token", "hush", "is a text, not a table; write a table, [upstreams.token]"),
    ("upstreams", "hush", "is a text, not a table; write a table, [upstreams.<name>]"),
    ("operator_callback_url", "", "is empty; write an address like"),
    ("operator_callback_url", 5, "5 is not an address; write an address like"),
    ("operator_callback_url", "ops.example/hush", "this is no http or https URL; write it as https://host/path"),
    ("operator_callback_url", "ftp://ops.example/hush", "this is no http or https URL"),
    ("operator_callback_url", "https:///hush", "the URL has no host"),
    ("operator_callback_url", "https://joe:hush@ops.example/", "there is a user or a password in the URL"),
    ("operator_callback_url", "https://ops.example:0/hush", "the port is no number from 1 to 65535"),
    ("operator_callback_url", "https://2130706433/hush", "the host ends in a number but is no plain IPv4 address"),
    ("operator_callback_url", "https://ops.example/a hush", "has blanks or control characters inside"),
    ("operator_callback_url", f"https://ops.example/{'hush' * 600}", "the URL is longer than 2048 characters"),
    ("default_upstream", "defualt", '"defualt" is not the name of an upstream; did you mean default?'),
    ("database_url", "mysql://joe:hush@db/x", '"mysql" is not a kind of database that tracker speaks'),
    ("database_url", "hush", "is not a database URL"),
    ("database_url", "sqlite://", "is not the URL of an SQLite file"),
    ("database_url", "sqlite:///:memory:", "is not an SQLite file"),
    ("database_url", "sqlite:///%3Amemory%3A", "is not an SQLite file"),
    ("database_url", "postgresql+asyncpg://joe:hush@db/x", '"postgresql+asyncpg" is not a kind of database'),
    ("database_url", "postgresql://joe:hu@sh@db/x", "is not laid out as"),
    ("database_url", "postgresql://joe:hush@db:65536/x", "is not laid out as"),
    ("listen", 8640, "8640 is not an address"),
    ("listen", "", "is empty; write an address and a port"),
    ("listen", "x" * 200, "a text of 200 characters is not an address with a port"),
    ("listen", "8640", '"8640" is not an address with a port'),
    ("listen", "127.0.0.1:65536", "65536 is not a port"),
    ("listen", "[::::]:80", "is not an address with a port"),
    ("callbacks.retry_schedule", [], "an empty list; write at least one wait"),
    ("callbacks.retry_schedule", "5s,0s", '"0s" is no time at all'),
    ("callbacks.retry_schedule", 5, "5 is not a list"),
    ("callbacks.allow_networks", "10.1.2.3/8", 'names a host and a network at once; write "10.0.0.0/8"'),
    ("callbacks.allow_networks", [10], "10 is not a network"),
    ("callbacks.allow_networks", "localhost", '"localhost" is not a network'),
    ("callbacks.allow_networks", ["10.0.0.0/8"] * 101, "a list of 101; write at most 100"),
    ("callbacks.require_https", "maybe", '"maybe" is neither true nor false'),
    ("log.level", 10, 'this value is not possible here; write "debug", "info", "warning" or "error"'),
    ("log.levle", "info", "is not a setting; did you mean log.level?"),
    ("upstream.default.base_url", GATEWAY, "is not a setting; did you mean upstreams.default.base_url?"),
    ("poll_interval", "5s", "is not a setting; it belongs under [upstreams.default]"),
    ("base_url", GATEWAY, "is not a setting; it belongs under [upstreams.default]"),
    ("timeout", "5s", "is not a setting; it belongs under [upstreams.default] or [callbacks]"),
    ("calbacks.timeout", "5s", "is not a setting; did you mean callbacks.timeout?"),
    ("upstream.fast.timeout", "5s", "is not a setting; did you mean upstreams.fast.timeout?"),
    ("limits.live_tasks_per_owner", 0, "0 is out of range; write a whole number from 1 to 10000000"),
    ("limits.live_tasks_per_owner", "none", '"none" is not a whole number; write one from 1 to 10000000'),
    ("limits.registrations_per_minute_per_owner", 0.5, "0.5 is not a whole number"),
    ("limits.registrations_per_minute_per_owner", -1, "-1 is out of range"),
    ("metrics.scope", True, 'this value is not possible here; write "read", "write" or "admin"'),
    ("retention.zzz", "5s", "remove it, or write one of retention.tasks, retention.attempts, retention.bodies"),
]


class TestProblems:
    @pytest.mark.parametrize(("key", "value", "text"), BAD)
    def test_are_told_in_one_line_without_secrets(self, tmp_path: Path, key: str, value: object, text: str) -> None:
        with pytest.raises(ConfigError) as caught:
            read(tmp_path, **{BASE: GATEWAY, key: value})

        told = str(caught.value)
        assert told.startswith(key.rpartition(".")[0])
        assert text in told
        assert told.endswith("(command line)")
        assert told.isprintable()
        assert "hush" not in told
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    @pytest.mark.parametrize(
        ("variable", "text"),
        [
            ("TRACKER_LISTN", "TRACKER_LISTN: is not a setting; did you mean TRACKER_LISTEN?"),
            ("TRACKER_LOG_LEVEL", "TRACKER_LOG_LEVEL: is not a setting; did you mean TRACKER_LOG__LEVEL?"),
            ("TRACKER_UPSTREAMS__A__BASEURL", "did you mean TRACKER_UPSTREAMS__A__BASE_URL?"),
            ("TRACKER_BASE_URL", "did you mean TRACKER_UPSTREAMS__DEFAULT__BASE_URL?"),
            ("TRACKER_CALBACKS__TIMEOUT", "is not a setting; did you mean TRACKER_CALLBACKS__TIMEOUT?"),
            ("TRACKER_UPSTREAM__FAST__TIMEOUT", "is not a setting; did you mean TRACKER_UPSTREAMS__FAST__TIMEOUT?"),
            ("TRACKER_", "remove it: `tracker config example` names every setting"),
            ("TRACKER_FOO", "TRACKER_FOO: is not a setting; remove it: `tracker config example` names"),
        ],
    )
    def test_of_variables_name_the_variable_meant(self, tmp_path: Path, variable: str, text: str) -> None:
        with pytest.raises(ConfigError, match=re.escape(text)):
            read(tmp_path, {variable: "x"})

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (b"listen = 1\nlisten = 2\n", "tracker.toml, line 2: is not TOML (Cannot overwrite a value)"),
            (b"a = 1\n[upstreams", "tracker.toml, line 2: is not TOML"),
            (b"a = 1\n\n\xff\n", "tracker.toml, line 3: is not UTF-8 text"),
            (b"a = " + b"[" * 100_000, "tracker.toml, line 1: is not"),
            (b"a = " + b"9" * 5000, "tracker.toml, line 1: is not a configuration"),
            (b'[log]\nlevel = "loud"', 'log.level: "loud" is not possible here'),
            (b"[upstreams.default]", "upstreams.default.base_url: is missing"),
        ],
    )
    def test_of_a_file_name_the_place(self, tmp_path: Path, content: bytes, text: str) -> None:
        (tmp_path / "tracker.toml").write_bytes(content)

        with pytest.raises(ConfigError, match=re.escape(text)):
            read(tmp_path)

    def test_name_the_layer_that_brought_the_value(self, tmp_path: Path) -> None:
        (tmp_path / "tracker.toml").write_text(f'listen = "x"\n{FILE}')
        (tmp_path / "upstream-default-token").write_text("hush\nhush")

        with pytest.raises(ConfigError, match=rf"^listen: .* \(file {tmp_path}/tracker.toml\)$"):
            read(tmp_path)
        with pytest.raises(ConfigError, match=r"^listen: .* \(environment TRACKER_LISTEN\)$"):
            read(tmp_path, {"TRACKER_LISTEN": "y"})
        with pytest.raises(ConfigError, match=r"token: .* \(credential upstream-default-token\)$"):
            read(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path), "TRACKER_LISTEN": "a:1"})

    def test_a_named_file_that_is_missing_is_one(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"^TRACKER_CONFIG: there is no file .*/none.toml"):
            read(tmp_path, {"TRACKER_CONFIG": "none.toml"})
        with pytest.raises(ConfigError, match=r"^--config: there is no file"):
            load(config_path=tmp_path, overrides={}, environ={})

    @pytest.mark.parametrize("name", ["x" * 300, "/proc/self/mem"])
    def test_a_file_that_cannot_be_read_is_one(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ConfigError, match=r": cannot be read \(.+\); let the user that runs tracker read it"):
            read(tmp_path, {"TRACKER_CONFIG": name})

    def test_a_credential_that_is_no_text_is_one(self, tmp_path: Path) -> None:
        (tmp_path / "database-url").write_bytes(b"\xff")

        with pytest.raises(ConfigError, match=r"^credential database-url: is not UTF-8 text"):
            read(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    def test_a_credential_that_cannot_be_read_is_one(self, tmp_path: Path) -> None:
        (tmp_path / "database-url").mkdir()

        with pytest.raises(ConfigError, match=r"^credential database-url: cannot be read \(Is a directory\)"):
            read(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})


class TestSample:
    @staticmethod
    def uncommented() -> dict[str, object]:
        return tomllib.loads(re.sub(r"^#(?! )", "", example(), flags=re.MULTILINE))

    @staticmethod
    def leaves(table: Mapping[str, object], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
        for name, value in table.items():
            if isinstance(value, dict):
                yield from TestSample.leaves(value, (*path, name))
            else:
                yield (*path, name), value

    def test_has_every_key_once(self) -> None:
        written = [dotted(path).replace(".default.", ".<name>.") for path, _ in self.leaves(self.uncommented())]

        assert sorted(written) == sorted(dotted(key.path) for key in KEYS)

    def test_explains_every_key(self) -> None:
        lines = example().splitlines()

        for index, line in enumerate(lines):
            if re.match(r"#\w+ = ", line):
                assert re.match(r"# \S.*\.$", lines[index - 1]), line

    def test_tells_the_defaults(self) -> None:
        written = Settings.model_validate(self.uncommented())
        bare = Settings.model_validate({"upstreams": {"default": {"base_url": GATEWAY}}})
        without = {"token", "max_requests_per_second"}

        assert (written.database_url, written.listen) == (bare.database_url, bare.listen)
        assert written.upstreams["default"].model_dump(exclude=without) == bare.upstreams["default"].model_dump(
            exclude=without
        )
        assert written.callbacks.model_copy(update={"max_per_second_per_endpoint": None}) == bare.callbacks
        assert (written.retention, written.log) == (bare.retention, bare.log)

    def test_shows_what_a_limit_looks_like_and_that_there_is_none(self) -> None:
        bare = Settings()

        assert set(bare.limits.model_dump().values()) == {None}
        assert bare.metrics.scope is None
        for line in ("live_tasks_per_owner = 10000", "registrations_per_minute_per_owner = 600", 'scope = "read"'):
            above = example().split(f"\n#{line}\n")[0].splitlines()[-1]
            assert above.endswith("Not set by default.")

    def test_is_a_configuration_as_it_stands_and_uncommented(self, tmp_path: Path) -> None:
        file = tmp_path / "tracker.toml"
        file.write_text(example())
        assert read(tmp_path).settings == Settings(database_url=f"sqlite:///{tmp_path}/tracker.db")

        file.write_text(re.sub(r"^#(?! )", "", example(), flags=re.MULTILINE))
        assert read(tmp_path).settings.upstream_default == "default"


def test_what_is_in_force_is_shown_with_its_origin_and_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "tracker.toml").write_text(FILE.replace("from-file", "hush"))

    variables = {
        "TRACKER_DATABASE_URL": "postgres://joe:hush@db/x?password=hush",
        "TRACKER_OPERATOR_CALLBACK_URL": "https://ops.example:8443/hush?key=hush",
    }
    rows = show(read(tmp_path, variables, log__level="error"))
    bare = {key: value for key, value, _ in show(read(tmp_path))}

    shown = {key: (value, origin) for key, value, origin in rows}
    file = f"file {tmp_path}/tracker.toml"
    assert shown["database_url"] == (
        "postgresql://joe:********@db/x?password=********",
        "environment TRACKER_DATABASE_URL",
    )
    assert shown["operator_callback_url"][0] == "https://ops.example:8443/********"
    assert bare["operator_callback_url"] == "none"
    assert shown["upstreams.default.token"] == ("********", file)
    assert shown["upstreams.default.base_url"] == (GATEWAY, file)
    assert shown["upstreams.default.expire_after"] == ("24h", "default")
    assert shown["upstreams.default.max_requests_per_second"] == ("none", "default")
    assert shown["callbacks.retry_schedule"] == ("0s,5s,5m,30m,2h,5h,10h,14h,20h,24h", "default")
    assert shown["callbacks.allow_networks"] == ("none", "default")
    assert shown["callbacks.require_https"] == ("false", "default")
    assert shown["limits.live_tasks_per_owner"] == ("none", "default")
    assert shown["log.level"] == ("error", "command line")
    assert "hush" not in repr(rows)


@pytest.mark.parametrize("url", ["https://ops.example", "https://ops.example/", "https://[::1]:80/"])
def test_a_receiver_without_a_path_hides_nothing(tmp_path: Path, url: str) -> None:
    rows = show(read(tmp_path, operator_callback_url=url))

    assert ("operator_callback_url", url, "command line") in rows


WORDS = sorted({part for key in KEYS for part in key.path} | {"default", "a-b"})
VALUES = ["5s", "0s,5s", "10.0.0.0/8", "auto", GATEWAY, "sqlite:///x", "postgresql://a:b@c:1/d", "[::1]:80", "1", "x\0"]
KEY = st.sampled_from(WORDS) | st.text(max_size=8)
SCALAR = st.sampled_from(VALUES) | st.text(max_size=20) | st.integers() | st.floats() | st.booleans() | st.datetimes()
TREE = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=4))
TABLE = st.dictionaries(KEY, TREE, max_size=5)
VARIABLE = st.lists(KEY, min_size=1, max_size=4).map("__".join).map("TRACKER_{}".format).map(str.upper)
OTHER_VARIABLE = st.sampled_from(["TRACKER_CONFIG", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "TRACKER_TOKEN"])
ENVIRON = st.dictionaries(VARIABLE | OTHER_VARIABLE, st.sampled_from(VALUES) | st.text(max_size=20), max_size=4)


def toml(value: object) -> str:
    """A value as inline TOML."""
    match value:
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case bool() | str():
            return json.dumps(value)
        case _:
            return str(value)


def outcome(folder: Path, environ: dict[str, str], overrides: dict[str, object]) -> str:
    """The line that a bad configuration makes; nothing for a good one."""
    try:
        loaded = load(config_path=None, overrides=overrides, environ=environ, cwd=folder)
    except ConfigError as error:
        return str(error)
    assert [key for key, _, _ in show(loaded)] == list(loaded.origins)
    return ""


@hypothesis_settings(deadline=None, max_examples=150)
@given(table=TABLE, environ=ENVIRON, overrides=TABLE)
@case(table={}, environ={"STATE_DIRECTORY": "\ud800"}, overrides={})
@case(table={}, environ={"CREDENTIALS_DIRECTORY": "\0"}, overrides={})
@case(table={}, environ={}, overrides={"upstreams.a.batch_size": 10**5000})
def test_whatever_is_configured_is_read_or_refused_in_one_line(
    table: dict[str, object], environ: dict[str, str], overrides: dict[str, object]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "tracker.toml")
        file.write_text("\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in table.items()))
        for options in ({}, overrides):
            told = outcome(Path(folder), environ, options)
            assert told.isprintable()
