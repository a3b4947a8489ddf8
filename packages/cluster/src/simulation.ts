import { Instant, type Word64 } from '@retrap/device'
import type { Card } from './card.ts'
import { ClusterError } from './errors.ts'
import { addressedTo, type Delivery, type Links, machineAt, SENDER_AT } from './links.ts'

/** The network of a machine's card, as the simulation uses it. Instants are of the machine's clock, in nanoseconds. */
export interface SimulatedCard extends Pick<Card, 'room' | 'take' | 'deliver'> {
  /** Has all frames in flight to this machine arrive earlier by `ns`. */
  hasten(ns: number): Promise<void> | void
}

/** A machine as the simulation runs it: a logical process. All instants are of its own clock, in nanoseconds. */
export interface SimulatedMachine {
  /** Its place in the network. */
  readonly card: SimulatedCard
  /** The machine runs in another thread, which does one thing after another that machines are told. */
  readonly isElsewhere?: boolean
  /** The present instant. */
  now(): number
  /** The next instant at which it does anything: the present one while a processor executes, Infinity if it waits for the outside. */
  next(): number
  /**
   * Runs until its clock has come to an instant.
   *
   * @param fromNs - until then its clock goes on, and it executes nothing, and begins as a clone would; absent: it executes at once
   * @returns why its guest has ended it; undefined: it can go on
   */
  runTo(ns: number, fromNs?: number): Promise<{ readonly reason: string } | undefined>
}

/** The part of a machine that the simulation needs: of a `Pc` or an `ArmMachine` of `@retrap/machine`, on deterministic time. */
export interface TimedMachine {
  /** Its processors, its clock and its timers. */
  readonly domain: {
    readonly clock: { now(): number; read(into: Word64): void; skipTo(instant: Readonly<Word64>): void }
    readonly timers: {
      readonly nextDeadlineNs: number
      create(callback: () => void): { armAfter(ns: number): void }
    }
    readonly vcpus: readonly { readonly dormant: boolean; mapChanged(): void }[]
    /** Whether an instruction waits for a device. */
    readonly isBusy: boolean
    stop(exit: { readonly reason: 'stopped' }): void
    /** Waits for the answers of the host that are due. */
    settleModels(): Promise<void>
  }
  /** Runs until the guest or `domain.stop` ends it. */
  run(options: object): Promise<{ readonly reason: string }>
}

/** Timers and the clock of a machine, from outside: of its domain, or of the recorder of its run. */
export interface MachineTime {
  /** Makes a timer. */
  timer(callback: () => void): { armAfter(ns: number): void }
  /** Has the clock go on by so much, while the machine stands still; processors have no translations then, as those of a clone. */
  skip(ns: number): void
}

/** The time of a machine that is not recorded. */
export const timeOf = ({ domain }: Pick<TimedMachine, 'domain'>): MachineTime => ({
  timer: (callback) => domain.timers.create(callback),
  skip(ns) {
    const instant = new Instant()
    domain.clock.read(instant)
    domain.clock.skipTo(instant.add(ns))
    for (const vcpu of domain.vcpus) vcpu.mapChanged()
  },
})

/**
 * Makes a machine a logical process of a cluster's simulation.
 *
 * @param card - the network of its card, which it was made with
 * @param hasRun - it is the clone of one that has run: its clock may go on before it executes
 */
export function simulated(
  machine: TimedMachine,
  card: Card,
  time: MachineTime = timeOf(machine),
  hasRun = false,
): SimulatedMachine {
  const { domain } = machine
  const now = (): number => domain.clock.now()
  let hasStopped = hasRun
  const stop = time.timer(() => {
    hasStopped = true
    domain.stop({ reason: 'stopped' })
  })
  card.attach({ now, create: (callback) => time.timer(callback) })
  return {
    card,
    now,
    next: () => (domain.isBusy || domain.vcpus.some(({ dormant }) => !dormant) ? now() : domain.timers.nextDeadlineNs),
    async runTo(ns, fromNs = -1) {
      if (hasStopped && fromNs >= now()) time.skip(fromNs - now())
      stop.armAfter(Math.max(0, ns - now()))
      const exit = await machine.run({})
      // An answer that was due at this instant may have a processor go on: `next` is not to depend on how late the host is.
      if (exit.reason === 'stopped') await domain.settleModels()
      return exit.reason === 'stopped' ? undefined : exit
    },
  }
}

/** The least lookahead that links may have, and the longest window: lines of guests are heard at its end. */
const LEAST_LOOKAHEAD_NS = 50_000
const MOST_WINDOW_NS = 10_000_000

/** A machine, and its place in the cluster's time. */
interface LogicalProcess {
  readonly machine: SimulatedMachine
  /** The difference of the cluster's time and its clock. */
  offsetNs: number
  /** The instant of the cluster at which a machine that stands still goes on; 0 for one that runs. */
  hangsUntil: number
  /** The part of its time in which it executes. */
  speed: number
  /** Clones of the machine were made at this instant, or may be: the machine goes on as its clones do. */
  rests: boolean
}

/** An event of the cluster's time. */
interface ScheduledEvent {
  readonly ns: number
  readonly handle: () => Promise<void> | void
}

/**
 * A conservative discrete-event simulation whose logical processes are machines. A window is as long as the lookahead, the least time of
 * a frame on any link: a frame that a machine sends within one window arrives in a later one, so that machines run through a window in
 * any order, or at once. At the end of a window its frames enter the links, by the instant of their sending and the number of their
 * machine. Nothing depends on how long the host takes. Windows without an event are skipped.
 */
export class Simulation {
  /** The present instant of the cluster, in nanoseconds. */
  now = 0
  readonly #links: Links
  readonly #lookaheadNs: number
  readonly #processes: (LogicalProcess | undefined)[]
  /** By the numbers of machines: that of the machine whose card each has. */
  readonly #cards: readonly number[]
  /** The event list, the earliest event first. */
  readonly #events: ScheduledEvent[] = []
  /** Called with each frame that is sent to a machine, also with those that are lost. */
  onFrame: ((from: number, sentNs: number, delivery: Delivery) => void) | undefined
  /** Called when a machine goes on that has stood still. @param offsetNs - from now on */
  onWake: ((machine: number, machineNs: number, offsetNs: number) => void) | undefined
  /** Called at the end of each window, before the events of that instant. */
  onWindow: (() => Promise<void> | void) | undefined
  /** Called at the end of each window, after the events of that instant. */
  onInstant: (() => Promise<void>) | undefined
  /** Called when a machine's guest has ended it. */
  onEnd: ((machine: number, reason: string) => void) | undefined

  /**
   * @param cards - of machines that share the card of another one: that one's number, and of others their own
   * @throws ClusterError `ERR_CLUSTER` for links of which one is too short
   */
  constructor(links: Links, machines: number, cards: readonly number[] = [...Array(machines).keys()]) {
    this.#links = links
    this.#cards = cards
    this.#processes = Array.from({ length: machines }, () => undefined)
    this.#lookaheadNs = Math.min(links.lookaheadNs, MOST_WINDOW_NS)
    if (this.#lookaheadNs < LEAST_LOOKAHEAD_NS)
      throw new ClusterError(
        'ERR_CLUSTER',
        `network: a frame may arrive after ${this.#lookaheadNs} ns: expected a latency that is at least ${LEAST_LOOKAHEAD_NS / 1000} µs above the jitter`,
      )
  }

  /** Adds a machine under its number. @param offsetNs - of the cluster's time and its clock; default: the clock goes on from now */
  add(number: number, machine: SimulatedMachine, offsetNs: number = this.now - machine.now()): void {
    this.#processes[number] = { machine, offsetNs, hangsUntil: 0, speed: 1, rests: false }
  }

  /** Adds the clone of a machine of another simulation, whose instant is this one's, too. */
  addClone(number: number, machine: SimulatedMachine, original: Simulation): void {
    this.#processes[number] = { ...original.#process(number), machine, rests: false }
  }

  /** Takes a machine out; frames in flight to it are lost. */
  remove(number: number): void {
    this.#processes[number] = undefined
  }

  /** The difference of the cluster's time and a machine's clock. @throws ClusterError `ERR_MACHINE` where the machine is out */
  offsetOf(number: number): number {
    return this.#process(number).offsetNs
  }

  /** All machines come to rest at this instant, at which they may be forked: they go on as their clones do. */
  rest(): void {
    for (const process of this.#processes) if (process !== undefined) process.rests = true
  }

  /** Has a machine stand still for a while, unless it is out: its clock, too. */
  hang(number: number, ns: number): void {
    const process = this.#processes[number]
    if (process !== undefined) process.hangsUntil = Math.max(process.hangsUntil, this.now + ns)
  }

  /** Lets a machine go on that stands still. */
  async wake(number: number): Promise<void> {
    const process = this.#processes[number]
    if (process === undefined || !this.#hangs(process)) return
    process.hangsUntil = this.now
    await this.#wake(number, process, this.now)
  }

  /** Has a machine execute in a part of its time only, unless it is out. @param speed - from 0 to 1 */
  slow(number: number, speed: number): void {
    const process = this.#processes[number]
    if (process !== undefined) process.speed = speed
  }

  /** Schedules an event, at the end of a window. Events of one instant come in the order in which they were scheduled. */
  schedule(ns: number, handle: () => Promise<void> | void): void {
    const before = this.#events.findIndex((one) => one.ns > ns)
    this.#events.splice(before < 0 ? this.#events.length : before, 0, { ns, handle })
  }

  /** Brings a machine's clock to the present instant, for something to happen to it there. */
  async bring(number: number): Promise<void> {
    const process = this.#processes[number]
    if (process !== undefined && !this.#hangs(process)) await this.#runAll([number], this.now)
  }

  /** Runs to an instant, unless it is to stop before. @param stops - asked after each window */
  async runTo(ns: number, stops: () => boolean = () => false): Promise<void> {
    while (this.now < ns && !stops()) {
      const begin = Math.max(this.now, Math.min(ns, this.#next()))
      const end = Math.min(ns, begin + this.#lookaheadNs, Math.max(begin, this.#events[0]?.ns ?? Infinity))
      await this.#window(end)
    }
  }

  /** The instant of the next event: a scheduled one, or one of a machine. */
  #next(): number {
    let first = this.#events[0]?.ns ?? Infinity
    for (const process of this.#processes) {
      if (process === undefined) continue
      const { machine, offsetNs, hangsUntil } = process
      first = Math.min(first, this.#hangs(process) ? hangsUntil : machine.next() + offsetNs)
    }
    return first
  }

  async #window(end: number): Promise<void> {
    const busy: number[] = []
    for (const [number, process] of this.#processes.entries())
      if (process !== undefined && !this.#hangs(process) && process.machine.next() + process.offsetNs < end)
        busy.push(number)
    if (busy.length > 0) await this.#runAll(busy, end)
    this.now = end
    for (const [number, process] of this.#processes.entries())
      if (process !== undefined) await this.#wake(number, process, end)
    this.#send()
    await this.onWindow?.()
    for (let [first] = this.#events; first !== undefined && first.ns <= end; [first] = this.#events) {
      this.#events.shift()
      await first.handle()
    }
    await this.onInstant?.()
  }

  /** Runs machines: those of other threads at once, and those of this one after another. */
  async #runAll(numbers: readonly number[], ns: number): Promise<void> {
    const ends: (readonly [number: number, reason: string])[] = []
    const run = async (number: number): Promise<void> => {
      const process = this.#process(number)
      const { machine, offsetNs, speed, rests } = process
      const until = ns - offsetNs
      const begin = Math.max(machine.now(), Math.min(machine.next(), until))
      const fromNs = speed < 1 ? until - Math.floor((until - begin) * speed) : rests ? machine.now() : undefined
      process.rests = false
      const end = await machine.runTo(until, fromNs)
      if (end !== undefined) ends.push([number, end.reason])
    }
    const isElsewhere = (number: number): boolean => this.#process(number).machine.isElsewhere === true
    const runs = numbers.filter(isElsewhere).map(run)
    const here = async (): Promise<void> => {
      for (const number of numbers) if (!isElsewhere(number)) await run(number)
    }
    runs.push(here())
    // All have come to rest before anything else happens.
    const failed = (await Promise.allSettled(runs)).find((run) => run.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    for (const [number, reason] of ends.toSorted(([one], [other]) => one - other)) {
      this.onEnd?.(number, reason)
      this.remove(number)
    }
  }

  /** Whether a machine stands still. */
  #hangs({ hangsUntil }: LogicalProcess): boolean {
    return hangsUntil > this.now
  }

  /** Lets a machine go on that has stood still until now: that time is none of its own. */
  async #wake(number: number, process: LogicalProcess, now: number): Promise<void> {
    if (process.hangsUntil === 0 || process.hangsUntil > now) return
    process.hangsUntil = 0
    const before = process.offsetNs
    process.offsetNs = now - process.machine.now()
    // Frames that have come meanwhile wait for it.
    await process.machine.card.hasten(process.offsetNs - before)
    this.onWake?.(number, process.machine.now(), process.offsetNs)
  }

  /** Hands frames that machines have sent in the window to the links. */
  #send(): void {
    const sent = this.#processes.flatMap((process, number) => {
      const frames = process?.machine.card.take() ?? []
      return frames.map(({ ns, frame }) => ({ from: this.#senderOf(frame, number), ns: ns + process!.offsetNs, frame }))
    })
    if (sent.length > 1) sent.sort((one, other) => one.ns - other.ns || one.from - other.from)
    for (const one of sent)
      for (const delivery of this.#links.send(one)) {
        this.onFrame?.(one.from, one.ns, delivery)
        const { to, ns, frame } = delivery
        const card = this.#cards[to]!
        const process = this.#processes[card]
        const isShared = this.#cards.some((one, number) => one === card && number !== card)
        if (ns < Infinity)
          process?.machine.card.deliver(ns - process.offsetNs, isShared ? addressedTo(to, frame) : frame)
      }
  }

  /** The sender of a frame that has left a card: of the machines that share it, the one whose address the frame has. */
  #senderOf(frame: Uint8Array, card: number): number {
    const sender = machineAt(frame, SENDER_AT, this.#cards.length)
    return sender !== undefined && this.#cards[sender] === card ? sender : card
  }

  #process(number: number): LogicalProcess {
    const process = this.#processes[number]
    if (process === undefined) throw new ClusterError('ERR_MACHINE', `machine ${number} is not there`)
    return process
  }
}
