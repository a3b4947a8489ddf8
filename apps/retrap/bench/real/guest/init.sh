# The first process of the guest, run by busybox. The host puts before this text: functions program and check, and
# $name. Marks are those that marked-guest.ts reads; pauses let the host read its clocks while the guest is idle.
b=/busybox
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root LC_ALL=C TMPDIR=/tmp PYTHONHASHSEED=0
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
$b mkdir -p /dev/pts /dev/shm /tmp /root
$b mount -t devpts devpts /dev/pts
$b mount -t tmpfs tmpfs /dev/shm
$b mount -t tmpfs tmpfs /tmp
$b chmod 1777 /tmp
cd /tmp

pause() { $b usleep 200000; }

# Hundredths of a second.
clock() {
  read -r up idle </proc/uptime
  now=${up%.*}${up#*.}
}

begin() {
  printf '\n@begin %s\n' "$1"
  pause
}

end() {
  pause
  printf '\n@end %s %d.%02d %d\n' "$1" $(($2 / 100)) $(($2 % 100)) "$3"
  pause
}

# The text where it is short, else its hash, and how it ends.
show() {
  if [ "$($b wc -c <"$1")" -gt 800 ]; then
    $b tail -c 400 "$1"
    $b sha256sum "$1"
  else
    $b cat "$1"
  fi
}

printf '\n@ready\n'
pause
if [ -n "$name" ]; then
  begin "$name"
  clock
  from=$now
  program </dev/null >/tmp/.output 2>&1
  status=$?
  clock
  end "$name" $((now - from)) $status
  begin "[$name]"
  show /tmp/.output
  check
  end "[$name]" 0 0
fi
printf '\n@done\n'
pause
$b poweroff -f
