/** The Linux of a cluster's machine, like the Linux of `retrap exec`. */
import { addressOf, type Disk, type GuestListener, MOST_LINE, type PlacedMachine } from '@retrap/cluster'
import { type PcForkOptions, type PcSnapshotState, stateWithMemory } from '@retrap/machine'
import { REPORT_FOLDER } from '../guests/linux/exec-initramfs.ts'
import { makeExt4 } from '../guests/linux/ext4.ts'
import type { MachineOptions, MachineSnapshotSource } from '../machine/machine-contract.ts'
import { openSnapshotFile } from '../machine/snapshots/snapshot-file.ts'
import { EPOCH_SECONDS, type GuestEnds, type GuestParts, type GuestSystem } from './cluster-guest.ts'
import { type ExecOutside, unused } from './guest.ts'
import { APART, clockTurn, FILLER, TOGETHER } from './guest-faults.ts'
import { encodeFiles, encodeProgram, encodeRoom, type JobMount, quote } from './job.ts'
import { execOptions, type ExecKind, growCommands, keptKind, runBytes } from './machine.ts'
import { LinePort, SentPort } from './ports.ts'
import type { Program } from './program.ts'
import type { MadeGuest } from './recordings.ts'

/** The addresses of a machine, which follow from its number. */
export const ipv4Of = (number: number): string => `10.83.${(number + 1) >> 8}.${(number + 1) & 0xff}`
export const ipv6Of = (number: number): string => `fd83::${(number + 1).toString(16)}`

/** The parts of a machine with such a Linux. */
export interface LinuxParts extends GuestParts {
  /** The file of the kept machine that it begins as. */
  readonly path: string
  readonly kind: ExecKind
  readonly outside: Omit<ExecOutside, 'network'>
  /** All machines of the cluster, for their names. */
  readonly machines: readonly PlacedMachine[]
  readonly mounts: readonly JobMount[]
  /** Reads a program: its path, user and environment. */
  readonly read: (words: readonly string[]) => Promise<Program>
  /** Commands that come first, such as those of kernel modules. */
  readonly commands: readonly string[]
}

type Lines = Readonly<Record<'status' | 'stdout' | 'stderr' | 'report', LinePort>>

/** A Linux for jobs, which begins as a kept machine. */
export class LinuxSystem implements GuestSystem<Lines> {
  readonly #parts: LinuxParts
  readonly #files: Readonly<Record<string, string>>
  readonly memoryBytes: number
  readonly preparation: string

  constructor(parts: LinuxParts) {
    const { machine, kind, seed } = parts
    this.#parts = parts
    this.#files = { '/etc/hosts': hosts(parts.machines), '/etc/hostname': `${machine.name}\n` }
    this.memoryBytes = runBytes(kind)
    this.preparation = encodeRoom({
      mounts: parts.mounts,
      home: undefined,
      hostname: machine.name,
      files: this.#files,
      entropy: Buffer.from(`${seed} ${machine.name}`.padEnd(64)),
      preparation: [
        `date -s @${EPOCH_SECONDS + Math.floor(parts.ns / 1e9)} >/dev/null`,
        ...(parts.ns === 0 ? [] : [clockTurn(parts.ns % 1e9, machine)]),
        ...growCommands(kind),
        ...parts.commands,
        ...networkCommands(machine.number),
        ...diskCommands(machine),
        `ln -s report ${REPORT_FOLDER}/sdk.jsonl`,
        ...APART,
      ],
    })
  }

  async fill(disk: Disk): Promise<void> {
    if (this.#parts.machine.disk?.format !== 'ext4') return
    await makeExt4(disk.properties.bytes, (offset, from) => disk.write(offset, from))
    await disk.flush()
  }

  lines(now: () => number, { line, report, ended }: GuestListener): Lines {
    const texts = (hear: (ns: number, text: string) => void) =>
      new LinePort((bytes) => hear(now(), Buffer.from(bytes, 'latin1').toString()), MOST_LINE)
    const status = texts((ns, told) => {
      const [, name, code] = /^ended (.*) (\d+)$/.exec(told) ?? []
      if (name !== undefined) ended(ns, name, Number(code))
    })
    return { status, stdout: texts(line), stderr: texts(line), report: texts(report) }
  }

  async options(ends: GuestEnds<Lines>, disk: Disk | undefined): Promise<MachineOptions> {
    const { state, pages } = await openSnapshotFile(this.#parts.path, { onLost: () => undefined })
    const grown = stateWithMemory(state as PcSnapshotState, this.memoryBytes) as object
    return {
      ...(await this.#options(ends, disk)),
      generation: { after: this.#parts.seed },
      snapshot: { state: grown, pages } as MachineSnapshotSource,
    }
  }

  async devices(ends: GuestEnds<Lines>, disk: Disk | undefined): Promise<PcForkOptions> {
    const { virtio, drives } = await this.#options(ends, disk)
    return { virtio, ...(drives && { drives }) }
  }

  #options({ lines, jobs, card }: GuestEnds<Lines>, disk: Disk | undefined): Promise<MachineOptions> {
    const { kind, outside } = this.#parts
    const ports = { ...unused(() => undefined), jobs, signals: new SentPort(), ...lines }
    return execOptions({ ...keptKind(kind), memoryBytes: this.memoryBytes }, { ports, ...outside, network: card, disk })
  }

  turnClock(ns: number, _made: MadeGuest, ends: GuestEnds<Lines>): void {
    ends.say(clockTurn(ns, this.#parts.machine))
  }

  async start(name: string, words: readonly string[]): Promise<string> {
    const program = await this.#parts.read(words)
    // The root may lack a file of users.
    const files = Object.entries(program.files).filter(([path]) => !(path in this.#files))
    return encodeFiles(Object.fromEntries(files)) + encodeProgram(name, program, TOGETHER)
  }
}

/** The names and addresses of all machines, as a file of names. */
const hosts = (machines: readonly PlacedMachine[]): string =>
  [
    '127.0.0.1 localhost',
    '::1 localhost',
    ...machines.flatMap(({ name, number }) => [`${ipv4Of(number)} ${name}`, `${ipv6Of(number)} ${name}`]),
    '',
  ].join('\n')

/** The commands that mount the disk. A machine that cannot read it goes no further: its programs would write to memory. */
const diskCommands = ({ disk }: PlacedMachine): readonly string[] => {
  if (disk === undefined || disk.format === 'none') return []
  const at = quote(`/new${disk.path}`)
  const ends = '{ { echo retrap: the disk cannot be mounted; dmesg | tail -n 2; } >/err; sleep 1; poweroff -f; }'
  return [`mkdir -p ${at}; mount -t ext4 /dev/vda ${at} || ${ends}; rm -f ${at}/${FILLER}`]
}

const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':')

/** The commands that bring the network up. */
const networkCommands = (number: number): readonly string[] => [
  `ip link set eth0 address ${hex(addressOf(number))}`,
  // No other machine has its addresses: Linux need not look for one before it uses them. The shell's ip has no `nodad`.
  'echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad',
  'ip link set eth0 up',
  `ip addr add ${ipv4Of(number)}/16 dev eth0`,
  `ip addr add ${ipv6Of(number)}/64 dev eth0`,
]
