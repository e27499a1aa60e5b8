"""What it does, and what it cannot do, while everything is well."""

import json

from machine import NotSoError, until
from world import GATEWAY, GATEWAY_TOKEN, SETTINGS, World, expect, expect_equal

TASKS = 10
GROUPS = {"tracker": "tracker", "nobody": "nogroup"}
OTHER = f'\n[upstreams.other]\nbase_url = "{GATEWAY}"\ntoken = "{GATEWAY_TOKEN}"\npoll_interval = "1s"\n'


def a_task_is_tracked_and_told_under_the_full_sandbox(world: World) -> str:
    """From the registration to the receiver's signed message, with the token that is a credential."""
    tasks = world.submit(TASKS)
    for task in tasks:
        world.register(task)
    world.wait_until_told(tasks)
    forged = [message for message in world.received() if message["verdict"] == "forged"]
    expect_equal(forged, [], "messages whose signature does not hold")
    return f"{TASKS} tasks, {world.machine.show('tracker', 'StatusText')}"


def the_process_can_do_nothing_that_the_sandbox_forbids(world: World) -> None:
    """As the kernel sees the process that serves."""
    machine = world.machine
    pid = machine.show("tracker", "MainPID")
    status = dict(
        line.split(":\t", 1) for line in machine.run("cat", f"/proc/{pid}/status").splitlines() if ":\t" in line
    )
    expect_equal(status["NoNewPrivs"].strip(), "1", "no new privileges")
    expect_equal(status["Seccomp"].strip(), "2", "system calls are filtered")
    expect_equal(int(status["CapBnd"], 16) | int(status["CapEff"], 16), 0, "capabilities")
    user = machine.run("id", "--user", "tracker")
    expect_equal(set(status["Uid"].split()), {user}, "users")
    inside = ("nsenter", f"--target={pid}", "--mount", "--", "sh", "-c")
    for path in ("/etc", "/usr", "/var/lib", "/var/backups/tracker", "/root"):
        said = machine.run(*inside, f"touch {path}/x", wrong=True)
        expect("Read-only" in said or "denied" in said, f"{path}: {said}")
    homes = machine.run(*inside, "ls -A /root /home /tmp | grep -v : | grep -c .", wrong=True)
    expect_equal(homes, "0", "files in homes and /tmp that it sees")


def credentials_are_read_by_the_service_alone(world: World) -> None:
    """Not by its user outside of it, not by others, not in its environment, not in the journal."""
    machine = world.machine
    pid = machine.show("tracker", "MainPID")
    for user in ("tracker", "nobody"):
        said = machine.run(
            "setpriv",
            f"--reuid={user}",
            f"--regid={GROUPS[user]}",
            "--clear-groups",
            "--",
            "cat",
            world.credential,
            wrong=True,
        )
        expect("denied" in said, said)
    loaded = machine.run("find", "/run/credentials/tracker.service", "-type", "f").split()
    expect(any("upstream-default-token" in path for path in loaded), f"credentials: {loaded}")
    for path in loaded:
        said = machine.run(
            "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--", "cat", path, wrong=True
        )
        expect("denied" in said, said)
    seen = machine.path(f"/proc/{pid}/environ").read_bytes() + machine.path(f"/proc/{pid}/cmdline").read_bytes()
    expect(GATEWAY_TOKEN.encode() not in seen, "the token is in the environment or on the command line")
    journal = machine.run("journalctl", "--unit=tracker", "--no-pager", "--output=cat")
    expect(GATEWAY_TOKEN not in journal, "the token is in the journal")


def an_encrypted_credential_serves_as_well(world: World) -> None:
    """As the handbook has it: systemd-creds seals it to this machine, and the plain one goes."""
    machine = world.machine
    sealed = f"/etc/tracker/credentials.encrypted/{world.credential.rpartition('/')[2]}"
    name = "encrypted_upstream-default-token"
    machine.run("systemd-creds", "encrypt", "--with-key=host", f"--name={name}", world.credential, sealed)
    expect(world.gateway_token.encode() not in machine.path(sealed).read_bytes(), "it is not encrypted")
    machine.run("rm", world.credential)
    machine.run("systemctl", "restart", "tracker.service")
    tasks = world.submit(2)
    for task in tasks:
        world.register(task)
    world.wait_until_told(tasks)
    machine.run("rm", sealed)
    machine.path(world.credential).write_text(world.gateway_token)
    machine.run("systemctl", "restart", "tracker.service")


def the_doctor_finds_nothing_wrong(world: World) -> str:
    """`tracker doctor` as root, on a machine where nothing is."""
    said = world.machine.run("tracker", "doctor")
    return f"{len(said.splitlines())} lines, exit code 0"


def the_journal_knows_priorities(world: World) -> str:
    """One line at the start says what runs; a refusal by the gateway is a warning, and found as one."""
    machine = world.machine
    lines = [json.loads(line) for line in _journal(world, "--output=json").splitlines()]
    ours = [line for line in lines if line.get("_COMM") == "tracker" or "tracker" in line.get("_CMDLINE", "")]
    notices = [line for line in ours if line["PRIORITY"] == "6"]
    expect(notices, "no line of the daemon's has the priority info")
    expect(not any(line["MESSAGE"].startswith("<") for line in ours), "a prefix was left in a message")
    start = [line["MESSAGE"] for line in notices if "sqlite" in line["MESSAGE"] and "8640" in line["MESSAGE"]]
    expect(start, "no line says at the start which database and address it is")
    credential = machine.path(world.credential)
    credential.write_text("sk-wrong")
    machine.run("systemctl", "restart", "tracker.service")
    world.register(world.submit(1)[0])
    until(
        lambda: (
            "default" in _journal(world, "--priority=warning", "--since=-30s", "--output=cat", f"_PID={_pid(world)}")
        ),
        within=30,
        what="a gateway that refuses the token is a warning in the journal",
    )
    warnings = _journal(world, "--priority=warning", "--output=json", f"_PID={_pid(world)}").splitlines()
    priorities = {json.loads(line)["PRIORITY"] for line in warnings}
    expect(priorities <= set("01234"), f"priorities of warnings: {priorities}")
    credential.write_text(GATEWAY_TOKEN)
    machine.run("systemctl", "restart", "tracker.service")
    return str(start[-1])[:160]


def a_reload_puts_a_good_file_in_force(world: World) -> str:
    """An upstream that was not there is watched, by the same process."""
    before = _pid(world)
    task = world.submit(1)[0]
    world.configure(SETTINGS + OTHER)

    world.machine.run("systemctl", "reload", "tracker.service")

    registration = {"task_id": task, "upstream": "other", "callback_url": "http://127.0.0.1:8643/reloaded"}
    world.api("POST", "/v1/tasks", registration)
    world.wait_until_told([task])
    expect_equal(_pid(world), before, "process")
    expect_equal(world.machine.show("tracker", "ActiveState"), "active", "state")
    return world.machine.show("tracker", "StatusText")


def a_reload_lasts_until_the_daemon_has_done_it(world: World) -> None:
    """Whoever called `systemctl reload` may use at once what it put in force, however slow the daemon is."""
    machine, signal = world.machine, ("systemctl", "kill", "--kill-whom=main", "tracker.service", "--signal")

    def is_under_way_in_the_daemon() -> bool:
        return (machine.show("tracker", "ActiveState"), machine.show("tracker", "ControlPID")) == ("reloading", "0")

    machine.run(*signal, "STOP")
    try:
        machine.run("systemctl", "reload", "--no-block", "tracker.service")
        until(is_under_way_in_the_daemon, within=10, what="it reloads, with the signal sent and nobody who took it")
    finally:
        machine.run(*signal, "CONT")
    until(lambda: machine.show("tracker", "ActiveState") == "active", within=10, what="it has reloaded")


def a_reload_refuses_a_bad_file_and_goes_on(world: World) -> str:
    """The reload fails, the journal says why, and what was in force stays."""
    before = _pid(world)
    world.configure(SETTINGS + OTHER + "poll_intervall = 1\n")

    try:
        world.machine.run("systemctl", "reload", "tracker.service", wrong=True)
    finally:
        world.configure(SETTINGS + OTHER)

    expect_equal(world.machine.show("tracker", "ActiveState"), "active", "state")
    expect_equal(_pid(world), before, "process")
    task = world.submit(1)[0]
    world.api("POST", "/v1/tasks", {"task_id": task, "upstream": "other", "callback_url": "http://127.0.0.1:8643/x"})
    world.wait_until_told([task])
    said = [line for line in _journal(world, "--output=cat").splitlines() if "poll_intervall" in line]
    if not said:
        raise NotSoError("the journal does not name the key")
    return said[-1][:160]


def _journal(world: World, *options: str) -> str:
    return world.machine.run("journalctl", "--unit=tracker", "--no-pager", "--quiet", *options)


def _pid(world: World) -> str:
    return world.machine.show("tracker", "MainPID")
