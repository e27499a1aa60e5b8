#!/bin/sh
# Makes the program in STAGE as it will run in FINAL: a virtual environment of the system's Python with what
# requirements.lock names, by its hashes, and tracker itself. One command is in its bin, `tracker`.
#
#   PYTHON=/usr/bin/python3 packaging/venv.sh STAGE FINAL
#   PYTHON=/usr/bin/python3 packaging/venv.sh --fetch FOLDER
#
# The second only fetches what the first installs, for a machine without a network: there it is found by
# PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER.
set -eu
# Others than root run and read this, whatever root's own files are like.
umask 022

stage=$1
final=$2
python=${PYTHON:-/usr/bin/python3}
source=$(cd "$(dirname "$0")/.." && pwd)
# What builds the wheel, out of requirements-dev.lock.
builders="hatchling packaging pathspec pluggy tomlkit trove-classifiers"

die() {
    echo "tracker: $*" >&2
    exit 1
}

# The service runs with the homes of people out of its sight, so its Python cannot live in one.
usable() {
    command -v "$python" >/dev/null || die "there is no $python; say where Python 3.11 or newer is: SYSTEM_PYTHON=…"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "$python is older than 3.11: SYSTEM_PYTHON=…"
    "$python" -c 'import ensurepip' 2>/dev/null || die "$python cannot make environments: apt install python3-venv"
    # By its full name, which stays when /usr/bin/python3 becomes another version.
    python=$(readlink -f "$(command -v "$python")")
    case $python in
    /home/* | /root/*) die "$python lies in a home folder, which the service cannot see: SYSTEM_PYTHON=/usr/bin/python3" ;;
    esac
}

# The lines of a lock that are about one package.
locked() {
    awk -v name="$1" '/^[^ #]/ { mine = index($0, name "==") == 1 } mine' "$source/requirements-dev.lock"
}

builder_pip() {
    "$work/builder/bin/python" -m pip --quiet --disable-pip-version-check "$@"
}

stage_pip() {
    builder_pip --python "$stage/bin/python" install --no-compile --no-warn-script-location "$@"
}

usable
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/builder"
for name in $builders; do locked "$name"; done >"$work/builders.lock"
if [ "$stage" = --fetch ]; then
    for lock in "$work/builders.lock" "$source/requirements.lock"; do
        builder_pip download --only-binary :all: --require-hashes --requirement "$lock" --dest "$final"
    done
    exit
fi
builder_pip install --require-hashes --requirement "$work/builders.lock"
builder_pip wheel --no-deps --no-build-isolation --wheel-dir "$work" "$source"

rm -rf "$stage"
mkdir -p "$(dirname "$stage")"
"$python" -m venv --without-pip --symlinks "$stage"
stage_pip --only-binary :all: --require-hashes --requirement "$source/requirements.lock"
stage_pip --no-deps "$work"/tracker-*.whl

# The pages speak two languages; how all others write numbers is thirty megabytes.
find "$stage/lib" -path '*/babel/locale-data/*.dat' \
    ! -name root.dat ! -name en.dat ! -name zh.dat ! -name zh_Hans.dat -delete

# What names the folder it was made in is written anew or goes.
find "$stage/bin" -mindepth 1 ! -name 'python*' -delete
cat >"$stage/bin/tracker" <<END
#!$final/bin/python -I
import sys

from tracker.__main__ import main

sys.exit(main())
END
chmod 0755 "$stage/bin/tracker"
sed -i '/^command = /d' "$stage/pyvenv.cfg"
find "$stage/lib" -name RECORD -exec sed -i '/^\.\.\/\.\.\/\.\.\/bin\//d' {} +
# Wheels carry marks of the machine that built them: nothing here is a program.
find "$stage/lib" -type f -exec chmod 0644 {} +
find "$stage/lib" -depth -type d -name __pycache__ -exec rm -rf {} +
rm -rf "$stage/include" "$stage"/lib/python*/site-packages/tracker-*.dist-info/direct_url.json
rm -f "$stage"/lib/python*/site-packages/tracker-*.dist-info/RECORD
