// The machines of a case, made, watched and compared.
import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { behindPort, type DeviceModel } from '@retrap/device'
import type { Keyboard, Mouse } from '@retrap/display'
import { type DomainState, saveDomain, type SavedDomain } from '@retrap/hvm'
import * as machines from '@retrap/machine'
import { type ArmReplay, createArmMachine, recordArmMachine, replayArmMachine } from '@retrap/machine/arm'
import { MigrationError } from '@retrap/migration'
import type { MemoryKeeper } from '@retrap/tooling/kept-code'
import { startBoardWorker, startControllerWorker } from '../../../src/machine/devices/device-modules.ts'
import { SessionSnapshots } from '../../../src/machine/snapshots/session-snapshots.ts'
import { openSnapshotFile, readSavedRun } from '@retrap/linux-guest/machine/snapshots/snapshot-file'
import { pageTablesChanged } from '../hostile-firmware.ts'
import { debugBy, moveBy, PLUGGED, PORT } from './acts.ts'
import { type Board, copyOf, type Disk, everyDevice, newDisks } from './boards.ts'
import { cardAt, type CardPlace } from './cards.ts'

/** The part of `Pc` and `ArmMachine` that a case uses. */
export interface Composed extends Pick<machines.Pc, 'debugger' | 'gdbTarget'> {
  readonly domain: {
    readonly clock: { now(): number }
    readonly guestMemory: { read(gpa: number, into: Uint8Array): boolean }
    readonly timers: { create(callback: () => void): { armAfter(ns: number): void } }
    readonly instructions: number
    readonly architecture: { inspect(): { readonly vcpus: unknown } }
  } & SavedDomain<DomainState>
  readonly serial: machines.SerialPort
  readonly keyboard: Keyboard
  readonly mouse: Mouse
  run(options: machines.MachineRunOptions): Promise<machines.MachineExit>
  reset(images: machines.ResetImages): Promise<void>
  powerButton(): Promise<boolean>
  save(options?: machines.MachineSaveOptions): Promise<machines.PcSnapshot>
  restore(snapshot: machines.PcSnapshot, options?: machines.MachineRestoreOptions): Promise<void>
  checkpoint(): Promise<machines.MachineCheckpoint>
  fork(options: object): Promise<Composed>
  statistics(): { readonly instructions: number }
  close(): void
}

/** Where a board's models are; `controllers`: those of disks and networks in a Worker. */
export const PLACEMENTS = ['inline', 'deferred', 'worker', 'controllers'] as const

/** How a machine is made. */
export interface Making {
  readonly board: Board
  readonly cpus: number
  readonly placement: (typeof PLACEMENTS)[number]
  readonly jit: boolean
  /** Firmware of a PC, kernel of an Arm board. */
  readonly image: Uint8Array
  /** It has devices whose doings are the host's. */
  readonly hostModels: boolean
  readonly card: CardPlace
  /** It starts again where its guest resets it, by a triple fault too. */
  readonly restarts: boolean
  /** A PC's guest has page tables. */
  readonly pages: boolean
  /** Its memory has room for clones: frames are counted, and given back one by one. */
  readonly forks: boolean
  /** Has the code that is compiled; undefined: none is kept. */
  readonly keep: MemoryKeeper | undefined
}

const MIB = 1 << 20
const TIMEOUT_MS = 120_000
/** Inputs of the I/O APIC; 2 is the cascade's. */
const INPUTS = Array.from({ length: 24 }, (_, irq) => irq).filter((irq) => irq !== 2)
const REFUSED_AFTER_PLUG = `root port '${PORT}' has another device than its options say`
/** A unit is compiled as soon as it can be. */
const EAGER = { threshold: 50, watch: 0 }

/** Stops a machine at instants that are timers of a model: a recorded run, and that which runs it again, have them both. */
export class Stops {
  readonly model: DeviceModel
  #until = Infinity
  #stop = new AbortController()

  /** @param instants - in order */
  constructor(instants: readonly number[]) {
    let passed = 0
    let arm = (): void => undefined
    this.model = {
      ...{ name: 'stops', deterministic: true },
      attach: (context) => {
        const next = context.timer(() => {
          if (instants[passed++]! >= this.#until) this.#stop.abort()
          arm()
        })
        arm = () => {
          if (passed < instants.length) next.arm(instants[passed]!)
          else next.cancel()
        }
        arm()
      },
      save: () => ({ version: 1, passed }),
      restore: (state) => {
        passed = (state as { passed: number }).passed
        arm()
      },
    }
  }

  /** @returns aborts at the next instant that is not before */
  from(ns: number): AbortSignal {
    this.#until = ns
    this.#stop = new AbortController()
    return this.#stop.signal
  }
}

/** @returns aborts at an instant, by a timer that the machine has for it */
function stopAt({ domain }: Composed, ns: number): AbortSignal {
  const stop = new AbortController()
  domain.timers.create(() => stop.abort()).armAfter(Math.max(0, ns - domain.clock.now()))
  return stop.signal
}

/** A machine with its disks, and what it has shown. */
export class Subject {
  readonly machine: Composed
  readonly #making: Making
  /** None of a clone, whose disks are its own. */
  readonly #disks: readonly Disk[]
  /** Where a machine stops that is recorded. */
  readonly #stops: Stops | undefined
  #printed = ''
  /** The instant of the last stop between two rounds: acts until then need no run. A machine elsewhere may be within a round. */
  #reached = 0
  /** Machines that were stopped where an instruction waits for a device. */
  static waited = 0
  /** Resets of all machines by their guests. */
  static resets = 0
  /** The disk that may be plugged in, of a clone, too. */
  readonly #spare: Disk
  /** The device that was plugged in last. */
  #plugged: string | undefined
  /** How its guest has ended it; undefined: it can go on. */
  exit: machines.MachineExit | undefined
  /** Whether its user has paused it: it does not run. */
  isPaused = false

  private constructor(machine: Composed, making: Making, disks: readonly Disk[], before?: Subject, stops?: Stops) {
    this.machine = machine
    this.#making = making
    this.#disks = disks
    this.#stops = stops
    this.#spare = disks.at(-1) ?? copyOf(before!.#spare)
    if (before !== undefined)
      [this.#printed, this.#plugged, this.#reached] = [before.#printed, before.#plugged, before.#reached]
    machine.serial.onTransmit((bytes) => (this.#printed += Buffer.from(bytes).toString('latin1')))
  }

  static async make(making: Making, stops?: Stops): Promise<Subject> {
    const disks = newDisks()
    return new Subject(await create(making, disks, undefined, undefined, stops), making, disks, undefined, stops)
  }

  /** A machine that goes on from a snapshot, with disks as they come. */
  static async goingOn(making: Making, snapshot: machines.PcSnapshot): Promise<Subject> {
    const disks = newDisks()
    return new Subject(await create(making, disks, snapshot), making, disks)
  }

  static async record(making: Making, checkpointMs: number, write: (piece: Uint8Array) => void, stops: Stops) {
    const disks = newDisks()
    const options = optionsOf(making, disks, undefined, stops)
    const recorder = making.board.arm
      ? await recordArmMachine({ ...options, kernel: making.image }, write, { checkpointMs })
      : await machines.recordPc({ ...options, firmware: making.image }, write, { checkpointMs })
    const machine = recorder.machine as unknown as Composed
    return { recorder, subject: new Subject(machine, making, disks, undefined, stops) }
  }

  get now(): number {
    return this.machine.domain.clock.now()
  }

  /** Runs up to an instant, unless its guest ends it before. @param stop - stops it earlier */
  async runUntil(ns: number, stop?: AbortSignal): Promise<void> {
    if (this.exit !== undefined || this.isPaused || ns <= this.#reached) return
    const instant = this.#stops?.from(ns) ?? stopAt(this.machine, ns)
    const signal = stop === undefined ? instant : AbortSignal.any([instant, stop])
    const exit = await this.machine.run({ signal, timeoutMs: TIMEOUT_MS })
    if (exit.reason !== 'stopped') this.exit = exit
    if (instant.aborted) this.#reached = this.now
  }

  /** Runs until an instruction waits for a device, for the `count`th time; at most up to an instant. */
  async runUntilWaiting(count: number, ns: number): Promise<void> {
    const { domain } = this.machine
    const stop = new AbortController()
    let left = count
    domain.watchTurns({ begin() {}, end: ({ cpu }) => void (cpu.busy && --left === 0 && stop.abort()) })
    await this.runUntil(ns, stop.signal)
    domain.watchTurns(null)
    if (domain.isBusy) Subject.waited++
  }

  /** Presses the reset button. */
  async reset(): Promise<void> {
    if (this.exit === undefined) await this.machine.reset(imagesOf(this.#making))
  }

  /** Ends the machine, as a device of its guest's does. */
  async end(): Promise<void> {
    this.machine.domain.stop({ reason: 'power-off' })
    this.exit = await this.machine.run({ timeoutMs: TIMEOUT_MS })
  }

  /** Whether a clone needs nothing but its memory. */
  get #canFork(): boolean {
    return this.#making.forks && this.#making.card !== 'here'
  }

  /** Whether everything that needs a machine that goes on is refused by a sentence. @returns what is not */
  async refusesAll(): Promise<string | undefined> {
    const { machine } = this
    const verbs = { save: () => machine.save(), fork: () => machine.fork({}), checkpoint: () => machine.checkpoint() }
    for (const [verb, act] of Object.entries(verbs)) {
      if (refusedTo(verb as machines.MachineVerb, this.#making) !== undefined || (verb === 'fork' && !this.#canFork))
        continue
      const why = await act().then(
        () => 'it is done',
        (error: unknown) => String(error),
      )
      // A device that was plugged in stands in the way of a fork, too.
      const isPlugged = verb === 'fork' && this.#plugged !== undefined && why.includes(REFUSED_AFTER_PLUG)
      if (why !== 'MachineError: the machine has ended' && !isPlugged)
        return `${verb} of a machine that has ended: ${why}`
    }
    return undefined
  }

  /** Another machine goes on from here, with the same disks; a clone's are out of reach. */
  async movedOn(): Promise<Subject> {
    if (this.#disks.length === 0) return this
    if (this.isPaused) return this.#restored()
    const snapshot = structuredClone(await this.machine.save())
    this.machine.close()
    return this.#elsewhere(snapshot)
  }

  /** Another machine goes on from a file, as of `savevm` and `retrap restore`. */
  async #restored(): Promise<Subject> {
    const path = join(tmpdir(), `compose-${process.pid}-${performance.now()}.snapshot`)
    const snapshots = new SessionSnapshots(
      { arguments: [] },
      [],
      () => {},
      undefined,
      () => this.isPaused,
    )
    try {
      await snapshots.save(this.#pc, path)
      this.machine.close()
      const there = await this.#elsewhere((await openSnapshotFile(path)) as never)
      there.isPaused = (await readSavedRun(path)).isPaused === true
      return there
    } finally {
      rmSync(path, { force: true })
    }
  }

  async #elsewhere(snapshot: machines.PcSnapshot): Promise<Subject> {
    const plugged = this.#pc.domain.devices.isOccupied(PORT) ? this.#plugged : undefined
    const machine = await create(this.#making, this.#disks, snapshot, plugged)
    return new Subject(machine, this.#making, this.#disks, this)
  }

  /** A clone; itself, where it must not have one, as it has a device that was plugged in. */
  async forked(): Promise<Subject> {
    const { card, board } = this.#making
    const { domain } = this.machine
    // The machine may go on before its clone is there.
    const rest = domain.rest.bind(domain)
    let [printed, reached] = ['', this.#reached]
    domain.rest = async (deadlineMs) => {
      const resting = await rest(deadlineMs)
      ;[printed, reached] = [this.#printed, this.#reached]
      return resting
    }
    try {
      const machine = await this.machine.fork(card === 'here' ? cardAt(card, board.arm) : {})
      const clone = new Subject(machine, this.#making, [], this)
      clone.#printed = printed
      clone.#reached = reached
      clone.isPaused = this.isPaused
      return clone
    } catch (error) {
      if (this.#plugged !== undefined && String(error).includes(REFUSED_AFTER_PLUG)) return this
      throw error
    } finally {
      domain.rest = rest
    }
  }

  get #pc(): machines.Pc {
    return this.machine as unknown as machines.Pc
  }

  /** Another machine goes on from here or later: it is moved while it runs. @param step - how far it runs for each piece sent */
  async migrated(step: number, until: number, downtimeMs: number): Promise<Subject> {
    if (this.#disks.length === 0) return this
    const goOn = (): Promise<void> => this.runUntil(Math.min(until, this.now + step))
    try {
      const source = { domain: this.#pc.domain, save: this.#pc.save.bind(this.#pc), isPaused: () => this.isPaused }
      const make = (snapshot: machines.PcSnapshot): Promise<Subject> => this.#elsewhere(structuredClone(snapshot))
      const { moved, isPaused } = await moveBy(source, downtimeMs, goOn, make)
      this.machine.close()
      moved.isPaused = isPaused
      return moved
    } catch (error) {
      const isGivenUp = error instanceof MigrationError && error.code === 'ERR_DOWNTIME'
      if (this.exit === undefined && !isGivenUp) throw error
      return this
    }
  }

  /** Plugs a device into the root port, unless it has one. */
  async plug(name: string): Promise<void> {
    // No two models have one name.
    if (name === 'adder' && this.#making.card !== 'none') return
    if (this.#pc.domain.devices.isOccupied(PORT)) return
    await this.#pc.plug(PLUGGED[name]!(PORT, this.#spare))
    this.#plugged = name
  }

  /** Asks the guest for the device of the root port, or takes it. */
  async unplug(force: boolean): Promise<void> {
    if (!this.#pc.domain.devices.isOccupied(PORT)) return
    const out = this.#pc.unplug(PORT, { force, deadlineMs: force ? TIMEOUT_MS : Infinity })
    if (force) await out
    // The guest may take for ever.
    else out.catch(() => undefined)
  }

  /** A debugger's client writes, where no instruction waits for a device any more. */
  async debugged(packets: readonly string[]): Promise<void> {
    await this.machine.save()
    await debugBy(this.machine, packets)
  }

  /** Does something, and goes back to before. @param back - gets the instant, and returns how to go there */
  async excursion(
    back: () => Promise<(options: machines.MachineRestoreOptions) => Promise<void>>,
    action: () => Promise<void>,
    times: number,
  ): Promise<void> {
    const goBack = await back()
    const disks = [...new Set([...this.#disks, this.#spare])]
    const [printed, reached, bytes] = [this.#printed, this.#reached, disks.map((disk) => disk.bytes.slice())]
    const atRest = (): void => disks.forEach((disk, i) => (disk.bytes = bytes[i]!.slice()))
    for (let i = 0; i < times; i++) {
      await action()
      await goBack({ atRest })
      this.#printed = printed
      this.#reached = reached
      this.exit = undefined
    }
  }

  /** Whether its translations may be older than its page tables. */
  get mayBeStale(): boolean {
    const { image, pages } = this.#making
    const { guestMemory } = this.machine.domain
    return pages && pageTablesChanged(image, (gpa, into) => guestMemory.read(gpa, into))
  }

  /** A look at it where it is, by which nothing goes on. */
  glance(): string[] {
    return glance(this.machine, this.#making.board)
  }

  /** All that can be seen of it: lines. */
  async seen(): Promise<string[]> {
    const saved = this.exit === undefined ? await this.machine.save() : undefined
    // A disk that was plugged in is among the options of a machine that goes on elsewhere.
    const machine = { ...saved?.state.machine, media: undefined, plugged: undefined }
    return [
      `exit: ${textOf(this.exit)}`,
      `printed: ${JSON.stringify(this.#printed)}`,
      ...(saved === undefined ? [] : textOf({ ...saved.state, domain: undefined, machine }).split('\n')),
      ...(await linesOf(this.machine, saved, this.#stops !== undefined && hasRecordedModels(this.#making))),
    ]
  }
}

/**
 * The state of a machine's domain, and its RAM.
 *
 * @param saved - undefined: the machine has ended
 * @param areRecorded - a domain alone does not save models that are recorded: the devices of a machine that has ended are left out
 */
async function linesOf(
  { domain }: Composed,
  saved: machines.PcSnapshot | undefined,
  areRecorded: boolean,
): Promise<string[]> {
  const whole = saved === undefined ? await saveDomain(domain, 10_000) : { ...saved, state: saved.state.domain }
  const { pages } = whole
  const state = saved === undefined && areRecorded ? { ...whole.state, devices: undefined } : whole.state
  const frames = [...pages.gfns].map((gfn, i) => `${gfn}: ${digest(pages.bytes.subarray(4096 * i, 4096 * (i + 1)))}`)
  // No state has the levels that models drive; the controllers' are in theirs.
  const wires = 'interrupts' in domain ? (domain as machines.Pc['domain']).interrupts : undefined
  const asserted = INPUTS.filter((irq) => wires?.asserted(irq))
  return [...textOf(state).split('\n'), ...frames, `asserted: ${asserted.join(' ')}`]
}

/** The time, instructions, vCPUs and RAM of a machine that is stopped somewhere: nothing of it goes on for this look. */
function glance({ domain }: Composed, { arm }: Board): string[] {
  const { clock, instructions, architecture, guestMemory } = domain
  const bytes = new Uint8Array(4 * MIB)
  guestMemory.read(arm ? 0x4000_0000 : 0, bytes)
  const ram = Array.from(
    { length: bytes.length / 4096 },
    (_, i) => `page ${i.toString(16)}: ${digest(bytes.subarray(4096 * i, 4096 * (i + 1)))}`,
  )
  return [
    `${clock.now()} ns`,
    `${instructions} instructions`,
    ...textOf(architecture.inspect().vcpus).split('\n'),
    ...ram,
  ]
}

/** A run that was recorded. */
export interface Recorded {
  readonly subject: Subject
  /** Where it stopped. */
  readonly stops: readonly number[]
  /** How its guest had ended it at the glance; undefined: it went on after that, to an end of its own perhaps. */
  readonly exit: machines.MachineExit | undefined
  /** The instant of the glance. */
  readonly ns: number
  /** A glance at it at an instant before its end. */
  readonly at: readonly string[]
  /** All that is seen of it there, when nothing is under way any more; undefined where it cannot be saved. */
  readonly rest: readonly string[] | undefined
  /** Instructions until then. */
  readonly instructions: number
  readonly bytes: Uint8Array
}

/** @returns undefined where a device is at work, which a recorded machine is not waited for */
const seenAtRest = (subject: Subject): Promise<string[] | undefined> =>
  subject.seen().catch((error: unknown) => {
    if (String(error).includes('try again soon')) return undefined
    throw error
  })

/** Records a run. @param stops - instants, in order; it is looked at where it stops at the last but one */
export async function recorded(
  making: Making,
  checkpointMs: number,
  stops: readonly number[],
  drive: (subject: Subject) => Promise<void>,
): Promise<Recorded> {
  const pieces: Uint8Array[] = []
  const write = (piece: Uint8Array): void => void pieces.push(piece.slice())
  const { recorder, subject } = await Subject.record(making, checkpointMs, write, new Stops(stops))
  await drive(subject)
  const [at, { instructions }, ns, { exit }] = [subject.glance(), recorder, subject.now, subject]
  const rest = refusedTo('save', making, 'recorded') === undefined ? await seenAtRest(subject) : undefined
  await subject.runUntil(stops.at(-1)!)
  await recorder.end()
  return { subject, stops, exit, ns, at, rest, instructions, bytes: new Uint8Array(Buffer.concat(pieces)) }
}

/**
 * Runs a recording again: once straight on, and once from place to place by its checkpoints.
 *
 * @param parts - places before the instant of `Recorded.at`, as parts of the way there
 * @returns the difference, if there is one
 */
export async function replayed(
  making: Making,
  { bytes, at, instructions, ...run }: Recorded,
  parts: readonly number[],
): Promise<string | undefined> {
  const source = { bytes: bytes.length, read: (from: number, count: number) => bytes.subarray(from, from + count) }
  const open = (checkpointMs?: number, stops = new Stops(run.stops)) => {
    const options = optionsOf(making, newDisks(), undefined, stops)
    return making.board.arm
      ? replayArmMachine({ ...options, kernel: making.image }, source, { checkpointMs })
      : machines.replayPc({ ...options, firmware: making.image }, source, { checkpointMs })
  }
  const places = parts.map((part) => Math.floor(part * instructions)).sort((a, b) => a - b)
  const stops = new Stops(run.stops)
  const straight = await open(Infinity, stops)
  const seen = new Map<number, readonly string[]>()
  try {
    for (const place of places) {
      const exit = await straight.goto(place)
      if (exit.reason !== 'arrived' || straight.instructions !== place)
        return `on the way to ${place}: ${JSON.stringify(exit)}`
      seen.set(place, glance(machineOf(straight), making.board))
    }
    const ns = run.stops.at(-2)!
    const { domain } = machineOf(straight)
    const exit = await straight.run({ signal: stops.from(ns), timeoutMs: TIMEOUT_MS })
    // A stop comes before or after the answer that an instruction waits for at that instant.
    if (exit.reason === 'stopped' && straight.instructions !== instructions) await straight.goto(instructions)
    // A guest that waits executes nothing more: a replay ends with the last instruction, or stops before time has gone on.
    const isEarly = exit.reason === 'stopped' && domain.clock.now() < run.ns
    const first = (isEarly || exit.reason === 'end-of-recording') && straight.instructions === instructions ? 1 : 0
    if (first === 0 && exit.reason !== (run.exit?.reason ?? 'stopped')) return `at ${ns} ns: ${JSON.stringify(exit)}`
    // Nor has a HLT that is the last one its effect yet, nor an exception that has shut a PC down, nor has a device written
    // what it was asked for.
    const later = run.exit === undefined ? /"activity"|^page / : /"activity"|"cr2"|^page /
    const there = (lines: readonly string[]): readonly string[] =>
      first === 0 ? lines : lines.slice(first).filter((line) => !later.test(line))
    const found = glance(machineOf(straight), making.board)
    // Exceptions after the last instruction, up to a HLT or a shutdown, are in no replay, nor is part of a repeated one.
    const place = (lines: readonly string[]): string =>
      lines.filter((line) => /"(rip|rsp|repeating|pc|sp|elr_el1)"/.test(line)).join()
    const isOver = first === 1 && place(at) !== place(found)
    const how = isOver ? undefined : differenceOf(there(at), there(found))
    if (how !== undefined) return how
  } finally {
    straight.close()
  }
  const other = await open()
  try {
    for (const place of places.toReversed()) {
      const exit = await other.goto(place)
      if (exit.reason !== 'arrived') return `back to ${place}: ${JSON.stringify(exit)}`
      const how = differenceOf(seen.get(place)!, glance(machineOf(other), making.board))
      if (how !== undefined) return `back at ${place}: ${how}`
    }
    return undefined
  } finally {
    other.close()
  }
}

const machineOf = (replay: ArmReplay | machines.PcReplay): Composed => replay.machine as unknown as Composed

/** JSON, with bytes as digests and names in order: a device that was plugged in is the last, and another one elsewhere. */
export function textOf(data: unknown): string {
  const plain = (key: string, value: unknown): unknown => {
    // A stop of ours is a timer, which has moved the round.
    if (key === 'moved') return undefined
    if (typeof value === 'bigint') return `${value}n`
    if (value instanceof Uint8Array) return digest(value)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)))
  }
  return JSON.stringify(data, plain, 1) ?? 'none'
}

const digest = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex')

/** Why a machine is refused something; undefined: it is not. */
export function refusedTo(
  verb: machines.MachineVerb,
  making: Omit<Making, 'image' | 'pages' | 'forks'>,
  run: machines.MachineRun = 'plain',
): string | undefined {
  return machines.refusalOf(verb, traitsOf(making, run))
}

function traitsOf(
  making: Omit<Making, 'image' | 'pages' | 'forks'>,
  run: machines.MachineRun,
): ReturnType<typeof machines.traitsOf> {
  const { jit: _, ...options } = optionsOf(making, newDisks())
  return machines.traitsOf({ ...options, ...(making.board.arm && { machine: 'virt' }) }, run)
}

const hasRecordedModels = (making: Making): boolean => traitsOf(making, 'recorded').has('recorded-models')

/** The options of a machine, but for what it starts. */
/** A machine that goes on from a snapshot has no kernel, which it starts after a reset. */
const imagesOf = ({ board, image }: Pick<Making, 'board'> & { readonly image?: Uint8Array }): machines.ResetImages =>
  board.arm && image !== undefined ? { kernel: image } : {}

function optionsOf(
  making: Omit<Making, 'image' | 'pages' | 'forks'> & { readonly image?: Uint8Array },
  disks: readonly Disk[],
  plugged?: string,
  stops?: Stops,
) {
  const { board, cpus, placement, jit, hostModels, card, keep, restarts } = making
  const onReset = (): machines.ResetImages => {
    Subject.resets++
    return imagesOf(making)
  }
  const { devices = [], ...cards } = cardAt(card, board.arm)
  return withPlugged(plugged, disks, {
    ...{ memoryBytes: 4 * MIB, codeCacheBytes: 2 * MIB, cpus, clock: 'deterministic' as const },
    ...board.options,
    ...(restarts && { onReset, tripleFault: 'reset' as const }),
    ...everyDevice(board, disks, hostModels),
    ...cards,
    devices: [...devices, ...(stops ? [stops.model] : [])],
    jit: jit && { ...EAGER, ...(keep && { keep }) },
    devicePlacement: placement === 'worker' ? startBoardWorker : placement === 'controllers' ? 'inline' : placement,
    ...(placement === 'controllers' && { controllerPlacement: startControllerWorker }),
  })
}

/** The options of a machine that has a device that was plugged in. */
function withPlugged<T extends object>(name: string | undefined, disks: readonly Disk[], options: T): T {
  if (name === undefined) return options
  const { virtio, drives, networkCards, sound, devices, usb } = options as Partial<machines.PcOptions>
  const plugged = PLUGGED[name]!(PORT, disks.at(-1)!)
  if ('device' in plugged) return { ...options, devices: [...(devices ?? []), behindPort(plugged.device, PORT)] }
  if ('virtio' in plugged) return { ...options, virtio: [...(virtio ?? []), plugged.virtio] }
  if ('drive' in plugged) return { ...options, drives: [...(drives ?? []), plugged.drive] }
  if ('sound' in plugged) return { ...options, sound: [...(sound ?? []), plugged.sound] }
  if ('usb' in plugged) return { ...options, usb: [usb ?? [], plugged.usb].flat() }
  return { ...options, networkCards: [...(networkCards ?? []), plugged.networkCard] }
}

/** @param snapshot - that it goes on from; default: it is powered on */
async function create(
  making: Making,
  disks: readonly Disk[],
  snapshot?: machines.PcSnapshot,
  plugged?: string,
  stops?: Stops,
): Promise<Composed> {
  const options = {
    ...optionsOf(making, disks, plugged, stops),
    ...(making.forks && { forks: { clones: 4, writtenBytes: 8 * MIB } }),
    ...(snapshot && { snapshot }),
  }
  const machine: unknown = making.board.arm
    ? await createArmMachine({ ...(options as object), memoryBytes: options.memoryBytes, kernel: making.image })
    : await machines.createPc({ ...options, firmware: making.image })
  return machine as Composed
}

/** The first lines of two texts that differ. @returns undefined for none */
export function differenceOf(expected: readonly string[], found: readonly string[]): string | undefined {
  const lines: string[] = []
  for (let i = 0; i < Math.max(expected.length, found.length) && lines.length < 12; i++) {
    if (expected[i] !== found[i]) lines.push(`line ${i}: ${found[i]?.trim()}, undisturbed: ${expected[i]?.trim()}`)
  }
  return lines.length === 0 ? undefined : lines.join('\n')
}
