"""The snippets of docs/delivery.md as programs, and messages to run them against."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tracker.clock import utc_now
from tracker.webhooks import new_secret, sign

DOCUMENT = (Path(__file__).parent.parent / "docs" / "delivery.md").read_text()
SNIPPETS = re.findall(r"```(python|js|php|go)\n(.*?)```", DOCUMENT, re.DOTALL)
LIBRARY_PYTHON, PLAIN_PYTHON = (code for language, code in SNIPPETS if language == "python")
LIBRARY_JS, PLAIN_JS = (code for language, code in SNIPPETS if language == "js")
(PHP,) = (code for language, code in SNIPPETS if language == "php")
(GO,) = (code for language, code in SNIPPETS if language == "go")
GENUINE, REFUSED = 0, 3


@dataclass(frozen=True, kw_only=True)
class Message:
    secret: str
    headers: dict[str, str]
    body: bytes

    def given(self) -> str:
        """What the programs read."""
        body = base64.b64encode(self.body).decode()
        return json.dumps({"secret": self.secret, "headers": self.headers, "body": body})


PLAIN = '{"type":"task.succeeded","data":{"text":"pig","url":"https://a.example/b"}}'
WIDE = '{"type":"task.succeeded","data":{"text":"猪 é 🐖 \u2028","escaped":"\\u732a","url":"https://a.example/b"}}'


def signed(*, seconds_ago: int = 0, secret: str | None = None) -> Message:
    """A message that we signed, with a new secret beside the one that the receiver knows."""
    return signed_by(new_secret(), secret or new_secret(), seconds_ago=seconds_ago)


def signed_by(*secrets: str, body: str = WIDE, seconds_ago: int = 0) -> Message:
    """A message that was signed with these; the receiver knows the last."""
    timestamp = int(utc_now().timestamp()) - seconds_ago
    content = body.encode()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secrets, "msg_1", timestamp, content),
    }
    return Message(secret=secrets[-1], headers=headers, body=content)


def genuine() -> dict[str, Message]:
    """Messages that have to be taken, by what is special about them."""
    old, new = new_secret(), new_secret()
    return {
        "the current secret": signed_by(new, body=PLAIN),
        "the new secret while two sign": replace(signed_by(new, old, body=PLAIN), secret=new),
        "the old secret while two sign": signed_by(new, old, body=PLAIN),
        "text beyond ASCII": signed_by(new),
        "text beyond ASCII while two sign": replace(signed_by(new, old), secret=new),
        "four minutes ago": signed(seconds_ago=240),
    }


def forged() -> dict[str, Message]:
    """Messages that are not genuine, by what is wrong with them."""
    good = signed()
    earlier = str(int(good.headers["webhook-timestamp"]) - 9)
    return {
        "a changed body": replace(good, body=good.body.replace(b"succeeded", b"cancelled")),
        "a changed letter beyond ASCII": replace(good, body=good.body.replace("猪".encode(), "豬".encode())),
        "another secret": replace(good, secret=new_secret()),
        "a secret whose day is over": replace(signed_by(new_secret()), secret=good.secret),
        "another id": replace(good, headers=good.headers | {"webhook-id": "msg_2"}),
        "another timestamp": replace(good, headers=good.headers | {"webhook-timestamp": earlier}),
        "no signature": replace(good, headers=good.headers | {"webhook-signature": "v1,"}),
        "no headers": replace(good, headers={}),
        "a signature of another version": replace(
            good, headers=good.headers | {"webhook-signature": good.headers["webhook-signature"].replace("v1,", "v2,")}
        ),
        "an hour ago": signed(seconds_ago=3600),
        "in an hour": signed(seconds_ago=-3600),
    }


def runs(command: list[str], message: Message) -> bool:
    """Whether the program took the message; it must say clearly that it did, or did not."""
    done = subprocess.run(command, input=message.given(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (GENUINE, REFUSED), done.stderr
    return done.returncode == GENUINE


def write_python(code: str, folder: Path) -> list[str]:
    ending = f"""
import base64, json, sys
given = json.load(sys.stdin)
body = base64.b64decode(given["body"])
try:
    message = verify(given["secret"], given["headers"], body)
except Exception as error:
    sys.exit({REFUSED})
assert message == json.loads(body)
"""
    (folder / "program.py").write_text(code + ending)
    return [sys.executable, str(folder / "program.py")]


def write_javascript(code: str, folder: Path) -> list[str]:
    ending = f"""
import {{ readFileSync }} from "node:fs";
import {{ deepStrictEqual }} from "node:assert";
const given = JSON.parse(readFileSync(0, "utf8"));
const body = Buffer.from(given.body, "base64");
let message;
try {{
  message = verify(given.secret, given.headers, body);
}} catch {{
  process.exit({REFUSED});
}}
deepStrictEqual(message, JSON.parse(body.toString("utf8")));
"""
    (folder / "program.mjs").write_text(code + ending)
    return ["node", str(folder / "program.mjs")]


def write_php(code: str, folder: Path) -> list[str]:
    ending = f"""
$given = json_decode(file_get_contents('php://stdin'), true);
$body = base64_decode($given['body']);
try {{
    $message = verify($given['secret'], $given['headers'], $body);
}} catch (Exception $error) {{
    exit({REFUSED});
}}
exit($message === json_decode($body, true) ? {GENUINE} : 1);
"""
    (folder / "program.php").write_text(code + ending)
    return ["php", str(folder / "program.php")]


def write_go(code: str, folder: Path) -> list[str]:
    ending = f"""package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
)

func main() {{
	var given struct {{
		Secret  string
		Headers map[string]string
		Body    string
	}}
	if json.NewDecoder(os.Stdin).Decode(&given) != nil {{
		os.Exit(1)
	}}
	headers := http.Header{{}}
	for name, value := range given.Headers {{
		headers.Set(name, value)
	}}
	body, _ := base64.StdEncoding.DecodeString(given.Body)
	message, err := verify(given.Secret, headers, body)
	if err != nil {{
		os.Exit({REFUSED})
	}}
	if message["type"] == nil {{
		os.Exit(1)
	}}
}}
"""
    (folder / "verify.go").write_text(code)
    (folder / "main.go").write_text(ending)
    (folder / "go.mod").write_text("module receiver\n\ngo 1.21\n")
    subprocess.run(["go", "build", "-o", "program", "."], cwd=folder, check=True, timeout=300)  # noqa: S607
    return [str(folder / "program")]


Write = Callable[[str, Path], list[str]]
PROGRAMS: dict[str, tuple[str, str, Write]] = {
    "python with the library": (sys.executable, LIBRARY_PYTHON, write_python),
    "python alone": (sys.executable, PLAIN_PYTHON, write_python),
    "node alone": ("node", PLAIN_JS, write_javascript),
    "php": ("php", PHP, write_php),
    "go": ("go", GO, write_go),
}
"""What each snippet needs on the machine, its text, and how to make a program of it."""
