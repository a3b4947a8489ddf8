import { type CpioEntry, writeCpio } from './cpio.ts'

/** The shell prompt of our initramfs. */
export const SHELL_PROMPT: RegExp = /\/\S* # $/

/** A shell asks its terminal, which may answer later. Source: ECMA-48, 8.3.35, "DSR". */
export const WHERE_IS_THE_CURSOR = '\u001b[6n'

/**
 * The first process. It makes the folders and files that programs expect, then offers a shell on the console until the
 * user leaves it, and powers the machine off.
 *
 * `setsid cttyhack` gives the shell a controlling terminal, and with it job control and Ctrl-C.
 */
const initScript = (drivers: string): string => `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ PS1='$PWD # '
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
hostname retrap
ip link set lo up 2>/dev/null
[ -e /bin/watch-generation ] && watch-generation &
${drivers}echo
echo "Linux $(uname -r) under retrap."
echo "It ends with 'exit' or 'poweroff -f'."
cd /
setsid cttyhack sh
poweroff -f
`

/** Loads the modules, mounts the first virtio disk, and requests an address for the network card until it gets one. */
const DRIVERS_SCRIPT = `for module in /modules/*.ko; do [ -e "$module" ] && insmod "$module"; done
[ -b /dev/vda ] && mount /dev/vda /mnt
if ip link set eth0 up 2>/dev/null; then
  udhcpc -f -i eth0 -s /etc/dhcp -t 3 -T 1 -A 3 >/dev/null 2>&1 </dev/null &
fi
`

/**
 * Sets the clock by the real-time clock where they differ: a host that is busy, or a snapshot of months ago, leaves the guest
 * behind. Each look is made by the shell itself: a guest that starts programs all the time is never at rest.
 */
const DATE_SCRIPT = `(
  mkfifo /tmp/clock
  exec 3<>/tmp/clock
  rm /tmp/clock
  while :; do
    read -t 2 _ <&3
    read -r clock </sys/class/rtc/rtc0/since_epoch
    off=$((clock - EPOCHSECONDS))
    [ \${off#-} -gt 2 ] && hwclock -u -s
  done
) 2>/dev/null &
`

/**
 * The script that busybox calls when a lease comes or goes. Addresses that the user has given stay. Source: busybox, `udhcpc
 * --help`.
 */
const DHCP_SCRIPT = `#!/bin/sh
case "$1" in
bound|renew)
  ip addr replace "$ip/$mask" dev "$interface"
  [ -n "$router" ] && ip route replace default via "\${router%% *}"
  for server in $dns; do echo "nameserver $server"; done > /etc/resolv.conf
esac
`

/**
 * An initramfs that boots to a busybox shell on the console. With modules it mounts a virtio disk at /mnt, and asks for an
 * address, if there are a disk and a network card then; it goes on asking.
 *
 * @param busybox - a statically linked busybox, such as Debian's busybox-static holds
 * @param modules - the kernel's modules to load, in this order
 * @param more.agent - the agent's program, started before the shell
 * @param more.isKept - whether the guest will be saved, and must correct its date when it resumes
 * @param more.files - further files
 * @param more.script - is run before the shell
 */
export function buildInitramfs(
  busybox: Uint8Array,
  modules: readonly Uint8Array[] = [],
  {
    agent,
    isKept = false,
    files = [],
    script = '',
  }: {
    readonly agent?: GuestAgent
    readonly isKept?: boolean
    readonly files?: readonly CpioEntry[]
    readonly script?: string
  } = {},
): Uint8Array {
  const forModules = modules.length === 0 ? [] : ['mnt', 'modules']
  const drivers = modules.length === 0 ? '' : DRIVERS_SCRIPT
  const watch = watchGeneration(busybox)
  const directories = ['bin', 'dev', 'etc', ...forModules, 'proc', 'root', 'sys', 'tmp']
  return writeCpio([
    ...directories.map((path) => ({ kind: 'directory', path }) as const),
    // The kernel opens this device before the first process runs, hence before any file system is mounted.
    { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    programFile('bin/busybox', busybox),
    { kind: 'symlink', path: 'bin/sh', target: 'busybox' },
    ...(watch === undefined ? [] : [programFile('bin/watch-generation', watch)]),
    ...(modules.length === 0 ? [] : [programFile('etc/dhcp', DHCP_SCRIPT)]),
    ...modules.map((data, i) => {
      const path = `modules/${String(i).padStart(3, '0')}.ko`
      return { kind: 'file', path, data } as const
    }),
    programFile(
      'init',
      initScript(`${drivers}${agent === undefined ? '' : startOf(agent)}${isKept ? DATE_SCRIPT : ''}${script}`),
    ),
    ...files,
    ...(agent === undefined ? [] : [programFile(AGENT_FILE, agent.script)]),
  ])
}

/** The agent of `@retrap/guest` in a guest. */
export interface GuestAgent {
  /** The text of the agent. */
  readonly script: string
  /** The guest's name for the agent's port, such as `/dev/ttyS1`. */
  readonly port: string
}

const AGENT_FILE = 'retrap-agent.sh'

/** The port of a driver that is a module comes a moment after the module. */
const startOf = ({ port }: GuestAgent): string =>
  `(until [ -c ${port} ]; do sleep 0.1; done; exec setsid sh /${AGENT_FILE} ${port}) &\n`

/** A file that can be executed. */
export function programFile(path: string, content: Uint8Array | string): CpioEntry {
  const data = typeof content === 'string' ? new TextEncoder().encode(content) : content
  return { kind: 'file', path, mode: 0o755, data }
}

/** Returns an initial RAM disk with the agent appended: Linux unpacks one archive after another. */
export function withAgent(initrd: Uint8Array, script: string): Uint8Array {
  const extra = writeCpio([programFile(AGENT_FILE, script)])
  // An archive begins at a multiple of four. Source: buffer-format.rst, as in cpio.ts.
  const at = Math.ceil(initrd.length / 4) * 4
  const whole = new Uint8Array(at + extra.length)
  whole.set(initrd)
  whole.set(extra, at)
  return whole
}

/**
 * A driver for VM Generation ID as a program, by `e_machine` in the header of an ELF file. Kernels without a driver need one, such
 * as Debian's for clouds, and kernels of Arm boards before Linux 6.10. The program looks at the identifier ten times a second. A
 * new identifier is the entropy with which the program has the kernel seed its random numbers anew.
 *
 * The sources are in `test/linux/programs/`, as a test asserts.
 *
 * Sources: Linux, drivers/virt/vmgenid.c, and include/uapi/linux/random.h.
 */
const WATCHES: Readonly<Record<number, string>> = {
  // EM_X86_64
  62: 'f0VMRgIBAQAAAAAAAAAAAAIAPgABAAAAeABAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAEAAOAABAAAAAAAAAAEAAAAFAAAAAAAAAAAAAAAAAEAAAAAAAAAAQAAAAAAAXQEAAAAAAABdAQAAAAAAAAAQAAAAAAAAuAIAAABIjT3EAAAAvgAQEAAPBUGJwLgJAAAAMf++ABAAALoBAAAAQboBAAAAQbkAANb+DwVIPQDw//93d0iJw7gCAAAASI09jQAAADH2DwWJxUyLI0yLawi4IwAAAEiNPVsAAAAx9g8FTIszTIt7CE055nUFTTnvdN9NifRNif1BV0FWSLiAAAAAEAAAAFC4EAAAAInvvgNSCEBIieIPBUiDxBi4EAAAAInvvgdSAAAPBeuluDwAAAAPBQ8fRAAAAAAAAAAAAAAA4fUFAAAAAC9kZXYvbWVtAC9kZXYvcmFuZG9tAA==',
  // EM_AARCH64
  183: 'f0VMRgIBAQAAAAAAAAAAAAIAtwABAAAAeABAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAEAAOAABAAAAAAAAAAEAAAAFAAAAAAAAAAAAAAAAAEAAAAAAAAAAQAAAAAAAbQEAAAAAAABtAQAAAAAAAAAQAAAAAAAAYAyAkuEGABACAILSAgKg8ggHgNIBAADU5AMAqgAAgNIBAILSIgCA0iMAgNLlIaHSyBuA0gEAANQf/D+xYgQAVPMDAKpgDICSAQUAMAIAgNIIB4DSAQAA1PQDAKp1WkCpgAMAEAEAgNKoDIDSAQAA1HdiQKn/AhXrAANW+iD//1T1Axeq9gMYqgkQgNIJAsDy6V++qfgLAPngAxSqYUCK0gEBqPLiAwCRqAOA0gEAANT/gwCR4AMUquFAitKoA4DSAQAA1Of//xeoC4DSAQAA1AAAAAAAAAAAAOH1BQAAAAAvZGV2L21lbQAvZGV2L3JhbmRvbQA=',
}

/**
 * A program that has the kernel seed its random numbers anew at once, with earlier writes to /dev/random. That file is the
 * program's input. Its sources are as above.
 */
const RESEEDS: Readonly<Record<number, string>> = {
  62: 'f0VMRgIBAQAAAAAAAAAAAAIAPgABAAAAeABAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAEAAOAABAAAAAAAAAAEAAAAFAAAAAAAAAAAAAAAAAEAAAAAAAAAAQAAAAAAAjwAAAAAAAACPAAAAAAAAAAAQAAAAAAAAuBAAAAAx/74HUgAADwWJx7g8AAAADwU=',
  183: 'f0VMRgIBAQAAAAAAAAAAAAIAtwABAAAAeABAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAEAAOAABAAAAAAAAAAEAAAAFAAAAAAAAAAAAAAAAAEAAAAAAAAAAQAAAAAAAkAAAAAAAAACQAAAAAAAAAAAQAAAAAAAAAACA0uFAitKoA4DSAQAA1KgLgNIBAADU',
}
const MACHINE_AT = 18

/** Returns the program for another program's architecture; undefined if unavailable. */
function like(other: Uint8Array, programs: Readonly<Record<number, string>>): Uint8Array | undefined {
  const isElf = Buffer.from(other.subarray(0, 4)).toString('latin1') === '\u007fELF'
  const text = isElf ? programs[other[MACHINE_AT]!] : undefined
  return text === undefined ? undefined : new Uint8Array(Buffer.from(text, 'base64'))
}

/** Returns the driver for another program's architecture; undefined if unavailable. */
export const watchGeneration = (other: Uint8Array): Uint8Array | undefined => like(other, WATCHES)

/** Returns the program that reseeds random numbers, for another program's architecture; undefined if unavailable. */
export const reseed = (other: Uint8Array): Uint8Array | undefined => like(other, RESEEDS)
