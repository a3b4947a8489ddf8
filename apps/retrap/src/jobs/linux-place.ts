/** The place of a Linux guest in its cluster: names, addresses, disk and limits, as commands of its shell. */
import { addressOf, type PlacedMachine } from '@retrap/cluster'
import { FILLER } from './guest-faults.ts'
import { type JobMount, likeness, quote } from '@retrap/linux-guest/jobs/job'
import type { GuestFiles } from '@retrap/linux-guest/jobs/lookup'
import { pathWithoutLinks, type Program } from '@retrap/linux-guest/jobs/program'

/** The name that the programs of a machine see. */
export const hostnameOf = ({ name, hostname = name }: PlacedMachine): string => hostname

/**
 * The file of names: the reader's own `hosts`, then all machines that share a network with the reader. A name goes before another machine's
 * hostname. Without machines the file has only the reader's own names.
 */
export function hosts(reader: PlacedMachine, machines: readonly PlacedMachine[]): string {
  const known = new Set(reader.networks.map(({ name }) => name))
  const lines = ({ networks }: PlacedMachine, namesOf: (more: readonly string[]) => readonly string[]): string[] =>
    networks
      .filter(({ name }) => known.has(name))
      .flatMap(({ ipv4, ipv6, aliases, isDual }) =>
        [ipv4, ...(machines.length > 0 || isDual === true ? [ipv6] : [])].map((address) =>
          [address.replace(/\/.*/, ''), ...new Set(namesOf(aliases))].join(' '),
        ),
      )
  const hostnames = (one: PlacedMachine): string[] =>
    machines.length > 0 && hostnameOf(one) === one.name ? [] : lines(one, () => [hostnameOf(one)])
  return [
    '127.0.0.1 localhost',
    '::1 localhost',
    ...Object.entries(reader.hosts ?? {}).flatMap(([name, all]) => all.map((address) => `${address} ${name}`)),
    ...(known.size === 0 ? [`127.0.0.1 ${hostnameOf(reader)}`] : hostnames(reader)),
    ...machines.flatMap((one) => lines(one, (more) => [one.name, ...(one.aliases ?? []), ...more])),
    ...machines.flatMap(hostnames),
    '',
  ].join('\n')
}

/** Where the disk is mounted that containers have folders of. */
export const SHARED_DISK = '/disk'
/** Ends the machine, also out of a container. */
const ENDS =
  '{ { echo retrap: the disk cannot be mounted; dmesg | tail -n 2; } >/err; sleep 1; echo o >/proc/sysrq-trigger; sleep 9; }'

const mountOf = (what: string, at: string): string =>
  `mkdir -p ${at}; mount ${what} ${at} || ${ENDS}; rm -f ${at}/${FILLER}`

/** The commands that mount the disk. A machine that cannot read it goes no further: its programs would write to memory. */
const diskCommands = ({ disk, inside }: PlacedMachine, isShared: boolean): readonly string[] => {
  if (disk === undefined || disk.format === 'none') return []
  const at = inside === undefined ? quote(`/new${disk.path}`) : SHARED_DISK
  const folders = Object.entries(disk.folders ?? {}).map(([path, name]) =>
    folderOfDisk(`${at}/${name}`, quote(`/new${path}`)),
  )
  const mount = inside === undefined ? [mountOf(isShared ? `--bind ${SHARED_DISK}` : '-t ext4 /dev/vda', at)] : []
  return [...mount, ...folders.map((one) => `{ ${one}; } || ${ENDS}`)]
}

/** The command that mounts the disk of a machine in the root of its programs, or unmounts it. */
export function remountCommand({ disk }: PlacedMachine, isMounted: boolean): string {
  const at = quote(`.${disk!.path}`)
  return isMounted ? `mount -t ext4 /dev/vda ${at} || ${ENDS}` : `umount ${at}`
}

/** The command that puts a folder of the disk in place of one of the root, with the root's files at first. Both are words of a shell. */
const folderOfDisk = (folder: string, path: string): string =>
  [
    `mkdir -p ${path}`,
    `[ -d ${folder} ] || { rm -rf ${folder}.new; mkdir ${folder}.new && cp -a ${path}/. ${folder}.new && ${likeness(path, `${folder}.new`)} && sync && mv ${folder}.new ${folder}; }`,
    `mount --bind ${folder} ${path}`,
  ].join(' && ')

/** The commands that write files in the root. */
const fileCommands = ({ files = {} }: PlacedMachine): readonly string[] =>
  Object.entries(files).map(([path, { text, mode, owner }]) => {
    const at = quote(`/new${path}`)
    const more = `${owner === undefined ? '' : `; chown ${owner} ${at}`}${mode === undefined ? '' : `; chmod ${mode} ${at}`}`
    return `mkdir -p "$(dirname ${at})"; rm -f ${at}; echo -n ${quote(text)} >${at}${more}`
  })

/** Resolves links in the paths of a machine's disk and files. The guest's shell makes both from outside of the root. */
export async function withoutLinks(machine: PlacedMachine, files: GuestFiles): Promise<PlacedMachine> {
  const { disk, files: texts } = machine
  const resolve = (path: string): Promise<string> => pathWithoutLinks(path, files)
  const keys = async <T>(all: Readonly<Record<string, T>>): Promise<Record<string, T>> =>
    Object.fromEntries(
      await Promise.all(Object.entries(all).map(async ([path, one]) => [await resolve(path), one] as const)),
    )
  return {
    ...machine,
    ...(disk !== undefined && {
      disk: { ...disk, path: await resolve(disk.path), folders: await keys(disk.folders ?? {}) },
    }),
    ...(texts !== undefined && { files: await keys(texts) }),
  }
}

/** A folder in memory, as a mount. */
export async function memoryFolder(text: string, files: GuestFiles): Promise<JobMount> {
  const [path = '', options = ''] = text.split(':')
  return { path: await pathWithoutLinks(path, files), name: 'tmpfs', options: `mode=1777${options && `,${options}`}` }
}

/** The commands that set parameters of the kernel, and the size of shared memory. */
const kernelCommands = ({ shmSize, sysctls = {} }: PlacedMachine): readonly string[] => [
  ...(shmSize === undefined ? [] : [`mount -o remount,size=${shmSize} /dev/shm`]),
  ...Object.entries(sysctls).map(([name, value]) => {
    const path = name.includes('/') ? name : name.replaceAll('.', '/')
    return `{ echo ${quote(value)} >/proc/sys/${path}; } 2>/err`
  }),
]

/** Options of the shell's `ulimit` by Docker's names of limits, and the unit of each option: Docker's unit is a byte. */
export const LIMITS: Readonly<Record<string, readonly [option: string, unit: number]>> = {
  core: ['c', 512],
  cpu: ['t', 1],
  data: ['d', 1024],
  fsize: ['f', 512],
  locks: ['x', 1],
  memlock: ['l', 1024],
  msgqueue: ['q', 1],
  nice: ['e', 1],
  nofile: ['n', 1],
  nproc: ['u', 1],
  rss: ['m', 1024],
  rtprio: ['r', 1],
  sigpending: ['i', 1],
  stack: ['s', 1024],
}

/** The commands that limit a program, in its process. */
export const limitCommands = ({ ulimits = {} }: PlacedMachine): readonly string[] =>
  Object.entries(ulimits).map(([name, limits]) => {
    const [option, unit] = LIMITS[name]!
    const [soft, hard] = limits.map((given) => (given < 0 ? 'unlimited' : Math.floor(given / unit)))
    return `ulimit -${option} ${hard}; ulimit -S -${option} ${soft}`
  })

/** Whether a working directory that is missing is made, as Docker does. */
export const makesDirectory = ({ workingDirectory, entrypoint }: PlacedMachine): boolean =>
  (workingDirectory ?? entrypoint) !== undefined

/** The commands that make the working directory, also in a root that is only read. */
export function folderCommands(machine: PlacedMachine, { workingDirectory }: Program): readonly string[] {
  const path = quote(`.${workingDirectory}`)
  const remount = (how: string): string => (machine.readOnly === true ? `mount -o remount,bind,${how} none .; ` : '')
  return makesDirectory(machine) ? [`[ -d ${path} ] || { ${remount('rw')}mkdir -p ${path}; ${remount('ro')}}\n`] : []
}

/** The bytes of an address, as Linux writes it. */
export const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':')

/** The commands that bring the network up. A machine without one has no card. */
const networkCommands = ({ number, networks }: PlacedMachine): readonly string[] =>
  networks.length === 0
    ? ['card=$(readlink -f /sys/class/net/eth0/device); echo ${card##*/} >$card/driver/unbind']
    : [
        `ip link set eth0 address ${hex(addressOf(number))}`,
        // No other machine has its addresses: Linux need not look for one before it uses them. The shell's ip has no `nodad`.
        'echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad',
        'ip link set eth0 up',
        ...networks.flatMap(({ ipv4, ipv6 }) => [`ip addr add ${ipv4} dev eth0`, `ip addr add ${ipv6} dev eth0`]),
      ]

/** The commands that bring up the network and the disk, and set parameters of the kernel. */
export const placeCommands = (machine: PlacedMachine, isShared: boolean): readonly string[] => [
  ...(isShared && machine.networks.length === 0 ? [] : networkCommands(machine)),
  ...kernelCommands(machine),
  ...diskCommands(machine, isShared),
  ...fileCommands(machine),
]

/** The commands that bring up the card and the disk which containers share. The card itself sends no frames. */
export const sharedCommands = ({ disk }: PlacedMachine): readonly string[] => [
  'echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6; ip link set eth0 up',
  ...(disk?.format === 'ext4' ? [mountOf('-t ext4 /dev/vda', SHARED_DISK)] : []),
]
