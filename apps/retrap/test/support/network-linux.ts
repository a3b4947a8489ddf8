import { ADAPTERS, type DiskLinux, linuxWith } from './disk-linux.ts'
import { FIRST_PROCESS } from './first-process.ts'

/** Commands that ask for an address. @param lease - what a line that they print has of it, by the names of `udhcpc` */
const askForAddress = (lease: string): string => `cat > /dhcp <<'EOF'
#!/bin/sh
[ "$1" = bound ] || exit 0
echo "lease ${lease}"
ip addr add $ip/$mask dev $interface
ip route add default via $router
echo "nameserver $dns" > /etc/resolv.conf
EOF
chmod +x /dhcp
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -n -q -s /dhcp -t 20 -T 1 > /tmp/lease 2>&1
grep lease /tmp/lease
`

/**
 * Commands of a shell with `http`, `sink`, `name` and `address`: asks for an address, then uses the network in all the ways
 * that a test looks at. Each line that they print begins with a word that says which one it is about.
 *
 * @param kilobytes - that are sent
 */
export const useNetwork = (
  kilobytes: number,
): string => `${askForAddress('$ip $subnet $router $dns $hostname $domain')}\
echo "ping $(ping -c 2 -s 4000 10.0.2.2 | grep received)"
echo "name $(nslookup -type=a $name 2>&1 | grep -c "Address: $address")"
echo "none $(nslookup -type=a missing.test 2>&1 | grep -c NXDOMAIN)"
echo "get $(wget -q -O - http://10.0.2.2:$http/data | sha256sum)"
dd if=/dev/urandom of=/tmp/up bs=1k count=${kilobytes} 2>/dev/null
echo "put $(sha256sum < /tmp/up)"
nc 10.0.2.2 $sink < /tmp/up
echo "refused $(nc -w 5 10.0.2.2 1 < /dev/null 2>&1 | grep -c refused)"
echo "udp $(tftp -g -r hello -l - 10.0.2.2 $sink 2>&1)"
echo "tftp $(tftp -g -r boot.img -l - 10.0.2.2 2>/dev/null | sha256sum)"
echo READY
nc -l -p 7 -e /bin/cat
# What it has written may still be in the socket.
sleep 2
echo "echoed"
echo DONE
poweroff -f
`

/** The first process of `rdinit=/auto http=PORT sink=PORT name=NAME address=ADDRESS`. */
const AUTO = `${FIRST_PROCESS}mount -t tmpfs tmpfs /tmp
/drivers
${useNetwork(5000)}`

/**
 * The first process of `rdinit=/auto http=PORT sink=PORT`: asks another program's network for an address, and moves data both
 * ways and by a connection from outside.
 */
const CABLE = `${FIRST_PROCESS}mount -t tmpfs tmpfs /tmp
/drivers
${askForAddress('$ip $router')}\
router=$(sed -n 's/^lease [^ ]* //p' /tmp/lease)
echo "get $(wget -q -O - http://$router:$http/data | sha256sum)"
dd if=/dev/urandom of=/tmp/up bs=1k count=5000 2>/dev/null
echo "put $(sha256sum < /tmp/up)"
nc $router $sink < /tmp/up
echo READY
nc -l -p 7 -e /bin/cat
sleep 2
echo DONE
poweroff -f
`

/** A Linux for a cable to another program. @returns undefined where there is no apt to fetch Debian's packages with */
export function cableLinux(): Promise<DiskLinux | undefined> {
  return linuxWith(['virtio_pci', 'virtio_net'], CABLE)
}

/** A Linux that uses its virtio network card. @returns undefined where there is no apt to fetch Debian's packages with */
export function networkLinux(): Promise<DiskLinux | undefined> {
  return linuxWith(['virtio_pci', 'virtio_net'], AUTO)
}

/** The same with Intel's 82540EM, which the kernel for clouds has no driver of. */
export function e1000Linux(): Promise<DiskLinux | undefined> {
  return linuxWith(['e1000', 'af_packet'], AUTO, ADAPTERS)
}
