#!/bin/sh
# Takes away what packaging/install.sh placed. The configuration, the database, its backups and the user stay.
#
#   packaging/uninstall.sh                     as root
#   DESTDIR=/some/root packaging/uninstall.sh  only the files there
set -eu

destdir=${DESTDIR:-}
prefix=${PREFIX:-/opt/tracker}
local=$destdir/usr/local

[ -n "$destdir" ] || [ "$(id -u)" = 0 ] || {
    echo "tracker: uninstalling needs root: sudo make uninstall" >&2
    exit 1
}

# Sockets first: a client that knocks would start the daemon again.
if [ -z "$destdir" ] && [ -d /run/systemd/system ] && [ -e "$local/lib/systemd/system/tracker.service" ]; then
    systemctl stop tracker.socket 'tracker@*.socket' tracker-backup.timer
    systemctl stop tracker.service 'tracker@*.service' tracker-backup.service
    systemctl reset-failed 'tracker.*' 'tracker@*' 'tracker-backup.*' 2>/dev/null || true
    systemctl --quiet disable tracker.socket tracker.service tracker-backup.timer
fi

rm -rf "$destdir$prefix" "$destdir$prefix.new" "$destdir$prefix.old" "$local/share/doc/tracker"
for unit in tracker.service tracker@.service tracker.socket tracker@.socket tracker-backup.service tracker-backup.timer; do
    rm -f "$local/lib/systemd/system/$unit"
done
rm -f "$local/lib/sysusers.d/tracker.conf" "$local/lib/tmpfiles.d/tracker.conf"
rm -f "$local/share/man/man1/tracker.1.gz" "$local"/share/man/man1/tracker-*.1.gz
rm -f "$local/share/bash-completion/completions/tracker" "$local/share/zsh/site-functions/_tracker"
rm -f "$local/share/fish/vendor_completions.d/tracker.fish"
# The link only if it is ours.
[ "$(readlink "$local/bin/tracker" || true)" != "$prefix/bin/tracker" ] || rm -f "$local/bin/tracker"

if [ -z "$destdir" ]; then
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
    echo "tracker: kept /etc/tracker, /var/lib/tracker, /var/backups/tracker and the user; remove them by hand if you want"
fi
