"""The package under test, and the one after it: the same with another migration."""

import os
import shutil
import subprocess
from pathlib import Path

MIGRATION = '''\
"""Another version's migration, which takes its time."""

import time

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{down_revision}"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table("upgraded", sa.Column("key", sa.Integer(), primary_key=True))
    time.sleep(3)


def downgrade():
    op.drop_table("upgraded")
'''
NEXT_REVISION = "9999"


def build(source: Path, folder: Path, *, wheels: Path | None, as_draft: bool) -> Path:
    """Make the package as people make it, or what is the same when it is unpacked; returns its path.

    With `wheels`, those of the lock come from that folder: asking the index for them again takes longer than the rest.
    """
    print("making the package …", flush=True)
    script = [source / "packaging" / "deb.sh", folder]
    environment = {**os.environ, "TMPDIR": str(folder), "DRAFT": "1" if as_draft else "0"}
    if wheels:
        environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    made = subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return Path(made.stdout.split()[-1])


def fetch_wheels(source: Path, folder: Path) -> Path:
    """What an installation by hand fetches from an index, in a folder; what is there already is kept."""
    print("fetching the wheels of the lock …", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHON": "/usr/bin/python3", "TMPDIR": str(folder)}
    subprocess.run([source / "packaging" / "venv.sh", "--fetch", folder], check=True, env=environment)
    return folder


def copy_sources(source: Path, folder: Path) -> None:
    """What git would commit, without what was built beside it."""
    listed = ["git", "-C", source, "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.splitlines()
    for name in names:
        if (source / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, folder / name)


def next_of(package: Path, folder: Path) -> Path:
    """A package with a higher number whose program has one more migration."""
    tree = folder / "next"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN" / "control"
    lines = control.read_text().splitlines()
    control.write_text("\n".join(f"{line}+next" if line.startswith("Version: ") else line for line in lines) + "\n")
    (versions,) = tree.glob("usr/lib/tracker/lib/python3*/site-packages/tracker/migrations/versions")
    # Their numbers are in order, so the last one is the newest.
    newest = max(path.name.split("_")[0] for path in versions.glob("0*.py"))
    text = MIGRATION.format(revision=NEXT_REVISION, down_revision=newest)
    (versions / f"{NEXT_REVISION}_another.py").write_text(text)
    made = folder / "tracker-next.deb"
    environment = {**os.environ, "TMPDIR": str(folder)}
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, made],
        check=True,
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    return made
