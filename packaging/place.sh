#!/bin/sh
# Places what surrounds the program under ROOT: units, the user, its folders, the configuration (kept if it is there),
# documents. PROGRAM is where the program will lie, UNDER where distributions or administrators keep such files.
#
#   packaging/place.sh ROOT PROGRAM UNDER          UNDER is /usr for a package, /usr/local for an installation by hand
set -eu
# Others than root run and read this, whatever root's own files are like.
umask 022

root=$1
program=$2
under=$3
source=$(cd "$(dirname "$0")/.." && pwd)
documents=$root$under/share/doc/tracker

# Into $2, with the program where it will be.
unit() {
    sed "s|/opt/tracker/|$program/|g" "$1" >"$2/$(basename "$1")"
    chmod 0644 "$2/$(basename "$1")"
}

install -d "$root$under/lib/systemd/system" "$root$under/lib/sysusers.d" "$root$under/lib/tmpfiles.d"
for file in "$source"/systemd/*.service "$source"/systemd/*.socket "$source"/systemd/*.timer; do
    unit "$file" "$root$under/lib/systemd/system"
done
install -m 0644 "$source/systemd/sysusers.d/tracker.conf" "$root$under/lib/sysusers.d/tracker.conf"
install -m 0644 "$source/systemd/tmpfiles.d/tracker.conf" "$root$under/lib/tmpfiles.d/tracker.conf"

install -d "$documents/drop-ins"
install -m 0644 "$source"/systemd/drop-ins/*.conf "$documents/drop-ins"
install -m 0644 "$source/README.md" "$documents/README.md"
install -m 0644 "$source"/docs/*.* "$documents"

# It may come to hold a secret, so nobody else reads it; whoever runs the daemon does, once its group is there.
[ -d "$root/etc/tracker" ] || install -d -m 0750 "$root/etc/tracker"
[ -e "$root/etc/tracker/tracker.toml" ] ||
    install -m 0640 "$source/systemd/tracker.toml" "$root/etc/tracker/tracker.toml"
