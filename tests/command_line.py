"""The command line, run inside this process or as one of its own, on a database of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from tracker.cli import cli

UPSTREAMS = {
    "TRACKER_UPSTREAMS__DEFAULT__BASE_URL": "https://gateway.example/mj",
    "TRACKER_UPSTREAMS__DEFAULT__TOKEN": "sk-hidden-0123456789",
    "TRACKER_UPSTREAMS__SPARE__BASE_URL": "https://spare.example",
    "TRACKER_UPSTREAMS__SPARE__POLL_INTERVAL": "2500ms",
}
NO_DAEMON = "no daemon runs: nothing is looked at or told until one does; `tracker serve`"


@dataclass
class CommandLine:
    """Runs commands with settings from the environment only."""

    folder: Path
    settings: dict[str, str] = field(default_factory=lambda: dict(UPSTREAMS))

    @property
    def database_path(self) -> Path:
        return self.folder / "tracker.db"

    @property
    def variables(self) -> dict[str, str]:
        no_file = self.folder / "tracker.toml"
        no_file.touch()
        return {
            "TRACKER_CONFIG": str(no_file),
            "TRACKER_DATABASE_URL": f"sqlite:///{self.database_path}",
            **self.settings,
        }

    def __call__(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        """Run one here; an error that is no expected one fails the test."""
        foreign = {name: None for name in os.environ if name.startswith("TRACKER_")}
        result = CliRunner().invoke(
            cli, arguments, input=stdin, env={**foreign, **self.variables}, prog_name="tracker", catch_exceptions=False
        )
        assert "Traceback" not in result.stderr
        return result

    def lines(self, *arguments: str, stdin: str | None = None) -> list[list[str]]:
        """The cells that a successful command prints."""
        result = self(*arguments, stdin=stdin)
        assert result.exit_code == 0, result.stderr
        return [line.split("\t") for line in result.stdout.splitlines()]

    def json(self, *arguments: str, stdin: str | None = None) -> Any:  # noqa: ANN401 - JSON
        """The document that a successful command prints with --json."""
        result = self(*arguments, "--json", stdin=stdin)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def start(self, *arguments: str, **streams: Any) -> subprocess.Popen[str]:  # noqa: ANN401 - Popen's own
        """Run one as a process of its own, in its folder."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
        return subprocess.Popen(
            [sys.executable, "-m", "tracker", *arguments],
            cwd=self.folder,
            env={**kept, **self.variables},
            text=True,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
        )
