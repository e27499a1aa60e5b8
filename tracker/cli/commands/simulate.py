"""`tracker simulate`: a gateway to play with."""

import click

from tracker.cli.invocation import Invocation
from tracker.cli.output import print_json_line
from tracker.cli.verbs import Verb
from tracker.errors import UnavailableError


@click.command("simulate", cls=Verb)
@click.option(
    "--listen",
    default="127.0.0.1:8642",
    show_default=True,
    metavar="127.0.0.1:PORT",
    help="Where; port 0: any free one.",
)
@click.option("--token", metavar="TEXT", help="What every call must carry as a bearer token.")
@click.option(
    "--speed", type=click.FloatRange(0.01, 1000), default=1.0, show_default=True, help="How fast time passes."
)
@click.option("--no-batch", is_flag=True, help="Have no list call, like many gateways.")
def command(listen: str, token: str | None, speed: float, *, no_batch: bool) -> None:
    """Serve a gateway whose tasks live and end by themselves.

    It speaks the dialect of Midjourney-proxy on this machine only, keeps all in memory, and runs until Ctrl-C.
    """
    import asyncio

    port = _port(listen)
    try:
        asyncio.run(_serve(port=port, token=token, speed=speed, batch=not no_batch, as_json=Invocation.current().json))
    except OSError as error:
        raise UnavailableError(f"--listen: {listen} cannot be had ({error.strerror}); use another port") from error


def _port(listen: str) -> int:
    host, _, port = listen.rpartition(":")
    if host not in ("127.0.0.1", "localhost", "") or not port.isdecimal() or not port.isascii() or int(port) > 65535:  # noqa: PLR2004
        raise click.BadParameter(f"{listen!r} is not 127.0.0.1 with a port", param_hint="--listen")
    return int(port)


async def _serve(*, port: int, token: str | None, speed: float, batch: bool, as_json: bool) -> None:
    import asyncio
    import signal

    from tracker.simulate import Gateway, serve_app

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve_app(Gateway(token=token, batch=batch, speed=speed), port=port) as url:
        if as_json:
            print_json_line({"url": url, "token": token})
        else:
            click.echo(_instructions(url, token))
        await stop.wait()


def _instructions(url: str, token: str | None) -> str:
    header = f" -H 'authorization: Bearer {token}'" if token else ""
    return f"""\
A simulated gateway is at {url} until Ctrl-C.

Submit a job; "result" is its task id:
  curl{header} -d '{{"prompt": "a pig"}}' {url}/mj/submit/imagine

Fetch it:
  curl{header} {url}/mj/task/TASK_ID/fetch

Let tracker watch it, and tell a receiver on this machine:
  export TRACKER_UPSTREAMS__DEFAULT__BASE_URL={url}
  export TRACKER_UPSTREAMS__DEFAULT__TOKEN={token or "anything"}
  export TRACKER_CALLBACKS__ALLOW_NETWORKS=127.0.0.0/8
  tracker serve

In two other terminals, with the same variables: receive messages, and have one sent there:
  tracker listen
  tracker add TASK_ID --callback http://127.0.0.1:8643/"""
