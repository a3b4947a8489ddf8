# Works on all the files of the system, as a backup does.
set -e
cd /
find bin lib usr -type f | LC_ALL=C sort >/tmp/names
wc -l </tmp/names
xargs sha256sum </tmp/names >/tmp/sums
tar -c -T /tmp/names --mtime=@0 --owner=0 --group=0 -f /tmp/all.tar
mkdir /tmp/copy
tar -x -f /tmp/all.tar -C /tmp/copy
(cd /tmp/copy && sha256sum -c --quiet /tmp/sums)
grep -r -l GNU /tmp/copy | sort | wc -l
seq 1 60000 | sort -r | sort -k1.2 | uniq -w 3 -c | sort -n | tail -n 3
od -A n -t x1 /tmp/all.tar | head -n 60000 | sed 's/ /,/g' | cut -d , -f 2,5 | sort | uniq -c | sort -k1,1nr -k2 | head -n 3
cp -a /tmp/copy /tmp/second
find /tmp/second -name '*.so*' -print0 | xargs -0 ls -s | sort -k2 | sha256sum
rm -r /tmp/copy /tmp/second
