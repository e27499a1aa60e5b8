#!/bin/sh
# Makes a Debian package that needs nothing but Debian 12: the program brings all of its libraries.
#
#   packaging/deb.sh FOLDER        prints the package's path
#
# REVISION numbers packages of the same version (1). Where lintian is installed it has to be content. With DRAFT=1 the
# package is neither judged nor packed tightly, which takes most of the time: the same files, for a look at them.
set -eu

folder=$1
revision=${REVISION:-1}
here=$(cd "$(dirname "$0")" && pwd)
source=$(dirname "$here")
python=/usr/bin/python3.11
program=/usr/lib/tracker

die() {
    echo "tracker: $*" >&2
    exit 1
}

command -v dpkg-deb >/dev/null || die "a Debian package is made on Debian: there is no dpkg-deb"
[ -x "$python" ] || die "the package is made for Debian 12's Python, and there is no $python: apt install python3.11 python3-venv"

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$source/tracker/__init__.py")-$revision
architecture=$(dpkg --print-architecture)
# Two packages of the same sources are the same: their time is the last commit's.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -c safe.directory='*' -C "$source" log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
package=$folder/tracker_${version}_$architecture.deb

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
root=$work/tracker
documents=$root/usr/share/doc/tracker

PYTHON=$python "$here/venv.sh" "$root$program" "$program"
"$here/place.sh" "$root" "$program" /usr
# Debian 12 keeps units here, and looks for them here.
install -d "$root/lib/systemd"
mv "$root/usr/lib/systemd/system" "$root/lib/systemd/system"
rmdir "$root/usr/lib/systemd"
install -d "$root/usr/bin" "$root/usr/share/lintian/overrides"
ln -s ../lib/tracker/bin/tracker "$root/usr/bin/tracker"
install -m 0755 "$here/configured.sh" "$root$program/configured"

install -m 0644 "$here/debian/copyright" "$documents/copyright"
gzip -9n <"$source/CHANGELOG.md" >"$documents/changelog.gz"
{
    echo "tracker ($version) stable; urgency=medium"
    echo
    echo "  * What is new is in changelog.gz."
    echo
    echo " -- $(sed -n 's/^Maintainer: //p' "$here/debian/control")  $(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$documents/changelog.Debian.gz"
install -m 0644 "$here/debian/lintian-overrides" "$root/usr/share/lintian/overrides/tracker"

install -d "$root/DEBIAN"
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" \
    -e "s/@SIZE@/$(du -sk --apparent-size "$root" | cut -f1)/" "$here/debian/control" >"$root/DEBIAN/control"
install -m 0644 "$here/debian/conffiles" "$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do install -m 0755 "$here/debian/$script" "$root/DEBIAN/$script"; done
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
chmod 0644 "$root/DEBIAN/md5sums" "$root/DEBIAN/control"

mkdir -p "$folder"
if [ "${DRAFT:-0}" = 1 ]; then tightly="-Zgzip -z1"; else tightly=-Zxz; fi
# shellcheck disable=SC2086 - two words are meant
dpkg-deb --root-owner-group $tightly --build "$root" "$package" >/dev/null
if [ "${DRAFT:-0}" = 1 ]; then
    :
elif command -v lintian >/dev/null; then
    lintian --allow-root --tag-display-limit 0 --fail-on error "$package" >&2
else
    echo "tracker: lintian was not asked, it is not installed: apt install lintian" >&2
fi
echo "$package"
