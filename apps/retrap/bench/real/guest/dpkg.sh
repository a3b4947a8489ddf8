# Builds a package, looks into it, unpacks it and installs it in a database of 2,000 packages.
set -e
export SOURCE_DATE_EPOCH=0
mkdir -p /tmp/made/DEBIAN /tmp/made/usr/share/made /var/lib/dpkg/updates /var/lib/dpkg/triggers
cat >/tmp/made/DEBIAN/control <<CONTROL
Package: made
Version: 1.0
Architecture: all
Maintainer: Nobody <nobody@example.com>
Description: files of the bench
CONTROL
i=0
while [ $i -lt 600 ]; do
  i=$((i + 1))
  echo "file $i of a package that was made for the bench $((i * i % 977))" >/tmp/made/usr/share/made/$i
done
dpkg-deb --root-owner-group -Zgzip --build /tmp/made /tmp/made.deb >/dev/null
dpkg-deb --contents /tmp/made.deb | wc -l
dpkg-deb --field /tmp/made.deb Package Version
dpkg-deb --extract /tmp/made.deb /tmp/extracted
dpkg --force-all --install /tmp/made.deb 2>&1 | grep -c made
dpkg-query --show --showformat '${Package} ${Version} ${Installed-Size} ${Status}\n' | sort -k3,3n -k1,1 | tail -n 3
dpkg --search '*/share/made/1*' | wc -l
dpkg --list 'p1*' | wc -l
dpkg --status p17
dpkg --verify made
cat /usr/share/made/* | sha256sum
