#!/bin/sh
# Whether the configuration of this machine can be used and names a gateway; without one the daemon has nothing to do.
#
#   packaging/configured.sh PROGRAM
cd /
env -i PATH="$PATH" TRACKER_CONFIG=/etc/tracker/tracker.toml "$1/bin/tracker" config show 2>/dev/null |
    grep -q '^upstreams\.'
