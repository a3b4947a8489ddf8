import { Instant, type Word64 } from '@retrap/device'
import type { Card } from './card.ts'
import { ClusterError } from './errors.ts'
import type { Delivery, Links } from './links.ts'

/** The network of a machine's card, as its conductor uses it. Instants are of the machine's clock, in nanoseconds. */
export interface ConductedCard extends Pick<Card, 'room' | 'take' | 'deliver'> {
  /** Has all frames on their way here come earlier by so much. */
  hasten(ns: number): Promise<void> | void
}

/** A machine as its conductor runs it. All instants are of its own clock, in nanoseconds. */
export interface ConductedMachine {
  /** Its place in the network. */
  readonly card: ConductedCard
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

/** The part of a machine that a conductor needs: of a `Pc` or an `ArmMachine` of `@retrap/machine`, on deterministic time. */
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

/** A way into a machine at instants of its own time: that of its domain, or of the recorder of its run. */
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
 * Makes a machine one of a cluster.
 *
 * @param card - the network of its card, which it was made with
 * @param hasRun - it is the clone of one that has run: its clock may go on before it executes
 */
export function conducted(
  machine: TimedMachine,
  card: Card,
  time: MachineTime = timeOf(machine),
  hasRun = false,
): ConductedMachine {
  const { domain } = machine
  const now = (): number => domain.clock.now()
  let hasStopped = hasRun
  const stop = time.timer(() => {
    hasStopped = true
    domain.stop({ reason: 'stopped' })
  })
  card.attach({ now, create: (callback) => time.timer(callback) })
  return {
    ...{ card, now },
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

/** The shortest window, whatever links promise, and the longest: what guests say is heard at its end. */
const LEAST_WINDOW_NS = 50_000
const MOST_WINDOW_NS = 10_000_000

interface Part {
  readonly machine: ConductedMachine
  /** The difference of the cluster's time and its clock. */
  offsetNs: number
  /** The instant of the cluster at which a machine that stands still goes on; 0 for one that runs. */
  hangsUntil: number
  /** The part of its time in which it executes. */
  speed: number
  /** Clones were made of it, or may be made: it goes on as they do. */
  isForked: boolean
}

interface Act {
  readonly ns: number
  readonly act: () => Promise<void> | void
}

/**
 * Runs machines along one time. A window is as long as the shortest way of a frame: what a machine sends within one arrives in a
 * later one, so that machines may run through it in any order, or at once. At its end frames go on their way by the instant of
 * their sending and the number of their machine. Nothing depends on how long the host takes. Windows in which nobody would do
 * anything are jumped over.
 */
export class Conductor {
  /** The present instant of the cluster, in nanoseconds. */
  now = 0
  readonly #links: Links
  readonly #windowNs: number
  readonly #parts: (Part | undefined)[]
  /** Actions with their instants, the first one first. */
  readonly #acts: Act[] = []
  /** Called with each frame that is sent to a machine, also with those that are lost. */
  onFrame: ((from: number, sentNs: number, delivery: Delivery) => void) | undefined
  /** Called when a machine goes on that has stood still. @param offsetNs - from now on */
  onWake: ((machine: number, machineNs: number, offsetNs: number) => void) | undefined
  /** Called at the end of each window, before what is to be done there. */
  onWindow: (() => Promise<void> | void) | undefined
  /** Called when a machine's guest has ended it. */
  onEnd: ((machine: number, reason: string) => void) | undefined

  /** @throws ClusterError `ERR_CLUSTER` for links of which one is too short */
  constructor(links: Links, machines: number) {
    this.#links = links
    this.#parts = Array.from({ length: machines }, () => undefined)
    this.#windowNs = Math.min(links.leastNs, MOST_WINDOW_NS)
    if (this.#windowNs < LEAST_WINDOW_NS)
      throw new ClusterError(
        'ERR_CLUSTER',
        `network: a frame may arrive after ${this.#windowNs} ns: expected a latency that is at least ${LEAST_WINDOW_NS / 1000} µs above the jitter`,
      )
  }

  /** Adds a machine under its number. @param offsetNs - of the cluster's time and its clock; default: the clock goes on from now */
  add(number: number, machine: ConductedMachine, offsetNs: number = this.now - machine.now()): void {
    this.#parts[number] = { machine, offsetNs, hangsUntil: 0, speed: 1, isForked: false }
  }

  /** Takes a machine out; frames on their way to it are lost. */
  remove(number: number): void {
    this.#parts[number] = undefined
  }

  /** The difference of the cluster's time and a machine's clock. @throws ClusterError `ERR_MACHINE` where the machine is out */
  offsetOf(number: number): number {
    return this.#part(number).offsetNs
  }

  /** All machines may be forked at this instant: they go on as their clones do. */
  fork(): void {
    for (const part of this.#parts) if (part !== undefined) part.isForked = true
  }

  /** Has a machine stand still for a while, unless it is out: its clock, too. */
  hang(number: number, ns: number): void {
    const part = this.#parts[number]
    if (part !== undefined) part.hangsUntil = Math.max(part.hangsUntil, this.now + ns)
  }

  /** Lets a machine go on that stands still. */
  async wake(number: number): Promise<void> {
    const part = this.#parts[number]
    if (part === undefined || !this.#hangs(part)) return
    part.hangsUntil = this.now
    await this.#wake(number, part, this.now)
  }

  /** Has a machine execute in a part of its time only, unless it is out. @param speed - from 0 to 1 */
  slow(number: number, speed: number): void {
    const part = this.#parts[number]
    if (part !== undefined) part.speed = speed
  }

  /** Does something at the end of the window that comes to an instant. Of equal instants the first told is the first done. */
  at(ns: number, act: () => Promise<void> | void): void {
    const before = this.#acts.findIndex((one) => one.ns > ns)
    this.#acts.splice(before < 0 ? this.#acts.length : before, 0, { ns, act })
  }

  /** Brings a machine's clock to the present instant, for something to happen to it there. */
  async bring(number: number): Promise<void> {
    const part = this.#parts[number]
    if (part !== undefined && !this.#hangs(part)) await this.#runAll([number], this.now)
  }

  /** Runs to an instant, unless it is to stop before. @param stops - asked after each window */
  async runTo(ns: number, stops: () => boolean = () => false): Promise<void> {
    while (this.now < ns && !stops()) {
      const begin = Math.max(this.now, Math.min(ns, this.#next()))
      const end = Math.min(ns, begin + this.#windowNs, Math.max(begin, this.#acts[0]?.ns ?? Infinity))
      // oxlint-disable-next-line no-await-in-loop -- window after window
      await this.#window(end)
    }
  }

  /** The next instant at which anything happens. */
  #next(): number {
    let first = this.#acts[0]?.ns ?? Infinity
    for (const part of this.#parts) {
      if (part === undefined) continue
      const { machine, offsetNs, hangsUntil } = part
      first = Math.min(first, this.#hangs(part) ? hangsUntil : machine.next() + offsetNs)
    }
    return first
  }

  async #window(end: number): Promise<void> {
    const busy: number[] = []
    for (const [number, part] of this.#parts.entries())
      if (part !== undefined && !this.#hangs(part) && part.machine.next() + part.offsetNs < end) busy.push(number)
    if (busy.length > 0) await this.#runAll(busy, end)
    this.now = end
    // oxlint-disable-next-line no-await-in-loop -- few hang
    for (const [number, part] of this.#parts.entries()) if (part !== undefined) await this.#wake(number, part, end)
    this.#send()
    await this.onWindow?.()
    for (let [first] = this.#acts; first !== undefined && first.ns <= end; [first] = this.#acts) {
      this.#acts.shift()
      // oxlint-disable-next-line no-await-in-loop -- in their order
      await first.act()
    }
  }

  /** Runs machines: those of other threads at once, and those of this one after another. */
  async #runAll(numbers: readonly number[], ns: number): Promise<void> {
    const ends: (readonly [number: number, reason: string])[] = []
    const run = async (number: number): Promise<void> => {
      const part = this.#part(number)
      const { machine, offsetNs, speed, isForked } = part
      const until = ns - offsetNs
      const begin = Math.max(machine.now(), Math.min(machine.next(), until))
      const fromNs = speed < 1 ? until - Math.floor((until - begin) * speed) : isForked ? machine.now() : undefined
      part.isForked = false
      const end = await machine.runTo(until, fromNs)
      if (end !== undefined) ends.push([number, end.reason])
    }
    const isElsewhere = (number: number): boolean => this.#part(number).machine.isElsewhere === true
    const runs = numbers.filter(isElsewhere).map(run)
    const here = async (): Promise<void> => {
      // oxlint-disable-next-line no-await-in-loop -- one after another
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
  #hangs({ hangsUntil }: Part): boolean {
    return hangsUntil > this.now
  }

  /** Lets a machine go on that has stood still until now: that time is none of its own. */
  async #wake(number: number, part: Part, now: number): Promise<void> {
    if (part.hangsUntil === 0 || part.hangsUntil > now) return
    part.hangsUntil = 0
    const before = part.offsetNs
    part.offsetNs = now - part.machine.now()
    // Frames that have come meanwhile wait for it.
    await part.machine.card.hasten(part.offsetNs - before)
    this.onWake?.(number, part.machine.now(), part.offsetNs)
  }

  /** Sends what machines have sent in the window on its way. */
  #send(): void {
    const sent = this.#parts.flatMap((part, from) =>
      part === undefined
        ? []
        : part.machine.card.take().map(({ ns, frame }) => ({ from, ns: ns + part.offsetNs, frame })),
    )
    if (sent.length > 1) sent.sort((one, other) => one.ns - other.ns || one.from - other.from)
    for (const one of sent)
      for (const delivery of this.#links.send(one)) {
        this.onFrame?.(one.from, one.ns, delivery)
        const part = this.#parts[delivery.to]
        if (delivery.ns < Infinity) part?.machine.card.deliver(delivery.ns - part.offsetNs, delivery.frame)
      }
  }

  #part(number: number): Part {
    const part = this.#parts[number]
    if (part === undefined) throw new ClusterError('ERR_MACHINE', `machine ${number} is not there`)
    return part
  }
}
