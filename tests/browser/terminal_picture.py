"""A picture of a terminal: what commands print there, with their colours, as SVG."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from io import StringIO

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
GROUND, TEXT = (24, 30, 41), (231, 235, 242)
RED, GREEN, YELLOW, BLUE = (255, 123, 114), (63, 185, 80), (210, 153, 34), (111, 155, 255)
MAGENTA, CYAN, GREY = (188, 140, 255), (57, 197, 207), (124, 135, 155)
THEME = TerminalTheme(
    GROUND,
    TEXT,
    [GROUND, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN, TEXT],
    [GREY, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN, TEXT],
)


def typed(arguments: Sequence[str], variables: Mapping[str, str], columns: int) -> str:
    """What `tracker …` prints on a terminal of this width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    command = [sys.executable, "-m", "tracker", *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=dict(variables)) as process:
        os.close(theirs)
        printed = b"".join(_read(ours))
    os.close(ours)
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {printed.decode()}")
    return printed.decode().replace("\r\n", "\n")


def picture(shown: Mapping[str, str], columns: int) -> str:
    """An SVG of commands with what each printed; it asks nobody for a font."""
    console = Console(record=True, width=columns, file=StringIO(), force_terminal=True, color_system="truecolor")
    for number, (command, printed) in enumerate(shown.items()):
        if number:
            console.print()
        console.print(Text.assemble(("$ ", "bright_black"), (command, "bold")))
        console.print(Text.from_ansi(printed.rstrip("\n")), soft_wrap=True)
    return FONTS.sub("", console.export_svg(title="", theme=THEME, unique_id="terminal")).rstrip() + "\n"


def _read(descriptor: int) -> Sequence[bytes]:
    found = []
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # Linux says so when the other end is closed
            return found
        if not part:
            return found
        found.append(part)
