"""When systemd is told that the service is there."""

from machine import until
from world import API, GATEWAY_TOKEN, SETTINGS, World, expect, expect_equal

ROUNDS = 3
EXIT_CONFIGURATION = "78"


def it_is_active_only_when_it_serves(world: World) -> str:
    """The moment `systemctl start` returns, the API is ready: no waiting, no second try."""
    world.configure()
    credential = world.machine.path(world.credential)
    credential.write_text(GATEWAY_TOKEN)
    credential.chmod(0o600)
    for _ in range(ROUNDS):
        world.machine.run("systemctl", "start", "tracker.service")
        expect(world.is_ready(), "it is active, and /readyz does not say so")
        expect_equal(world.machine.show("tracker", "ActiveState"), "active", "state")
        world.machine.run("systemctl", "stop", "tracker.service")
    world.machine.run("systemctl", "start", "tracker.socket", "tracker.service", "tracker-backup.timer")
    world.start_surroundings()
    return world.machine.show("tracker", "StatusText")


def it_is_not_active_while_its_database_is_out_of_reach(world: World) -> str:
    """It says so and tries again; whoever waits for the unit waits."""
    machine = world.machine
    machine.run("systemctl", "stop", "tracker.socket", "tracker.service")
    world.drop_in("database", "[Service]\nEnvironment=TRACKER_DATABASE_URL=postgresql://127.0.0.1:1/nobody\n")
    machine.run("systemctl", "start", "--no-block", "tracker.service")
    states: set[str] = set()

    def has_failed_twice() -> bool:
        states.add(machine.show("tracker", "ActiveState"))
        return int(machine.show("tracker", "NRestarts")) > 1

    until(has_failed_twice, within=60, what="it is started again")
    expect("active" not in states, f"it was active without a database: {states}")
    world.drop_in("database", "")
    until(world.is_ready, within=30, what="it serves when the database is there")
    machine.run("systemctl", "stop", "tracker.service")
    machine.run("systemctl", "start", "tracker.socket", "tracker.service")
    return f"seen: {', '.join(sorted(states))}"


def a_configuration_that_cannot_be_used_is_not_tried_again(world: World) -> None:
    """Exit code 78 is the end; the journal names the key."""
    machine = world.machine
    machine.run("systemctl", "stop", "tracker.socket", "tracker.service")
    world.configure(SETTINGS + "no_such_key = 1\n")

    machine.run("systemctl", "start", "tracker.service", wrong=True)

    expect_equal(machine.show("tracker", "ActiveState"), "failed", "state")
    expect_equal(machine.show("tracker", "ExecMainStatus"), EXIT_CONFIGURATION, "exit code")
    expect("no_such_key" in world.last_words(), f"the journal does not name the key:\n{world.last_words()}")
    world.configure()
    machine.run("systemctl", "reset-failed", "tracker.service")
    machine.run("systemctl", "start", "tracker.socket", "tracker.service")
    expect(world.is_ready(), f"{API} does not serve")
