"""Testing a URL, whichever door somebody asks through: each owner so often, and no further than messages may go."""

from functools import partial

from tracker.desk.desk import Desk
from tracker.desk.ports import Ports
from tracker.intake import Caller, TrialRequest
from tracker.model import Trial
from tracker.store import access
from tracker.webhooks import new_secret, try_url


async def try_callback(ports: Ports, desk: Desk, wanted: TrialRequest, caller: Caller) -> Trial:
    """Sign `callback.test` with the caller's secret and send it once; none is kept.

    Raises InputError for a URL that no task could be registered with, ThrottledError for one test too many.
    """
    url = ports.intake.check_trial(wanted)
    desk.trials.take(caller.owner)
    work = partial(access.secrets_of, owner=caller.owner, now=ports.clock(), fresh=new_secret())
    secrets = await ports.database.write(work)
    return await try_url(ports.sender, url, secrets, ports.clock)
