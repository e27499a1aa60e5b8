"""What a demo tells: where everything is, what came of it, what to try while it is left running."""

import shutil
import sys
from pathlib import Path

from tracker.cli.demo.play import Outcome
from tracker.cli.demo.stage import GATEWAY_TOKEN, Stage
from tracker.cli.protocol import Document
from tracker.config.addresses import sqlite_url


def greeting(stage: Stage) -> str:
    """Where everything is."""
    return f"""\
page      {stage.page_link()} (signs you in, once, within five minutes)
daemon    {stage.daemon_url}
gateway   {stage.gateway_url} (simulated)
receiver  {stage.receiver_url} (verifies every signature, refuses the first few messages)
"""


def conclusion(outcome: Outcome) -> str:
    """What is missing, if anything is, and the one line at the end."""
    missing = [f"demo: missing: {problem}" for problem in outcome.problems]
    return "\n".join([*missing, outcome.score.summary(outcome.seconds)])


def document(outcome: Outcome) -> Document:
    """The same as JSON."""
    return {
        "tasks": outcome.score.submitted,
        "ended": outcome.score.ended,
        "by_status": dict(outcome.score.by_status),
        "delivered": outcome.score.delivered,
        "verified": len(outcome.score.verified),
        "refused": outcome.score.refused,
        "seconds": round(outcome.seconds, 1),
        "missing": outcome.problems,
    }


def invitation(stage: Stage) -> str:
    """What to try while it runs."""
    here = "" if shutil.which("tracker") else f"\n  export PATH={Path(sys.executable).parent}:$PATH"
    return f"""
All of it keeps running until Ctrl-C. The page: {stage.page_link()}

To try in another terminal:
{here}
  export TRACKER_URL={stage.daemon_url} TRACKER_TOKEN=$(cat {stage.directory}/tracker.token)
  export TRACKER_DATABASE_URL={sqlite_url(stage.directory / "tracker.db")}
  curl -H 'authorization: Bearer {GATEWAY_TOKEN}' -d '{{"prompt": "a pig"}}' {stage.gateway_url}/mj/submit/imagine
  tracker add TASK_ID --callback {stage.receiver_url}/done     (TASK_ID: the "result" of the line before)
  tracker watch TASK_ID
  tracker list; tracker deliveries; tracker upstreams
  curl -H "authorization: Bearer $TRACKER_TOKEN" $TRACKER_URL/v1/tasks
  sqlite3 -box {stage.directory}/tracker.db 'SELECT * FROM delivery_log'
  tail -f {stage.directory}/daemon.log"""  # noqa: S608 - words for people
