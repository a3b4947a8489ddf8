import { writeCpio } from './cpio.ts'

/** What the shell of our initramfs prints when it waits for a command. */
export const SHELL_PROMPT: RegExp = /\/\S* # $/

/**
 * The first process. It makes what programs expect to find, then offers a shell on the console
 * until the user leaves it, and powers the machine off.
 *
 * `setsid cttyhack` gives the shell a controlling terminal, and with it job control and Ctrl-C.
 */
const INIT_SCRIPT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ PS1='\\w # '
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
hostname retrap
echo
echo "Linux $(uname -r) under retrap. Type 'poweroff -f' or leave the shell to end."
cd /
setsid cttyhack sh
poweroff -f
`

/**
 * An initramfs that boots to a busybox shell on the console.
 *
 * @param busybox - a statically linked busybox, such as Debian's busybox-static holds
 */
export function buildInitramfs(busybox: Uint8Array): Uint8Array {
  const directories = ['bin', 'dev', 'etc', 'proc', 'root', 'sys', 'tmp']
  return writeCpio([
    ...directories.map((path) => ({ kind: 'directory', path }) as const),
    // The kernel opens it before the first process runs, hence before anything is mounted.
    { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    { kind: 'file', path: 'bin/busybox', mode: 0o755, data: busybox },
    { kind: 'symlink', path: 'bin/sh', target: 'busybox' },
    { kind: 'file', path: 'init', mode: 0o755, data: new TextEncoder().encode(INIT_SCRIPT) },
  ])
}
