"""What the package does to a system that knows nothing of it."""

from stat import S_IMODE

from machine import NotSoError
from world import World, expect, expect_equal

SCORE = 1.3
# Path: who owns it, whose group it has, its mode.
FILES = {
    "/etc/tracker": ("root", "tracker", 0o750),
    "/etc/tracker/tracker.toml": ("root", "tracker", 0o640),
    "/etc/tracker/credentials": ("root", "root", 0o700),
    "/var/lib/tracker": ("tracker", "tracker", 0o750),
    "/var/backups/tracker": ("tracker", "tracker", 0o750),
    "/usr/lib/tracker/bin/tracker": ("root", "root", 0o755),
}


def a_bare_system_takes_the_package_without_a_network(world: World) -> str:
    """`apt install ./tracker.deb` with nothing but Debian's own packages, which lie in apt's cache."""
    expect(not world.machine.path("/usr/bin/python3.11").exists(), "a bare system has Python already: nothing is shown")
    expect_equal(len(world.machine.run("cat", "/proc/net/route").splitlines()), 1, "routes of the machine")

    said = world.machine.run("apt-get", "install", "--yes", "/root/tracker.deb")

    expect("Setting up tracker" in said, said)
    return world.machine.run("tracker", "--version")


def nothing_runs_before_there_is_something_to_watch(world: World) -> None:
    """Without a gateway in the configuration the daemon would only fail; it is enabled, for when there is one."""
    for unit in ("tracker.service", "tracker.socket", "tracker-backup.timer"):
        expect_equal(world.machine.try_to("systemctl", "is-enabled", unit).stdout.strip(), "enabled", unit)
        expect_equal(world.machine.try_to("systemctl", "is-active", unit).stdout.strip(), "inactive", unit)
    expect_equal(world.machine.run("systemctl", "--failed", "--no-legend", "--plain"), "", "failed units")


def files_have_the_owners_and_modes_that_they_need(world: World) -> None:
    """Configuration for root and the daemon, credentials for root, state for the daemon."""
    for path, (owner, group, mode) in FILES.items():
        found = world.machine.run("stat", "--format=%U %G %a", path)
        expect_equal(found, f"{owner} {group} {S_IMODE(mode):o}", path)


def systemd_finds_no_fault_in_the_units(world: World) -> None:
    """`systemd-analyze verify`, with the program in its place."""
    units = ("tracker.service", "tracker.socket", "tracker-backup.service", "tracker-backup.timer")
    expect_equal(world.machine.run("systemd-analyze", "verify", *units, "tracker@8641.service"), "", "faults")


def the_sandbox_scores_at_most_one_point_three(world: World) -> str:
    """`systemd-analyze security` as it is loaded there."""
    found = []
    for unit in ("tracker.service", "tracker-backup.service"):
        said = world.machine.run("systemd-analyze", "security", "--no-pager", unit)
        last = next((line for line in said.splitlines() if "exposure level" in line), None)
        if last is None:
            raise NotSoError(said)
        score = float(last.split(":")[1].split()[0])
        expect(score <= SCORE, last)
        found.append(f"{unit} {score}")
    return ", ".join(found)
