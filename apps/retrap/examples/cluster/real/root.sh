#!/bin/sh
# Makes a root of Debian's packages, for machines of the examples: /tmp/retrap-roots/NAME. Apt resolves, fetches and checks as for an
# empty system; nothing on the host changes. Usage: root.sh NAME PACKAGE...
set -eu
name=$1
shift
root=/tmp/retrap-roots/$name
[ ! -e "$root" ] || exit 0
new=$root.$$
debs=$new.debs
trap 'rm -rf "$new" "$debs"' EXIT
mkdir -p "$debs/partial"
apt-get -qq -y --download-only -o Dir::State::status=/dev/null -o Debug::NoLocking=1 -o Dir::Cache::archives="$debs" \
  -o APT::Sandbox::User=root -o APT::Install-Recommends=0 install dash coreutils grep sed python3 "$@" >&2
for folder in bin sbin lib lib64; do
  mkdir -p "$new/usr/$folder"
  ln -s "usr/$folder" "$new/$folder"
done
for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$new"; done
# As an installation does: else each start of Python compiles all that it imports, which is most of what a short client does.
if [ -e "$new/usr/bin/python3" ]; then
  PYTHONHOME=$new/usr LD_LIBRARY_PATH=$(echo "$new"/usr/lib/*-linux-gnu) "$new/usr/bin/python3" -m compileall -q -s "$new" -p / "$new"/usr/lib/python3* >&2
fi
for folder in dev proc sys tmp root run; do mkdir -p "$new/$folder"; done
ln -sf dash "$new/usr/bin/sh"
[ -e "$new/etc/passwd" ] || printf 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$new/etc/passwd"
[ -e "$new/etc/group" ] || printf 'root:x:0:\nnogroup:x:65534:\n' >"$new/etc/group"
mv "$new" "$root"
