// The guests of the devices bench: Debian's kernel with the drivers of one controller, and programs that use it.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeCpio } from '@retrap/linux-guest/linux/cpio'
import { ADAPTERS, FULL_KERNEL, linuxWith } from '../../test/support/disk-linux.ts'
import { compile, COMPILERS } from '../jit/programs.ts'

/** A line of the bench. */
export interface Workload {
  readonly name: string
  /** Arguments of disk.c behind the drive's name, or those of net.c. */
  readonly args: readonly (number | string)[]
  /** What it moves, for a rate. */
  readonly amount: number
  readonly unit: 'IOPS' | 'MB' | 'round trips'
  /** Done before it is measured. */
  readonly warmUp?: readonly (number | string)[]
}

/** One boot of each emulator. */
export interface Group {
  readonly name: string
  readonly drivers: readonly string[]
  /** The kernel and its drivers, where Debian's kernel for clouds has no such driver. */
  readonly kernel?: typeof FULL_KERNEL
  /** The drive's name in the guest; none for a network card. */
  readonly drive?: string
  readonly retrap: readonly string[]
  readonly qemu: readonly string[]
}

/** Replaced by the path of the disk image, in arguments of emulators. */
const IMAGE = '@IMAGE'

export const DISKS: readonly Group[] = [
  {
    name: 'virtio-blk',
    drivers: ['virtio_pci', 'virtio_blk'],
    drive: '/dev/vda',
    retrap: ['--drive', `file=${IMAGE},format=raw,if=virtio`],
    qemu: ['-drive', `file=${IMAGE},format=raw,if=virtio`],
  },
  {
    name: 'ahci',
    drivers: ['ahci', 'sd_mod'],
    kernel: FULL_KERNEL,
    drive: '/dev/sda',
    retrap: ['--machine', 'q35', '--drive', `file=${IMAGE},format=raw`],
    qemu: ['-machine', 'q35', '-drive', `file=${IMAGE},format=raw,if=none,id=d`, '-device', 'ide-hd,drive=d,bus=ide.0'],
  },
  {
    name: 'nvme',
    drivers: ['nvme'],
    drive: '/dev/nvme0n1',
    retrap: ['--drive', `file=${IMAGE},format=raw,if=none,id=d`, '--device', 'nvme,drive=d,serial=d'],
    qemu: ['-drive', `file=${IMAGE},format=raw,if=none,id=d`, '-device', 'nvme,drive=d,serial=d'],
  },
  {
    name: 'ide',
    drivers: ['ata_piix', 'sd_mod'],
    drive: '/dev/sda',
    retrap: ['--drive', `file=${IMAGE},format=raw`],
    qemu: ['-drive', `file=${IMAGE},format=raw`],
  },
]

export const NETWORKS: readonly Group[] = [
  {
    name: 'virtio-net',
    drivers: ['virtio_pci', 'virtio_net'],
    retrap: ['--netdev', 'user,id=n', '--device', 'virtio-net-pci,netdev=n'],
    qemu: ['-netdev', 'user,id=n', '-device', 'virtio-net-pci,netdev=n,romfile='],
  },
  {
    name: 'e1000',
    drivers: ['e1000'],
    kernel: ADAPTERS,
    retrap: ['--netdev', 'user,id=n', '--device', 'e1000,netdev=n'],
    qemu: ['-netdev', 'user,id=n', '-device', 'e1000,netdev=n,romfile='],
  },
]

const SEQUENTIAL_BYTES = 128 << 10
const BLOCK_BYTES = 4096

/**
 * What is done with each drive; `scale` 1 takes QEMU some tenths of a second a line.
 *
 * @param warmUp - requests before the random ones are measured
 */
export function diskWorkloads(scale: number, warmUp: number): readonly Workload[] {
  const sequential = (name: string, way: string, count: number, before: number): Workload => ({
    name,
    ...(before > 0 && { warmUp: [way, 0, SEQUENTIAL_BYTES, before, 8] }),
    args: [way, 0, SEQUENTIAL_BYTES, count, 8],
    amount: (count * SEQUENTIAL_BYTES) / 1e6,
    unit: 'MB',
  })
  const random = (name: string, way: string, count: number, depth: number, before: number): Workload => ({
    name,
    ...(before > 0 && { warmUp: [way, 'random', BLOCK_BYTES, before, depth] }),
    args: [way, 'random', BLOCK_BYTES, count, depth],
    amount: count,
    unit: 'IOPS',
  })
  return [
    sequential('read', 'read', 8000 * scale, warmUp >> 2),
    sequential('write', 'write', 4000 * scale, warmUp >> 3),
    random('random-read', 'read', 20_000 * scale, 16, warmUp),
    // Most of the guest's code is that of reads.
    random('random-write', 'write', 20_000 * scale, 16, warmUp >> 1),
    random('one-at-a-time', 'read', 10_000 * scale, 1, warmUp >> 2),
  ]
}

/** Ports of the host's programs that the guest talks to. */
export interface HostPorts {
  readonly sink: number
  readonly source: number
  readonly echo: number
}

export function networkWorkloads(
  scale: number,
  sourceBytes: number,
  ports: HostPorts,
  warmUp: number,
): readonly Workload[] {
  const trips = 10_000 * scale
  const before = (name: string, port: number, count: number): Pick<Workload, 'warmUp'> =>
    warmUp > 0 ? { warmUp: [name, port, count] } : {}
  return [
    {
      name: 'send',
      ...before('send', ports.sink, sourceBytes),
      args: ['send', ports.sink, sourceBytes],
      amount: sourceBytes / 1e6,
      unit: 'MB',
    },
    {
      name: 'receive',
      ...before('receive', ports.source, sourceBytes),
      args: ['receive', ports.source, sourceBytes],
      amount: sourceBytes / 1e6,
      unit: 'MB',
    },
    {
      name: 'round-trip',
      // Nothing before has had the guest wait for an answer: code that runs once a trip is compiled only now.
      ...before('trips', ports.echo, warmUp),
      args: ['trips', ports.echo, trips],
      amount: trips,
      unit: 'round trips',
    },
  ]
}

const HERE = fileURLToPath(new URL('.', import.meta.url))
const JIT = fileURLToPath(new URL('../jit/', import.meta.url))
const MEBIBYTES = 256
// As the retrap command runs it: src/main.ts says so to the shell.
const NODE_FLAGS = ['--max-semi-space-size=1']
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
const COMMAND_LINE = 'console=ttyS0 mitigations=off panic=-1 quiet rdinit=/start'

/** The programs and arguments that boot a guest. */
export interface Commands {
  readonly retrap: readonly [string, readonly string[]]
  readonly tcg: readonly [string, readonly string[]]
}

/**
 * Builds a guest that does all workloads in turn, and calls `use` with the emulators' command lines.
 *
 * @param image - the disk
 * @param options - added to retrap's
 */
export async function withGuest<T>(
  group: Group,
  workloads: readonly Workload[],
  image: string,
  options: readonly string[],
  use: (commands: Commands) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'retrap-devices-'))
  try {
    const linux = await linuxWith(group.drivers, '', group.kernel)
    if (linux === undefined) throw new Error('without a network there is no kernel for the guest')
    const program = group.drive === undefined ? 'net' : 'disk'
    const build = (source: string, from: string): Promise<Uint8Array> =>
      compile(source, [], COMPILERS[64], join(folder, source), from)
    const initrd = join(folder, 'initrd')
    const bench = writeCpio([
      { kind: 'directory', path: 'bench' },
      { kind: 'file', path: 'bench/list', mode: 0o644, data: new TextEncoder().encode(listOf(group, workloads)) },
      { kind: 'file', path: `bench/${program}`, mode: 0o755, data: await build(program, HERE) },
      { kind: 'file', path: 'start', mode: 0o755, data: await build('init', JIT) },
    ])
    await writeFile(initrd, Buffer.concat([linux.initrd, bench]))
    const placed = (args: readonly string[]): readonly string[] => args.map((word) => word.replace(IMAGE, image))
    const system = ['-kernel', linux.kernelPath, '-initrd', initrd, '-append', COMMAND_LINE]
    return await use({
      retrap: [
        process.execPath,
        // prettier-ignore
        [...NODE_FLAGS, MAIN, 'run', '--memory', `${MEBIBYTES}M`, ...placed(group.retrap), ...options,
          ...system.map((word) => word.replace(/^-(?!-)/, '--'))],
      ],
      tcg: [
        'qemu-system-x86_64',
        // prettier-ignore
        ['-accel', 'tcg', '-cpu', 'max', '-smp', '1', '-m', String(MEBIBYTES), '-nodefaults', '-display', 'none',
          '-serial', 'stdio', '-no-reboot', ...placed(group.qemu), ...system],
      ],
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** What init.c reads: NAME OUTPUT PROGRAM ARGUMENT... A name in brackets is not measured. */
function listOf({ drive }: Group, workloads: readonly Workload[]): string {
  const program = drive === undefined ? '/bench/net' : `/bench/disk ${drive}`
  const line = (name: string, args: readonly (number | string)[]): string => [name, '-', program, ...args].join(' ')
  const lines = [
    '[install] - /bin/busybox --install -s /bin',
    '[drivers] - /drivers',
    drive === undefined ? '[up] - /bench/net up' : `[ready] - /bench/disk ${drive} read 0 4096 1 1`,
    ...workloads.flatMap(({ name, args, warmUp }) => [
      ...(warmUp === undefined ? [] : [line(`[${name}]`, warmUp)]),
      line(name, args),
    ]),
  ]
  return lines.map((line) => `${line}\n`).join('')
}
