#!/bin/sh
# Makes an image of Debian's packages with umoci: the OCI layout /tmp/retrap-images/NAME, with one tag. Usage: image.sh NAME TAG PACKAGE...
set -eu
name=$1 tag=$2
shift 2
command -v umoci >/dev/null || { echo 'image.sh: umoci is needed: apt-get install umoci' >&2; exit 1; }
here=$(dirname "$0")
images=/tmp/retrap-images
layout=$images/$name
[ ! -e "$layout" ] || exit 0
sh "$here/../cluster/real/root.sh" "$name" "$@"
new=$images/.$name.$$
trap 'rm -rf "$new"' EXIT
mkdir -p $images
umoci init --layout "$new"
umoci new --image "$new:$tag"
umoci insert --rootless --image "$new:$tag" "/tmp/retrap-roots/$name" /
umoci config --image "$new:$tag" --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  --config.cmd "$(ls "/tmp/retrap-roots/$name/usr/sbin/$name" "/tmp/retrap-roots/$name/usr/bin/$name" 2>/dev/null | sed "s,/tmp/retrap-roots/$name,," | head -n 1)"
umoci gc --layout "$new"
mv "$new" "$layout"
