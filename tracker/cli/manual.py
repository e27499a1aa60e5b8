"""The manual: a page for `tracker` and one for each command, made of what the commands say of themselves.

    python -m tracker.cli.manual FOLDER

writes tracker.1, tracker-add.1 and so on, and prints their paths.
"""

import inspect
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

import tracker
from tracker.cli.root import cli

_ENVIRONMENT: Mapping[str, str] = {
    "TRACKER_URL": "A daemon's address, like --url.",
    "TRACKER_TOKEN": "The token that is shown to it.",
    "TRACKER_CONFIG": "The configuration file, like --config.",
    "TRACKER_DATABASE_URL": "The database, like --database-url.",
    "TRACKER_UPSTREAMS__NAME__BASE_URL, TRACKER_UPSTREAMS__NAME__TOKEN": (
        "A gateway and its token. Every other setting can be given like this too: `tracker config example` names them."
    ),
    "NO_COLOR": "Where it is set, terminals get no colours.",
}
_FILES: Mapping[str, str] = {
    "./tracker.toml, /etc/tracker/tracker.toml": "The configuration: the first of these that is there.",
    "./tracker.db": "The database, unless the configuration names another.",
    "tracker.token": "The first token of the API, beside the database.",
}
_LINE = 76
_AS_IT_IS = (".nh", ".ad l")
"""No word is cut in two: some are there to be typed."""
_EXITS = "Exit codes: "


def pages(now: datetime) -> dict[str, str]:
    """Each page by the name of its file, as troff reads it; the date is that of the sources."""
    root = click.Context(cli, info_name="tracker", **cli.context_settings)
    made = {"tracker.1": _overview(root, now)}
    for name in cli.list_commands(root):
        command = cli.get_command(root, name)
        if command is not None:
            made[f"tracker-{name}.1"] = _page(click.Context(command, info_name=name, parent=root), now)
    return made


def _overview(root: click.Context, now: datetime) -> str:
    summary, *paragraphs = _paragraphs(root.command)
    exits = [each.removeprefix(_EXITS) for each in paragraphs if each.startswith(_EXITS)]
    names = cli.list_commands(root)
    return _written(
        *_head("tracker", summary, now),
        *_section("Synopsis", *_synopsis(root)),
        *_section("Description", *_told(each for each in paragraphs if not each.startswith(_EXITS))),
        *_section("Commands", *_commands(root, names)),
        *_section("Options", *_options(root)),
        *_section("Exit status", *_told(exits)),
        *_section("Environment", *_defined(_ENVIRONMENT)),
        *_section("Files", *_defined(_FILES)),
        *_section("See also", *_references(names)),
    )


def _page(context: click.Context, now: datetime) -> str:
    """The page of a command; those that are within it each have a part of it."""
    summary, *paragraphs = _paragraphs(context.command)
    parts: list[str] = []
    for inner in _within(context):
        said = _told(_paragraphs(inner.command))
        parts += [f".SS {_quoted(inner.command_path)}", *_synopsis(inner), ".PP", *said, *_options(inner)]
    return _written(
        *_head(f"tracker-{context.info_name}", summary, now),
        *_section("Synopsis", *_synopsis(context)),
        *_section("Description", *_told(paragraphs or [summary])),
        *_section("Options", *_options(context)),
        *_section("Commands", *parts),
        *_section("Columns", *_told([context.command.epilog] if context.command.epilog else [])),
        *_section("See also", *_references([], "tracker")),
    )


def _within(context: click.Context) -> Iterator[click.Context]:
    group = context.command
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            inner = group.get_command(context, name)
            if inner is not None:
                yield click.Context(inner, info_name=name, parent=context)


def _written(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def _head(name: str, summary: str, now: datetime) -> list[str]:
    title = (
        f'.TH {_quoted(name.upper())} 1 "{now:%Y-%m-%d}" {_quoted(f"tracker {tracker.__version__}")} "User Commands"'
    )
    return [title, *_AS_IT_IS, ".SH NAME", *_lines(rf"{_escaped(name)} \- {_escaped(summary.rstrip('.'))}")]


def _section(title: str, *lines: str) -> list[str]:
    """A part with its heading; none where there is nothing to say."""
    return [f".SH {title.upper()}", *lines] if lines else []


def _synopsis(context: click.Context) -> list[str]:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    return _lines(rf"\fB{_escaped(context.command_path)}\fR {_escaped(pieces)}")


def _told(paragraphs: Iterable[str]) -> list[str]:
    """Paragraphs, in which what stands between backticks is to be typed."""
    lines: list[str] = []
    for paragraph in paragraphs:
        words = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", _escaped(paragraph))
        lines += [*([".PP"] if lines else []), *_lines(words)]
    return lines


def _lines(words: str) -> list[str]:
    """Short ones, as troff's sources have; none begins like a request."""
    wrapped = textwrap.wrap(words, _LINE, break_long_words=False, break_on_hyphens=False)
    return [rf"\&{line}" if line.startswith((".", "'")) else line for line in wrapped]


def _options(context: click.Context) -> list[str]:
    params = (param for param in context.command.get_params(context) if isinstance(param, click.Option))
    records = (param.get_help_record(context) for param in params)
    return _defined(dict(record for record in records if record is not None))


def _commands(root: click.Context, names: Iterable[str]) -> list[str]:
    commands = ((name, cli.get_command(root, name)) for name in names)
    return _defined({f"tracker {name}": _paragraphs(command)[0] for name, command in commands if command})


def _defined(said: Mapping[str, str]) -> list[str]:
    """Terms, each with what it means."""
    lines: list[str] = []
    for term, meaning in said.items():
        lines += [".TP", rf"\fB{_escaped(term)}\fR", *_told([meaning])]
    return lines


def _references(names: Iterable[str], *more: str) -> list[str]:
    pages = [*more, *(f"tracker-{name}" for name in names)]
    return _lines(", ".join(rf"\fB{_escaped(page)}\fR(1)" for page in pages))


def _paragraphs(command: click.Command) -> list[str]:
    said = inspect.cleandoc(command.help or "")
    return [" ".join(paragraph.split()) for paragraph in said.split("\n\n")]


def _quoted(word: str) -> str:
    return f'"{_escaped(word)}"'


def _escaped(said: str) -> str:
    """Text as troff takes it, in ASCII."""
    plain = said.replace("\\", r"\e").replace("-", r"\-")
    return "".join(letter if letter.isascii() else rf"\[u{ord(letter):04X}]" for letter in plain)


def main() -> None:
    """Write the pages into the folder that is named."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - this program and a folder
        sys.exit("usage: python -m tracker.cli.manual FOLDER")
    stamp = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(stamp), UTC) if stamp else datetime.now(UTC)
    for name, page in pages(now).items():
        path = Path(sys.argv[1]) / name
        path.write_text(page, encoding="ascii")
        click.echo(path)


if __name__ == "__main__":
    main()
