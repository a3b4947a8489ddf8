import { AGENT } from '@retrap/guest'

/** How a first process of ours begins (`rdinit=`): busybox's programs are in /bin, and what the kernel shows is mounted. */
export const FIRST_PROCESS = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
`

/**
 * The kernel's command line where devices are what a test is about. The kernel does not try its ciphers before, which would be
 * two thirds of a boot's instructions; it does where `retrap linux` boots.
 */
export const TO_DEVICES = 'console=ttyS0 quiet cryptomgr.notests'

/** The part of a first process that puts the agent at /agent, to be started with `sh /agent DEVICE`. */
export const WRITE_AGENT = `mount -t tmpfs tmpfs /tmp
cat > /agent <<'END OF AGENT'
${AGENT}
END OF AGENT
`
