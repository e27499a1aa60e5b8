"""`make install` and `make uninstall`, on the same machine when the package has gone."""

from machine import until
from world import World, expect, expect_equal

MAKE = ("env", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/root/wheels", "make", "--directory=/root/source")
CONFIGURATION = "/etc/tracker/tracker.toml"


def make_install_serves_and_a_second_time_restarts(world: World) -> str:
    """From the sources and the wheels of the lock; the configuration and what was registered outlive an upgrade."""
    machine = world.machine
    machine.run("apt-get", "install", "--yes", "--no-install-recommends", "make", "python3-venv")
    said = machine.run(*MAKE, "install")
    expect("name your gateway" in said, said)
    world.configure()
    machine.path(world.credential).write_text(world.gateway_token)
    machine.run("systemctl", "start", "tracker.socket", "tracker.service", "tracker-backup.timer")
    expect(world.is_ready(), "it is active, and /readyz does not say so")
    world.start_surroundings()
    tasks = world.submit(3)
    for task in tasks:
        world.register(task)
    before = machine.show("tracker", "MainPID")

    machine.run(*MAKE, "install")

    expect(machine.show("tracker", "MainPID") not in {before, "0"}, "the old process still runs")
    expect(world.is_ready(), "it does not serve after the upgrade")
    world.wait_until_told(tasks)
    expect("base_url" in machine.path(CONFIGURATION).read_text(), "the configuration was replaced")
    return machine.run("systemctl", "show", "--property=FragmentPath", "--value", "tracker")


def make_uninstall_keeps_data_and_may_be_repeated(world: World) -> None:
    """No unit and no program is left; configuration and database are."""
    machine = world.machine
    machine.run("systemctl", "stop", "gateway", "receiver")
    machine.run(*MAKE, "uninstall")
    machine.run(*MAKE, "uninstall")

    found = machine.try_to("systemctl", "list-unit-files", "--no-legend", "tracker*").stdout
    expect_equal(found, "", "unit files")
    expect(not machine.path("/opt/tracker").exists(), "the program is still there")
    for path in ("/var/lib/tracker/tracker.db", CONFIGURATION, world.credential):
        expect(machine.path(path).exists(), f"{path} is gone")
    until(lambda: not world.is_ready(), within=5, what="nobody serves any more")
