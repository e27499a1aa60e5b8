#!/bin/sh
# Places what the commands say of themselves under ROOT: manual pages, and the scripts that complete them in a shell.
# Both are made by the program, run by PYTHON; no configuration and no database is looked at.
#
#   packaging/describe.sh ROOT PYTHON UNDER        UNDER is /usr for a package, /usr/local for an installation by hand
set -eu
# Others than root read this, whatever root's own files are like.
umask 022

root=$1
python=$2
under=$3
manual=$root$under/share/man/man1
# Where each shell looks by itself. Debian's zsh has a folder for packages, and the usual one for the rest.
bash=$root$under/share/bash-completion/completions
zsh=$root$under/share/zsh/site-functions
[ "$under" != /usr ] || zsh=$root/usr/share/zsh/vendor-completions
fish=$root$under/share/fish/vendor_completions.d

# Nothing of the folder we stand in, and no traces in the program's.
run() {
    "$python" -P -s -B -m "$@"
}

install -d "$manual" "$bash" "$zsh" "$fish"
rm -f "$manual/tracker.1.gz" "$manual"/tracker-*.1.gz
run tracker.cli.manual "$manual" >/dev/null
gzip -9nf "$manual/tracker.1" "$manual"/tracker-*.1
run tracker completion bash >"$bash/tracker"
run tracker completion zsh >"$zsh/_tracker"
run tracker completion fish >"$fish/tracker.fish"
