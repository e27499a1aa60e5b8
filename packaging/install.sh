#!/bin/sh
# Installs tracker as a service, or a newer one over an older one. The configuration is kept, and so is all data.
#
#   packaging/install.sh                     as root: places everything, enables and starts it
#   DESTDIR=/some/root packaging/install.sh  places the same files there and starts nothing
#
# PREFIX is where the program goes, PYTHON what it runs on.
set -eu
# Others than root run and read this, whatever root's own files are like.
umask 022

destdir=${DESTDIR:-}
prefix=${PREFIX:-/opt/tracker}
here=$(cd "$(dirname "$0")" && pwd)
command_link=$destdir/usr/local/bin/tracker
daemons="tracker.service tracker@*.service"

die() {
    echo "tracker: $*" >&2
    exit 1
}

# The new program takes the place of the old by two renames; the daemon that runs has loaded what it needs.
place_program() {
    "$here/venv.sh" "$destdir$prefix.new" "$prefix"
    "$destdir$prefix.new/bin/python" -m compileall -q -j 0 -s "$destdir$prefix.new" -p "$prefix" \
        "$destdir$prefix.new/lib"
    rm -rf "$destdir$prefix.old"
    [ ! -e "$destdir$prefix" ] || mv "$destdir$prefix" "$destdir$prefix.old"
    mv "$destdir$prefix.new" "$destdir$prefix"
    rm -rf "$destdir$prefix.old"
    install -d "$(dirname "$command_link")"
    ln -sfn "$prefix/bin/tracker" "$command_link"
}

# The first time everything is started, if there is something to watch; later only what runs is started anew.
start() {
    systemctl daemon-reload
    if [ "$known" = yes ]; then
        # The socket is left alone: it holds those who register meanwhile.
        # shellcheck disable=SC2086
        systemctl try-restart $daemons
        return
    fi
    systemctl --quiet enable tracker.socket tracker.service tracker-backup.timer
    if "$here/configured.sh" "$prefix"; then
        systemctl start tracker.socket tracker.service tracker-backup.timer
    else
        echo "tracker: name your gateway in /etc/tracker/tracker.toml, then: systemctl start tracker.socket tracker tracker-backup.timer"
    fi
}

[ -n "$destdir" ] || [ "$(id -u)" = 0 ] || die "installing needs root: sudo make install"
[ ! -e "$destdir/usr/lib/tracker/bin/tracker" ] || die "the Debian package is installed: apt remove tracker keeps all data"

known=no
[ ! -e "$destdir/usr/local/lib/systemd/system/tracker.service" ] || known=yes
place_program
"$here/place.sh" "$destdir" "$prefix" /usr/local
env -u PYTHONPATH "$here/describe.sh" "$destdir" "$destdir$prefix/bin/python" /usr/local
[ -z "$destdir" ] || exit 0

systemd-sysusers /usr/local/lib/sysusers.d/tracker.conf
systemd-tmpfiles --create /usr/local/lib/tmpfiles.d/tracker.conf
if [ -d /run/systemd/system ]; then
    start
else
    echo "tracker: systemd does not run here, so nothing was started"
fi
