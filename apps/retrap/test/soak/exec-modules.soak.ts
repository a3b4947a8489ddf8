// Programs for which the kernel of `retrap exec` loads modules: network devices, nftables, FUSE, loop devices, btrfs, kmod's own
// modprobe, and systemd as the first process of a process namespace. All are of a Debian in a folder.
import { type RootRow, rootSoak } from '../support/root-soak.ts'

const PACKAGES = ['iproute2', 'iputils-ping', 'iptables', 'btrfs-progs', 'fuse2fs']

const IMAGE = 'truncate -s 128M /tmp/disk && mkdir /tmp/m &&'
const USE = 'echo text >/tmp/m/file && cat /tmp/m/file && grep -o "/tmp/m [a-z0-9.]*" /proc/mounts'

const ROWS: readonly RootRow[] = [
  {
    name: 'iproute2',
    run: `ip netns add a && ip link add v0 type veth peer name v1 netns a && ip link add d0 type dummy &&
ip addr add 10.9.0.1/24 dev v0 && ip link set v0 up && ip -n a addr add 10.9.0.2/24 dev v1 && ip -n a link set v1 up &&
tc qdisc add dev v0 root netem delay 2ms && tc qdisc show dev v0 && ip netns exec a ping -c 1 -W 9 10.9.0.1`,
    stdout: /qdisc netem .* delay 2ms[^]*1 received/,
  },
  {
    name: 'iptables-nft',
    run: `iptables-nft -A INPUT -p tcp --dport 80 -m conntrack --ctstate NEW -j REJECT &&
iptables-nft -t nat -A POSTROUTING -j MASQUERADE && iptables-nft -S INPUT && iptables-nft -t nat -S POSTROUTING`,
    stdout: /-A INPUT .*--dport 80 .*-j REJECT[^]*-A POSTROUTING -j MASQUERADE/,
  },
  {
    name: 'FUSE',
    run: `${IMAGE} mke2fs -q /tmp/disk && fuse2fs /tmp/disk /tmp/m && ${USE}`,
    stdout: /^text\n\/tmp\/m fuse/,
  },
  {
    name: 'loop',
    run: `${IMAGE} mke2fs -q -t ext4 /tmp/disk && mount -o loop /tmp/disk /tmp/m && ${USE}`,
    stdout: /^text\n\/tmp\/m ext4/,
  },
  {
    name: 'btrfs',
    run: `${IMAGE} mkfs.btrfs -q /tmp/disk && mount -o loop /tmp/disk /tmp/m && ${USE}`,
    stdout: /text\n\/tmp\/m btrfs/,
  },
  {
    name: 'kmod',
    run: 'modprobe zram && cat /sys/block/zram0/disksize && modprobe -r zram && modinfo -F depends btrfs && modprobe -R fs-xfs',
    stdout: /^0\n.*raid6_pq.*\nxfs\n$/,
  },
  {
    name: 'systemd',
    run: `printf '[Unit]\\nSuccessAction=exit\\nFailureAction=exit\\n[Service]\\nType=oneshot\\nExecStart=/bin/sh -c "cat /proc/1/comm >/root/out; systemctl show -P SystemState >>/root/out"\\n' >/etc/systemd/system/done.service
container=docker unshare -fp --mount-proc /lib/systemd/systemd --unit=done.service --log-target=null --show-status=no; cat /root/out`,
    stdout: /^systemd\n(?:initializing|starting|running|degraded)\n$/,
  },
  {
    name: 'devices',
    options: ['--device', 'edu', '--device', 'isa-debugcon'],
    run: 'grep -l 0x11e8 /sys/bus/pci/devices/*/device && printf x | dd of=/dev/port bs=1 seek=233',
    stdout: /0000:00:1d\.0[^]*x|x[^]*0000:00:1d\.0/,
  },
]

export const soak = rootSoak('exec-modules', PACKAGES, ROWS)
