"""What outlives the daemon, the package and the machine's sleep: backups, upgrades, removal."""

from failing import registering
from machine import until
from packages import NEXT_REVISION
from world import World, expect, expect_equal

DATABASE = "/var/lib/tracker/tracker.db"
ELSEWHERE = "/srv/elsewhere"
ANOTHER = "http://127.0.0.1:8700"
# What dpkg and apt remember, and the user, who stays so that its number is never another's.
REMEMBERED = ("/var/lib/dpkg/", "/var/log/", "/var/cache/apt/", "/root/", "/usr/lib/python3")


def a_backup_is_restored_elsewhere(world: World) -> str:
    """The copy that the unit makes, in another folder, served by another daemon: it knows the same tasks."""
    machine = world.machine
    machine.run("systemctl", "start", "tracker-backup.service")
    (copy,) = machine.run("find", "/var/backups/tracker", "-type", "f", "-name", "*.db").split()
    before = _tasks(world, DATABASE)
    machine.run("install", "-D", "-m", "0600", copy, f"{ELSEWHERE}/tracker.db")
    expect_equal(_tasks(world, f"{ELSEWHERE}/tracker.db"), before, "tasks in the copy")

    machine.run(
        *("systemd-run", "--quiet", "--collect", "--unit=elsewhere", "--service-type=notify"),
        *(f"--working-directory={ELSEWHERE}", f"--setenv=TRACKER_DATABASE_URL=sqlite:///{ELSEWHERE}/tracker.db"),
        *("tracker", "serve", "--listen", "127.0.0.1:8700"),
    )
    page = world.call("GET", f"{ANOTHER}/v1/tasks?limit=10", token=world.token)
    expect(page["tasks"], "the restored daemon knows no task")
    expect({task["id"] for task in page["tasks"]} <= before, "the restored daemon knows other tasks")
    machine.run("systemctl", "stop", "elsewhere")
    machine.run("rm", "-r", ELSEWHERE)
    return f"{copy}, {len(before)} tasks"


def an_upgrade_migrates_and_loses_nothing(world: World) -> str:
    """`apt install` of a newer package with a migration that takes seconds, while clients register."""
    machine = world.machine
    before = machine.show("tracker", "MainPID")
    machine.path("/etc/tracker/tracker.toml").open("a").write("\n# the administrator's own line\n")
    with registering(world) as clients:
        machine.run("apt-get", "install", "--yes", "/root/tracker-next.deb")
        until(world.is_ready, within=60, what="it serves after the upgrade")
    expect(machine.show("tracker", "MainPID") != before, "the old process still runs")
    expect_equal(clients.problems, [], "registrations that were not answered with 2xx")
    clients.must_be_known(world)
    revision = machine.run("tracker", "--json", "db", "current")
    expect(NEXT_REVISION in revision, f"the schema is at {revision}")
    kept = machine.path("/etc/tracker/tracker.toml").read_text()
    expect("the administrator's own line" in kept, "the configuration was replaced")
    return f"{len(clients.accepted)} registrations meanwhile, the longest took {clients.longest:.1f} s"


def it_is_back_after_the_machine_starts_again(world: World) -> None:
    """Enabled for good: socket, service and timer."""
    before = _tasks(world, DATABASE)
    world.machine.stop()
    world.machine.boot()
    until(world.is_ready, within=60, what="it serves after the machine has started")
    for unit in ("tracker.service", "tracker.socket", "tracker-backup.timer"):
        expect_equal(world.machine.show(unit, "ActiveState"), "active", unit)
    expect_equal(_tasks(world, DATABASE) & before, before, "tasks that were there before")
    world.start_surroundings()


def removal_keeps_data_and_a_reinstallation_finds_it(world: World) -> None:
    """`apt remove` takes the program and its units; configuration, database and backups stay."""
    machine = world.machine
    before = _tasks(world, DATABASE)
    machine.run("apt-get", "remove", "--yes", "tracker")

    expect(not machine.path("/usr/lib/tracker").exists(), "the program is still there")
    expect_equal(machine.run("systemctl", "list-units", "--no-legend", "--plain", "tracker*"), "", "units")
    expect_equal(machine.run("find", "/proc", "-maxdepth", "1", "-user", "tracker"), "", "processes of its")
    for path in (DATABASE, "/etc/tracker/tracker.toml", "/etc/tracker/credentials"):
        expect(machine.path(path).exists(), f"{path} is gone")

    machine.run("apt-get", "install", "--yes", "/root/tracker-next.deb")
    until(world.is_ready, within=60, what="it serves again, configured as it was")
    expect_equal(_tasks(world, DATABASE) & before, before, "tasks that were there before")
    tasks = world.submit(3)
    for task in tasks:
        world.register(task)
    world.wait_until_told(tasks)


def purge_leaves_nothing(world: World) -> None:
    """Data and secrets go with `apt purge`, and no unit, link or folder is left behind."""
    machine = world.machine
    machine.run("systemctl", "stop", "gateway", "receiver")
    machine.run("apt-get", "purge", "--yes", "tracker")

    found = machine.run("find", "/", "-xdev", "-name", "*tracker*", "-not", "-path", "/proc/*").splitlines()
    left = [path for path in found if not path.startswith(REMEMBERED)]
    expect_equal(left, [], "files left behind")
    # It calls finding none a failure.
    found_units = machine.try_to("systemctl", "list-unit-files", "--no-legend", "tracker*").stdout
    expect_equal(found_units, "", "unit files")
    expect_equal(machine.run("systemctl", "--failed", "--no-legend", "--plain"), "", "failed units")


def _tasks(world: World, database: str) -> set[str]:
    """The tasks that a database file knows, read as people read it."""
    program = (
        f"import sqlite3; c = sqlite3.connect('file:{database}?mode=ro', uri=True);"
        "print(*(row[0] for row in c.execute('SELECT id FROM task_overview')))"
    )
    return set(world.machine.run("/usr/lib/tracker/bin/python", "-c", program).split())
