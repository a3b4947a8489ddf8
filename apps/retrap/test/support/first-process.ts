/** How a first process of ours begins (`rdinit=`): busybox's programs are in /bin, and what the kernel shows is mounted. */
export const FIRST_PROCESS = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
`
