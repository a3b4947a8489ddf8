/** The machine of `retrap exec`: its options, and its boot up to the point where it waits for a job. */
import type { ReleaseName } from '@retrap/debian'
import type { MachineVirtioDevice } from '@retrap/machine'
import type { Share } from '@retrap/virtio/p9'
import type { BlockBackend, ByteStreamBackend, PacketBackend } from '@retrap/device'
import { fetchLines } from '../host/files.ts'
import { readBytes } from '../host/files.ts'
import { fetchLinuxWithDrivers } from '../linux/debian-drivers.ts'
import { kernelPayload } from '../linux/kernel-payload.ts'
import { buildExecInitramfs, EXEC_PORTS } from '../linux/exec-initramfs.ts'
import type { CreateDevices, MachineImages, MachineOptions } from '../machine/machine-contract.ts'

/** A kind of machine: options that all machines of the kind share. */
export interface ExecKind {
  readonly arch: 'amd64' | 'arm64'
  readonly cpu: string | undefined
  readonly memoryBytes: number
  readonly cpus: number
  /** The release of Debian whose kernel the machine has, unless it has one of the user's. */
  readonly debian: ReleaseName
  /** A kernel of the user's, by its path. */
  readonly kernel: string | undefined
  /** The user's devices, as `--device` arguments. */
  readonly devices: readonly string[]
  /** Default: the host's. */
  readonly clock?: 'deterministic'
  /** Size of a disk, for machines of a cluster; absent: they have none. */
  readonly diskBytes?: number
  /** Modules that a machine of a cluster loads when it boots, beside the usual ones. */
  readonly drivers?: readonly string[]
  /** Containers that share the kernel of a machine of a cluster, beside the machine itself: each has a console and a share. */
  readonly containers?: number
}

/** The far ends of a machine's devices. */
export interface ExecEnds {
  readonly ports: Readonly<Record<keyof typeof EXEC_PORTS, ByteStreamBackend>>
  /** The shares of every machine, in the same order. */
  readonly shares: readonly { readonly tag: string; readonly share: Share; readonly readOnly: boolean }[]
  /** The network of the card; undefined: disconnected. */
  readonly network: PacketBackend | undefined
  /** Makes the devices of the user's. */
  readonly devices: CreateDevices | undefined
  /** The medium of a machine with a disk. */
  readonly disk?: BlockBackend | undefined
  readonly containers?: readonly ContainerEnds[]
}

/** The streams of a container, in the order of its console's ports. */
export const CONTAINER_STREAMS = ['stdout', 'stderr', 'report', 'status'] as const

/** The far ends of a container's devices: of its console, and of the share that is its root. */
export interface ContainerEnds {
  readonly streams: readonly ByteStreamBackend[]
  readonly root: Share
}

/** Returns the name of a user's folder within its share. */
export const folderName = (number: number): string => `folder${number}`

const NO_NETWORK: PacketBackend = {
  linkUp: false,
  maximumBytes: 1514,
  connect() {},
  ready() {},
  send: () => true,
}

/** Ports with output for people: replays and pages show these. */
const OUTPUTS: ReadonlySet<string> = new Set(['terminal', 'stdout', 'stderr'])

const CONSOLE_SLOT = 4
const FIRST_SHARE_SLOT = 5
const NETWORK_SLOT = 9
const DISK_SLOT = 10

/** The most containers of a machine, beside the machine itself: each has two of the slots behind the disk's. */
export const MOST_CONTAINERS = 10
const slotOf = (container: number): number => DISK_SLOT - 1 + 2 * container

/** The tag of the share that is the root of a container. */
export const rootTag = (container: number): string => `root${container}`
/** The names that the guest's kernel gives the ports of a container's console, by its place among virtio devices. */
export const containerPorts = ({ diskBytes }: ExecKind, container: number): readonly string[] =>
  CONTAINER_STREAMS.map(
    (_, i) => `/dev/vport${slotOf(container) - CONSOLE_SLOT - (diskBytes === undefined ? 1 : 0)}p${i}`,
  )

const DRIVERS = ['virtio_pci', 'virtio_console', '9pnet_virtio', '9p', 'overlay', 'virtio_net']
const DISK_DRIVERS = ['virtio_blk', 'ext4']

/**
 * Parameters of the kernel. A guest that panics resets its machine, which ends the run. The processor predicts nothing, and its indirect branches need no detours.
 */
const PARAMETERS = 'quiet panic=-1 init_on_alloc=0 mitigations=off cryptomgr.notests'

/** Processors of a kept machine: all but the first come online when a run asks for them. */
const KEPT_CPUS = 8
/** RAM of a machine that is kept for runs with as much or more. It lies below 3 GiB, and Linux adds it by blocks of its own size. */
const KEPT_BYTES = 512 << 20
const MOST_BYTES = 3 * 2 ** 30
const BLOCK_BYTES = 128 << 20

const ownsMemory = ({ arch, kernel, memoryBytes }: ExecKind): boolean =>
  kernel !== undefined || arch !== 'amd64' || memoryBytes < KEPT_BYTES || memoryBytes > MOST_BYTES

/** The kind of the machine that is kept for runs of a kind. A kernel of the user's may be unable to add processors and memory later. */
export const keptKind = (kind: ExecKind): ExecKind => ({
  ...kind,
  ...(kind.kernel === undefined && { cpus: Math.max(kind.cpus, KEPT_CPUS) }),
  ...(!ownsMemory(kind) && { memoryBytes: KEPT_BYTES }),
})

/** The RAM of a run, which may be a little more than was asked for. */
export const runBytes = (kind: ExecKind): number =>
  ownsMemory(kind) ? kind.memoryBytes : Math.ceil(kind.memoryBytes / BLOCK_BYTES) * BLOCK_BYTES

/** Returns the commands that adapt a guest's kept machine to the wanted kind. */
export function growCommands(kind: ExecKind): readonly string[] {
  const { kernel, cpus } = kind
  const others = kernel === undefined ? Array.from({ length: cpus - 1 }, (_, i) => i + 1) : []
  const last = `/sys/devices/system/memory/memory${runBytes(kind) / BLOCK_BYTES - 1}/state`
  return [
    ...others.map((cpu) => `echo 1 >/sys/devices/system/cpu/cpu${cpu}/online`),
    ...(runBytes(kind) === keptKind(kind).memoryBytes
      ? []
      : [
          `until grep -qs online ${last}; do`,
          'sleep 0.01; tries=x$tries; [ ${#tries} -lt 1000 ] || { echo end memory >&7; exit; }; done; unset tries',
          'mount -o remount,size=60% top /top; mount -o remount,size=50% shm /dev/shm',
        ]),
  ]
}

export const execCommandLine = ({ arch, kernel }: ExecKind): string =>
  `console=${arch === 'arm64' ? 'ttyAMA0' : 'ttyS0'} ${PARAMETERS}${kernel === undefined ? ' maxcpus=1 memhp_default_state=online' : ''}`

/** The drivers that a machine loads when it boots, unless it has a kernel of the user's. */
export const execDrivers = ({ diskBytes, drivers = [] }: ExecKind): readonly string[] => [
  ...DRIVERS,
  ...(diskBytes === undefined ? [] : DISK_DRIVERS),
  ...drivers,
]

/** Reads the kernel and the initrd that a machine boots from. */
export async function readExecImages(kind: ExecKind, tell: (text: string) => void): Promise<MachineImages> {
  const { arch, debian, kernel: named } = kind
  const drivers = execDrivers(kind)
  const { kernelPath, busyboxPath, modulePaths } = await fetchLinuxWithDrivers(arch, drivers, fetchLines(tell), debian)
  const [kernel, busybox, ...modules] = await Promise.all(
    [named ?? kernelPath, busyboxPath, ...(named === undefined ? modulePaths : [])].map(readBytes),
  )
  return {
    // A kernel that unpacks itself takes as long for that as for all else until a program can be started.
    kernel: (named === undefined ? await kernelPayload(kernel!) : undefined) ?? kernel!,
    initrd: buildExecInitramfs(busybox!, modules),
    commandLine: execCommandLine(kind),
  }
}

/** Returns the options of a kind of machine, without its images. */
export async function execOptions(
  { arch, cpu, memoryBytes, cpus, kernel, clock }: ExecKind,
  { ports, shares, network, devices, disk, containers = [] }: ExecEnds,
): Promise<MachineOptions> {
  const { models, servers } = (await devices?.(Infinity)) ?? { models: [], servers: [] }
  const numbers = Object.entries(EXEC_PORTS).toSorted(([, a], [, b]) => a - b)
  return {
    architecture: arch,
    clock: clock ?? 'real',
    memoryBytes,
    cpus,
    devices: models,
    deviceServers: servers,
    ...(cpu !== undefined && { cpu }),
    // Each run gets different random numbers: its job brings entropy, which kernels before Linux 4.17 cannot be made to use.
    generation: { catchesUp: kernel !== undefined },
    virtio: [
      {
        kind: 'console',
        slot: CONSOLE_SLOT,
        ports: numbers.map(([name], number) => ({
          stream: ports[name as keyof typeof EXEC_PORTS],
          console: number === 0,
          inReplays: OUTPUTS.has(name),
        })),
      },
      // The guest's console is its first virtio device.
      ...shares.map((one, i): MachineVirtioDevice => ({ kind: 'share', slot: FIRST_SHARE_SLOT + i, ...one })),
      { kind: 'net', slot: NETWORK_SLOT, network: network ?? NO_NETWORK },
      ...containers.flatMap(({ streams, root }, i): MachineVirtioDevice[] => {
        const isShown = (port: number): boolean => OUTPUTS.has(CONTAINER_STREAMS[port]!)
        const ports = streams.map((stream, port) => ({ stream, console: false, inReplays: isShown(port) }))
        return [
          { kind: 'console', slot: slotOf(i + 1), ports },
          { kind: 'share', slot: slotOf(i + 1) + 1, tag: rootTag(i + 1), share: root, readOnly: true },
        ]
      }),
    ],
    ...(disk !== undefined && {
      drives: [
        {
          medium: disk,
          interface: 'virtio',
          virtio: { slot: DISK_SLOT },
        },
      ],
    }),
  }
}
