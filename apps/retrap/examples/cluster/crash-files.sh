# Checks a file system after a power loss, by its own tool and then by its files, and goes on writing. The first start makes it.
#
#   crash-files.sh ext4|btrfs [--no-sync]
exec 3>/dev/retrap/report
say() { echo "$*" >&3; }
disk=/dev/vda
case $1 in
  # Its mount has brought the journal in.
  ext4) umount /data && why=$(e2fsck -fn $disk 2>&1) ;;
  btrfs)
    mkdir -p /data
    if [ "$(head -c 65600 $disk | tail -c 64 | tr -d '\0')" = '' ]; then mkfs.btrfs $disk >/dev/null 2>&1; fi
    why=$(btrfs check --readonly $disk 2>&1)
    ;;
esac
if [ $? = 0 ]; then say always file-system-is-whole ok; else say "always file-system-is-whole fail $why"; fi
why=$(mount -t "$1" $disk /data 2>&1) || say "always file-system-is-whole fail $why"
[ "$1" = ext4 ] || why=$(btrfs scrub start -B /data 2>&1) || say "always file-system-is-whole fail $why"
shift
exec /crash/crash-files /data "$@"
