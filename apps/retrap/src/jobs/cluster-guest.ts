/** A machine of a cluster, on deterministic time, whatever system it runs. */
import { crc32 } from 'node:zlib'
import {
  Card,
  type ClusterGuest,
  simulated,
  type Disk,
  type GuestListener,
  type MachineStart,
  type PlacedMachine,
} from '@retrap/cluster'
import type { PcForkOptions } from '@retrap/machine'
import type { MachineOptions } from '@retrap/linux-guest/machine/machine-contract'
import type { UnitCache } from '@retrap/linux-guest/machine/unit-cache/unit-cache'
import { createMachine } from '@retrap/linux-guest/jobs/guest'
import { type GuestOriginals, plain } from './guest-originals.ts'
import { disturbance, killing } from './guest-faults.ts'
import { type LinePort, SentPort } from '@retrap/linux-guest/jobs/ports'
import type { ForkedMachine, GuestRecording, MadeGuest } from './recordings.ts'

/** The wall-clock time at which each cluster begins: 2026-01-01, in seconds from 1970. */
export const EPOCH_SECONDS = 1_767_225_600

/** How machines run, which changes nothing for their guests. */
export interface MachineSettings {
  /** Machines are forked, for which they need room. */
  readonly isForked: boolean
  /** Hot code is compiled. */
  readonly isCompiled: boolean
}

/** The parts of a cluster's machine, whatever system it runs. */
export interface GuestParts extends MachineSettings, Pick<MachineStart, 'seed' | 'ns' | 'named'> {
  readonly machine: PlacedMachine
  /** Compiled code, which all machines of the cluster share. */
  readonly units: UnitCache | undefined
  /** The disk of a machine that has one. */
  readonly disk: Disk | undefined
  /** Records the machine; undefined: the machine is not recorded. */
  readonly recording: GuestRecording | undefined
  /** The machine is a clone of one of these; undefined: the machine is made. */
  readonly originals: GuestOriginals | undefined
}

/** Ports that hear the lines of a guest, by name. */
export type GuestLines = Readonly<Record<string, LinePort>>

/** The system of a machine: a Linux for jobs, or the system that a machine's own file describes. */
export interface GuestSystem<Lines extends GuestLines> {
  /** Size of RAM in bytes. */
  readonly memoryBytes: number
  fill(disk: Disk): Promise<void>
  /** Makes the ports. @param now - reads the machine's clock, in nanoseconds */
  lines(now: () => number, listener: GuestListener): Lines
  /** Options of a machine at its first instant. */
  options(ends: GuestEnds<Lines>, disk: Disk | undefined): Promise<MachineOptions>
  devices(ends: GuestEnds<Lines>, disk: Disk | undefined): Promise<PcForkOptions>
  /** Connects a port that belongs to no virtio device. */
  connect?(machine: ForkedMachine, lines: Lines): void
  /** Text for the guest's first instant; empty for a guest without a shell. */
  readonly preparation: string
  /** Returns the text by which the guest's resolver gets names. */
  names?(named: readonly number[]): string
  /** Moves the guest's wall clock, forward or back. */
  turnClock(ns: number, made: MadeGuest, ends: GuestEnds<Lines>): void
  /** Returns the text by which the guest's shell starts a program. @param of - see `ClusterGuest.start` */
  start(...given: Parameters<ClusterGuest['start']>): Promise<string>
  /** Returns the text by which the shell mounts the disk, or unmounts it. Absent: there is no shell. */
  mount?(isMounted: boolean): string
  /** Returns the text by which the shell of a container gets a text. Absent: nothing shares the guest. */
  told?(text: string, of?: number): string
}

const MIB = 2 ** 20
/** Most clones of a guest, and the memory that each has for pages which it writes. */
const CLONES = 24
const [LEAST_WRITTEN, MOST_WRITTEN] = [16 * MIB, 96 * MIB]
/** A guest and its clones are in a memory of WebAssembly with 32 bits, with a part for the hypervisor. */
const FAMILY_BYTES = 4096 * MIB
const HYPERVISOR_BYTES = 32 * MIB
/** Memory of a clone beside its pages: screen, ROM and tables, and that of each processor. */
const CLONE_BYTES = 24 * MIB
const PROCESSOR_BYTES = 4 * MIB

/** Room for the clones of a guest: states of a cluster that are gone on from. Pages that one clone does not write are left for the others. */
export function forksOf(memoryBytes: number, cpus: number): NonNullable<MachineOptions['forks']> {
  const beside = CLONE_BYTES + cpus * PROCESSOR_BYTES + memoryBytes / 512
  const room = (FAMILY_BYTES - DECODED_BYTES - COMPILED_BYTES - HYPERVISOR_BYTES - 1.01 * memoryBytes) / 1.004
  const clones = Math.max(1, Math.min(CLONES, Math.floor((room - LEAST_WRITTEN) / (beside + LEAST_WRITTEN))))
  const written = (room - clones * beside) / (clones + 1)
  return { clones, writtenBytes: Math.max(LEAST_WRITTEN, Math.min(MOST_WRITTEN, roundedDown(written))) }
}

const roundedDown = (bytes: number): number => bytes - (bytes % (2 * MIB))

/**
 * Room for decoded instructions, and for compiled code: of a server, a client's language and a kernel at once. Measured with etcd: with a
 * PC's usual room, all was decoded anew twice in six seconds, and code was dropped that was in use.
 */
export const DECODED_BYTES: number = 128 << 20
const COMPILED_BYTES = 16 << 20

/** Makes a guest, at rest at its first instant. @throws errors of a machine that cannot be made */
export async function makeGuest<Lines extends GuestLines>(
  parts: GuestParts,
  system: GuestSystem<Lines>,
  listener: GuestListener,
): Promise<ClusterGuest> {
  const { disk, recording, originals } = parts
  if (disk?.isBlank === true) await system.fill(disk)
  const ends = new GuestEnds(system, listener)
  const make = async (original?: Partial<MachineOptions>): Promise<MadeGuest> => {
    const own = original === undefined ? { ends, disk } : { ends: new GuestEnds(system, NOBODY), disk: disk?.copy() }
    const options: MachineOptions = {
      ...(await system.options(own.ends, own.disk)),
      codeCacheBytes: DECODED_BYTES,
      jit: parts.isCompiled && { ...(parts.units && { keep: parts.units }), codeBytes: COMPILED_BYTES },
      ...(parts.isForked && { forks: forksOf(system.memoryBytes, parts.machine.cpus) }),
      ...original,
    }
    return recording?.record(options) ?? plain((await createMachine(options)) as unknown as ForkedMachine)
  }
  const devices = async (): Promise<PcForkOptions> => ({
    ...(await system.devices(ends, disk)),
    generation: { after: parts.seed },
  })
  const made = await (originals?.clone(make, devices) ?? make())
  const guest = guestOf(made, parts.machine, system, ends, disk)
  if (system.preparation !== '') ends.say(system.preparation)
  return guest
}

const nothing = (): void => undefined
/** Hears a guest that is never run. */
const NOBODY: GuestListener = { line: nothing, report: nothing, ended: nothing, status: nothing }

/** @param before - the instructions that its original had retired */
function guestOf<Lines extends GuestLines>(
  made: MadeGuest,
  place: PlacedMachine,
  system: GuestSystem<Lines>,
  ends: GuestEnds<Lines>,
  disk: Disk | undefined,
  before = 0,
): ClusterGuest {
  const { machine, time } = made
  const { clock } = machine.domain
  const timed = simulated(machine, ends.card, time, before > 0)
  ends.attach(made)
  disk?.attach(clock, time)
  const retired = (): number => before + machine.domain.instructions
  const tell = (text: string, of?: number): void => ends.say(system.told?.(text, of) ?? text)
  return {
    ...timed,
    start: async (...given) => ends.say(await system.start(...given)),
    // A cluster refuses commands and these faults for a machine without a shell.
    disturb: (kind, amount, of) => tell(disturbance(kind, amount, place), of),
    kill: (name, of) => tell(killing(name), of),
    turnClock: (ns) => system.turnClock(ns, made, ends),
    ...(system.mount && { mount: (isMounted) => ends.say(system.mount!(isMounted)) }),
    ...(system.names && { names: (named) => ends.say(system.names!(named)) }),
    async fork(heard, given) {
      const copy = given as Disk | undefined
      const others = ends.copy(heard)
      const clone = await machine.fork({ ...(await system.devices(others, copy)), generation: { after: 'same' } })
      return guestOf((made.copyOf ?? plain)(clone), place, system, others, copy, retired())
    },
    digest: (isQuick = false) =>
      Promise.resolve(`${retired()} instructions${isQuick ? '' : `, RAM ${sumOf(machine, system.memoryBytes)}`}`),
    watchCode: (note) => watchCode(machine, note && ((page) => note(`${place.arch} ${page}`))),
    room() {
      const { frameCount, frames } = machine.domain.memory
      const left = frames.freeFrames
      return { used: (frameCount - left) * PAGE_BYTES, left: left * PAGE_BYTES }
    },
    close: () => made.close(),
  }
}

/** The host's ends of a guest's devices. */
export class GuestEnds<Lines extends GuestLines> {
  readonly card: Card
  readonly jobs: SentPort
  readonly lines: Lines
  readonly #system: GuestSystem<Lines>
  /** Text for the guest, which enters it by the timer: at an instant of its own time. */
  #waiting: string
  #timer: { armAfter(ns: number): void } | undefined
  #clock: { now(): number } = { now: () => 0 }

  /** @param waiting - text for the guest */
  constructor(
    system: GuestSystem<Lines>,
    listener: GuestListener,
    card: Card = new Card(),
    waiting = '',
    jobs: SentPort = new SentPort(),
  ) {
    this.card = card
    this.jobs = jobs
    this.#system = system
    this.#waiting = waiting
    this.lines = system.lines(() => this.#clock.now(), listener)
  }

  /** Names the guest that has these. */
  attach({ machine, time }: MadeGuest): void {
    this.#clock = machine.domain.clock
    this.#system.connect?.(machine, this.lines)
    this.#timer = time.timer(() => {
      const text = this.#waiting
      this.#waiting = ''
      this.jobs.say(text)
    })
    if (this.#waiting !== '') this.#timer.armAfter(0)
  }

  /** Tells the guest something. */
  say(text: string): void {
    this.#waiting += text
    this.#timer!.armAfter(0)
  }

  /** The ends of a clone of the guest, in which lines that have begun go on. */
  copy(listener: GuestListener): GuestEnds<Lines> {
    const copy = new GuestEnds(this.#system, listener, this.card.copy(), this.#waiting, this.jobs.copy())
    for (const [name, port] of Object.entries(this.lines)) copy.lines[name]!.begun = port.begun
    return copy
  }
}

/** Tells the checksums of the pages of programs' code, each when it is first fetched from. */
function watchCode({ domain }: ForkedMachine, note: ((page: string) => void) | undefined): void {
  const known = new Set<number>()
  const page = new Uint8Array(PAGE_BYTES)
  const fetched = (gpa: number): void => {
    const at = gpa - (gpa % PAGE_BYTES)
    if (known.has(at)) return
    known.add(at)
    if (domain.guestMemory.read(at, page)) note!(crc32(page).toString(16))
  }
  for (const { translation } of domain.vcpus) translation.onProgramFetch = note === undefined ? null : fetched
}

/** RAM is read in pieces of this size: none lies partly elsewhere. */
const PIECE_BYTES = 1 << 16
const PAGE_BYTES = 4096
/** RAM of either board begins below this address. */
const RAM_BEGIN = 0x4000_0000

/** A checksum of RAM. */
function sumOf({ domain }: ForkedMachine, bytes: number): string {
  const piece = new Uint8Array(PIECE_BYTES)
  let sum = 0
  for (let at = 0; at < RAM_BEGIN + bytes; at += PIECE_BYTES)
    if (domain.guestMemory.read(at, piece)) sum = crc32(piece, sum)
  return sum.toString(16)
}
