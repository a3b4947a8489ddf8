/** A machine of a cluster: a Linux guest like those of `retrap exec`, on deterministic time. */
import { crc32 } from 'node:zlib'
import {
  addressOf,
  Card,
  type ClusterGuest,
  conducted,
  type Disk,
  type GuestListener,
  type MachineStart,
  MOST_LINE,
  type PlacedMachine,
  timeOf,
} from '@retrap/cluster'
import { type PcSnapshotState, stateWithMemory } from '@retrap/machine'
import { REPORT_FOLDER } from '../../guests/linux/exec-initramfs.ts'
import { makeExt4 } from '../../guests/linux/ext4.ts'
import type { MachineOptions, MachineSnapshotSource } from '../../machine/machine-contract.ts'
import { openSnapshotFile } from '../../machine/snapshots/snapshot-file.ts'
import type { UnitCache } from '../../machine/unit-cache/unit-cache.ts'
import { createMachine, type ExecOutside, LinePort, unused } from '../exec/guest.ts'
import { encodeFiles, encodeProgram, encodeRoom, type JobMount, quote } from '../exec/job.ts'
import { type ExecEnds, execOptions, type ExecKind, growCommands, keptKind, runBytes } from '../exec/machine.ts'
import { SentPort } from '../exec/ports.ts'
import { APART, clockTurn, disturbance, FILLER, TOGETHER } from './guest-faults.ts'
import type { ForkedMachine, GuestRecording, MadeGuest } from './recordings.ts'
import type { Program } from '../exec/program.ts'

/** The wall-clock time at which each cluster begins: 2026-01-01, in seconds from 1970. */
export const EPOCH_SECONDS = 1_767_225_600

/** The addresses of a machine, which follow from its number. */
export const ipv4Of = (number: number): string => `10.83.${(number + 1) >> 8}.${(number + 1) & 0xff}`
export const ipv6Of = (number: number): string => `fd83::${(number + 1).toString(16)}`

/** The ways in which machines run, which change nothing for their guests. */
export interface MachineWays {
  /** Machines are forked, for which they need room. */
  readonly isForked: boolean
  /** Hot code is compiled. */
  readonly isCompiled: boolean
}

/** The parts of a cluster's machine. */
export interface ClusterGuestParts extends MachineWays, Pick<MachineStart, 'seed' | 'ns'> {
  /** The file of the kept machine that it begins as. */
  readonly path: string
  readonly kind: ExecKind
  readonly outside: Omit<ExecOutside, 'network'>
  /** Compiled code, which all machines of the cluster share. */
  readonly units: UnitCache
  /** All machines of the cluster, for their names. */
  readonly machines: readonly PlacedMachine[]
  readonly machine: PlacedMachine
  readonly mounts: readonly JobMount[]
  /** Reads a program: its path, user and environment. */
  readonly read: (words: readonly string[]) => Promise<Program>
  /** Commands that come first, such as those of kernel modules. */
  readonly commands: readonly string[]
  /** The disk of a machine that has one. */
  readonly disk: Disk | undefined
  /** Where the machine is recorded; undefined: it is not. */
  readonly recording?: GuestRecording | undefined
}

/** Room for the clones of a guest: for one at a time, and for what one writes. */
export const FORKS: NonNullable<MachineOptions['forks']> = { clones: 2, writtenBytes: 512 << 20 }

/**
 * Room for decoded instructions, and for compiled code: of a server, a client's language and a kernel at once. Measured with etcd: with a
 * PC's usual room, all was decoded anew twice in six seconds, and code was dropped that was in use.
 */
export const DECODED_BYTES: number = 128 << 20
export const COMPILED_BYTES: number = 16 << 20

/** Makes a guest, at rest at its first instant. @throws errors of a machine that cannot be made */
export async function makeClusterGuest(parts: ClusterGuestParts, listener: GuestListener): Promise<ClusterGuest> {
  const { machine, seed, disk, kind } = parts
  if (disk?.isBlank === true && machine.disk?.format === 'ext4') {
    await makeExt4(disk.properties.bytes, (offset, from) => disk.write(offset, from))
    await disk.flush()
  }
  const ends = new Ends(new Card(), listener)
  const made = await makeMachine(parts, ends)
  const guest = guestOf(made, parts, ends)
  disk?.attach(made.machine.domain.clock, made.time)
  ends.say(
    encodeRoom({
      mounts: parts.mounts,
      home: undefined,
      hostname: machine.name,
      files: ownFiles(parts),
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
    }),
  )
  return guest
}

async function makeMachine(parts: ClusterGuestParts, ends: Ends): Promise<MadeGuest> {
  const { kind, disk, recording, seed } = parts
  const { state, pages } = await openSnapshotFile(parts.path, { onLost: () => undefined })
  const grown = stateWithMemory(state as PcSnapshotState, runBytes(kind)) as object
  const options: MachineOptions = {
    ...(await optionsOf(parts, ends, disk)),
    generation: { after: seed },
    snapshot: { state: grown, pages } as MachineSnapshotSource,
    codeCacheBytes: DECODED_BYTES,
    jit: parts.isCompiled && { keep: parts.units, codeBytes: COMPILED_BYTES },
    ...(parts.isForked && { forks: FORKS }),
  }
  return recording?.record(options) ?? plain((await createMachine(options)) as unknown as ForkedMachine)
}

async function cloneOf({ machine }: MadeGuest, parts: ClusterGuestParts, ends: Ends): Promise<MadeGuest> {
  const { virtio, drives } = await optionsOf(parts, ends, parts.disk)
  return plain(await machine.fork({ virtio, ...(drives && { drives }), generation: { after: 'same' } }))
}

/** The host's ends of a guest's devices. */
class Ends {
  readonly card: Card
  readonly #jobs = new SentPort()
  /** Text for the guest, which enters it by the timer: at an instant of its own time. */
  #waiting: string
  #timer: { armAfter(ns: number): void } | undefined
  /** The clock of the guest that has these. */
  now: () => number = () => 0
  readonly #lines: Readonly<Record<'status' | 'stdout' | 'stderr' | 'report', LinePort>>
  readonly ports: ExecEnds['ports']

  /** @param waiting - text for the guest */
  constructor(card: Card, { line, report, ended }: GuestListener, waiting = '') {
    this.card = card
    this.#waiting = waiting
    const texts = (hear: (ns: number, text: string) => void) =>
      new LinePort((bytes) => hear(this.now(), Buffer.from(bytes, 'latin1').toString()), MOST_LINE)
    const status = texts((ns, told) => {
      const [, name, code] = /^ended (.*) (\d+)$/.exec(told) ?? []
      if (name !== undefined) ended(ns, name, Number(code))
    })
    this.#lines = { status, stdout: texts(line), stderr: texts(line), report: texts(report) }
    this.ports = { ...unused(() => undefined), jobs: this.#jobs, signals: new SentPort(), ...this.#lines }
  }

  /** Names the guest that has these. */
  attach({ machine, time }: MadeGuest): void {
    this.now = () => machine.domain.clock.now()
    this.#timer = time.timer(() => {
      const text = this.#waiting
      this.#waiting = ''
      this.#jobs.say(text)
    })
    if (this.#waiting !== '') this.#timer.armAfter(0)
  }

  /** Tells the guest something. */
  say(text: string): void {
    this.#waiting += text
    this.#timer!.armAfter(0)
  }

  /** The ends of a clone of the guest. */
  copy(listener: GuestListener): Ends {
    const copy = new Ends(this.card.copy(), listener, this.#waiting)
    copyBegun(this.#lines, copy.#lines)
    return copy
  }
}

/** Lines that have begun go on in a clone. */
export function copyBegun<T extends Readonly<Record<string, LinePort>>>(from: T, to: T): void {
  for (const [name, port] of Object.entries(from)) to[name]!.begun = port.begun
}

const optionsOf = (
  { kind, outside }: ClusterGuestParts,
  { ports, card }: Ends,
  disk: Disk | undefined,
): Promise<MachineOptions> =>
  execOptions({ ...keptKind(kind), memoryBytes: runBytes(kind) }, { ports, ...outside, network: card, disk })

/** A machine that is not recorded. */
export const plain = (machine: ForkedMachine): MadeGuest => ({
  machine,
  time: timeOf(machine),
  close: () => machine.close(),
})

/** @param before - the instructions that its original had retired */
function guestOf(made: MadeGuest, parts: ClusterGuestParts, ends: Ends, before = 0): ClusterGuest {
  const own = ownFiles(parts)
  const machine = conducted(made.machine, ends.card, made.time, before > 0)
  ends.attach(made)
  const retired = (): number => before + made.machine.domain.instructions
  return {
    ...machine,
    async start(name, words) {
      const program = await parts.read(words)
      // The root may lack a file of users.
      const files = Object.entries(program.files).filter(([path]) => !(path in own))
      ends.say(encodeFiles(Object.fromEntries(files)) + encodeProgram(name, program, TOGETHER))
    },
    disturb: (kind, amount) => ends.say(disturbance(kind, amount, parts.machine)),
    turnClock: (ns) => ends.say(clockTurn(ns, parts.machine)),
    async fork(listener, copy) {
      const disk = copy as Disk | undefined
      const others = ends.copy(listener)
      const clone = await cloneOf(made, { ...parts, disk }, others)
      disk?.attach(clone.machine.domain.clock, clone.time)
      return guestOf(clone, parts, others, retired())
    },
    digest: () => Promise.resolve(`${retired()} instructions, RAM ${sumOf(made.machine, runBytes(parts.kind))}`),
    close: () => made.close(),
  }
}

/** RAM is read in pieces of this size: none lies partly elsewhere. */
const PIECE_BYTES = 1 << 16
/** RAM of either board begins below this address. */
const RAM_BEGIN = 0x4000_0000

/** A checksum of RAM. */
export function sumOf({ domain }: ForkedMachine, bytes: number): string {
  const piece = new Uint8Array(PIECE_BYTES)
  let sum = 0
  for (let at = 0; at < RAM_BEGIN + bytes; at += PIECE_BYTES)
    if (domain.guestMemory.read(at, piece)) sum = crc32(piece, sum)
  return sum.toString(16)
}

const ownFiles = ({ machines, machine }: ClusterGuestParts): Readonly<Record<string, string>> => ({
  '/etc/hosts': hosts(machines),
  '/etc/hostname': `${machine.name}\n`,
})

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
