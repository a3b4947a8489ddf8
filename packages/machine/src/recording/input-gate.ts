import type { Domain, OutsideInputs } from '@retrap/hvm'
import type { Instant } from '@retrap/recording'
import type { DeviceHost, DeviceHostState } from '@retrap/device-hosting'
import { laterTurn } from '../lifecycle/host.ts'
import { type ImpairedDevice, ImpairedDevices } from './impaired-devices.ts'
import { GuestConsole } from '../machine/machine-gate.ts'
import type { NotedGate } from './run-history.ts'

/** A turn ends within a page of instructions after its budget: the last instructions before a limit are executed one by one. */
const NEAR = 4200

/** Gives inputs of a party outside to the models that they are for. The bytes are the receiver's to keep. */
export type Deliver = (data: Uint8Array) => void

/** Inputs that a party holds for the machine: delivered, but its model has no room for them. */
export interface HeldInputs {
  /** Returns the state as plain data. */
  save(): unknown
  /** Restores the held inputs; the party's model has been restored before. */
  restore(saved: unknown): void
  /** Whether the gate is fixed at creation: a machine with another gate cannot be restored to its states. */
  readonly isFixed?: boolean
  /** Whether a machine with this gate can never be restored in place; a new machine is made instead. */
  readonly isNeverPutBack?: boolean
  /** Whether the machine currently waits for this party. Default: false. */
  isBusy?(): boolean
  /** The machine has stood still to be saved, and goes on as if it had not. */
  goesOn?(): void
}

/** An input, or a function that returns it at delivery; null: no input. */
export type Input = Uint8Array | (() => Uint8Array | null)

/** Rounds between two looks at whether a checkpoint is due. */
const LOOK_ROUNDS = 16
/** Stands for a party's number in events that plug in a server: the input names its party. */
export const PLUG_PARTY = 0xfffe
/** Stands for a party's number in events that make a device slow, dead or normal: an `ImpairedDevice`. */
export const IMPAIR_PARTY = 0xfffd
/** Stands for a party's number in events of root ports: see `RecordedPlugs`. */
export const HOT_PLUG_PARTY = 0xfffc

const ignore = (): void => undefined

/** Stands for a party's number in events of a timer from outside: the input is the machine's time, as a 64-bit float of nanoseconds. */
export const TIMER_PARTY = 0xfffb

/** Stands for a party's number in events that move the wall clock: the input is a 64-bit float of nanoseconds. */
export const WALL_CLOCK_PARTY = 0xfffa

/** The models of a server whose actions are recorded, or come from a recording. */
export interface GatedModels {
  /** Names the server. */
  readonly name: string
  /** The models are the machine's own, which it has in its thread where nothing is recorded. */
  readonly isLocal: boolean
  /** Returns their state, while the machine stands still; null: a replay does without them. @throws as `RemoteServer.save` */
  saved(deadlineMs: number): Promise<DeviceHostState> | null
}

/** The root ports of a machine, as its gate knows them. */
export interface GatedPorts {
  /** Loads the code and images of an input of {@link HOT_PLUG_PARTY}. @returns a function that makes the change synchronously */
  prepared(data: Uint8Array): Promise<() => void>
  /** Parties of devices that have left since leave too. */
  look(): void
}

/** The part of its domain that the gate needs. */
export type GatedDomain = Pick<Domain, 'clock' | 'instructions' | 'spent' | 'stop' | 'timers' | 'vcpus' | 'wake'>

/** Returns guest time on deterministic time, in nanoseconds, including executed instructions not yet added to the clock. */
export const presentNs = ({ clock, spent }: Pick<Domain, 'clock' | 'spent'>): number => clock.now() + spent

/**
 * The one place where inputs enter a machine on deterministic time: between two rounds of its vCPUs, which are counted.
 * Parties outside have a number each, by the order in which the machine is composed.
 */
export abstract class InputGate implements OutsideInputs, NotedGate {
  /** Rounds in which something has happened, and deliveries of inputs. */
  round: number = 0
  /** Instructions after which the machine stops. */
  limit: number = Infinity
  /** The machine goes on at `limit` up to this round, and to this time in nanoseconds. */
  limitRound: number = 0
  limitNs: number = 0
  /** See {@link InputGate.limitTime}. */
  #latestNs = Infinity
  /** The beginning of the last turn within the time limit; null: no such turn. */
  inTime: Instant | null = null
  /** The time of that turn. */
  #timeSeen = -1
  /** Number of instructions after which single steps begin, so that the count is exact at each one. */
  aloneFrom: number = Infinity
  alone: boolean = false
  /** See `OutsideInputs.early`. A replay of a paced run needs it as well, as it affects the count of rounds. */
  early?: NonNullable<OutsideInputs['early']>
  /** Whether the guest's output is handed over; else it is discarded, as it was handed over before. */
  isHeard: boolean = true
  /** Whether inputs enter by timers of the machine's time: see `RecordOptions.isTimed`. */
  isTimed: boolean = false
  losesResets: boolean = false
  /** Asked now and then, between two rounds: it may have the machine pause. */
  look: (() => void) | null = null
  moved: NotedGate['moved'] = null
  readonly console: GuestConsole = new GuestConsole()
  /** Requests of back ends that have not been answered. */
  protected asking: number = 0
  #rounds = 0
  readonly #held: (HeldInputs | undefined)[] = []
  #saved: readonly unknown[] = []
  readonly #later = laterTurn()
  readonly #names: string[] = []
  /** Receivers of inputs of {@link PLUG_PARTY}, {@link IMPAIR_PARTY} and {@link WALL_CLOCK_PARTY}. */
  readonly others: Map<number, Deliver> = new Map<number, Deliver>()
  /** The slow and dead devices of the machine; null before its creation. */
  impaired: ImpairedDevices | null = null
  #impairedBefore: readonly ImpairedDevice[] = []
  /** The root ports of the machine, if devices can come and go. */
  ports: GatedPorts | null = null
  /** Servers whose models have no state of their own in a checkpoint. */
  readonly models: Set<GatedModels> = new Set()
  protected readonly parties: Deliver[] = []
  #domain: GatedDomain | undefined

  /** Whether back ends exist, and are asked. */
  abstract readonly hasOutside: boolean

  /** The machine. @throws before it is made */
  protected get domain(): GatedDomain {
    return this.#domain!
  }

  /** The names of all parties, by number. */
  get names(): readonly string[] {
    return this.#names
  }

  /** Attaches the machine's domain after its creation. */
  start(domain: GatedDomain): void {
    this.#domain = domain
  }

  /** The number of the party that is added next. */
  get nextParty(): number {
    return this.parties.length
  }

  /**
   * Adds a party.
   *
   * @param deliver - called with the party's inputs at their instants
   * @param held - state of the machine that the party keeps
   * @param number - the party's number in a recording, where earlier parties may have left; default the next number
   * @returns its number
   * @throws RangeError for a number already in use
   */
  party(name: string, deliver: Deliver, held?: HeldInputs, number: number = this.nextParty): number {
    const taken = this.parties[number] ?? ignore
    if (!(Number.isInteger(number) && number < WALL_CLOCK_PARTY && taken === ignore))
      throw new RangeError(`party ${number} is there already, or no number`)
    while (this.parties.length < number) this.party('', ignore)
    this.#names[number] = name
    this.#held[number] = held
    this.parties[number] = deliver
    return number
  }

  /** Removes a party. Its number is not reused. */
  leaves(number: number): void {
    this.#held[number] = undefined
    this.parties[number] = ignore
  }

  /** Returns the receiver of a party's inputs; undefined for an unknown party. */
  protected receiver(party: number): Deliver | undefined {
    return this.parties[party] ?? this.others.get(party)
  }

  /** Returns the inputs that all parties hold, by number; undefined while a request to a back end is open. */
  saveParties(): readonly unknown[] | undefined {
    this.ports?.look()
    const isBusy = this.asking > 0 || this.#held.some((held) => held?.isBusy?.() === true)
    return isBusy ? undefined : this.#held.map((held) => held?.save() ?? null)
  }

  /** Tells the parties that the machine goes on after {@link InputGate.saveParties}. */
  partiesGoOn(): void {
    for (const held of this.#held) held?.goesOn?.()
  }

  /** Whether this machine can be restored to the state in which its parties saved this data. */
  canRestore(saved: readonly unknown[]): boolean {
    this.ports?.look()
    const fit = this.#held.every(
      (held, number) =>
        held?.isNeverPutBack !== true &&
        (held?.isFixed !== true || JSON.stringify(held.save()) === JSON.stringify(saved[number] ?? null)),
    )
    // A null state belongs to a server that was plugged in after that state was saved.
    return fit && saved.every((state, number) => state === null || this.#held[number] !== undefined)
  }

  /** Sets saved states of parties, for the machine made next or put back. @param impaired - devices that are slow or dead */
  willRestore(saved: readonly unknown[], impaired: readonly ImpairedDevice[] = []): void {
    this.#saved = saved
    this.#impairedBefore = impaired
    this.impaired?.restore(impaired)
  }

  /** The machine's models are attached. */
  attached(devices: Pick<DeviceHost, 'impair'>): void {
    this.impaired = new ImpairedDevices(devices)
    this.impaired.restore(this.#impairedBefore)
  }

  /** The inputs that all parties have held of the machine that is made now. */
  get saved(): readonly unknown[] {
    return this.#saved
  }

  /** Returns the inputs that a party, which is added now, has held; undefined: it begins anew. */
  savedOf(number: number): unknown {
    return this.#saved[number]
  }

  /** Restores the parties' states, after the machine's own. */
  restoreParties(): void {
    for (const [number, held] of this.#held.entries())
      if (number < this.#saved.length) held?.restore(this.#saved[number])
  }

  /** Takes an input from outside. Its bytes are the gate's to keep. */
  abstract post(party: number, data: Input): void

  /**
   * Offers an input to its model: within a timer from outside at once, else as `post` does.
   *
   * @param take - gives it to the model. @returns whether the model has taken it
   * @returns the result of `take`; true: the gate has kept the input
   */
  offer(party: number, data: Uint8Array, _take: () => boolean): boolean {
    this.post(party, data)
    return true
  }

  /**
   * Takes the data of a party's next note in the recording: see `RecordGate.note`.
   *
   * @throws BlockError if the replay ends or leaves the recorded run
   */
  abstract noted(party: number, take: (data: Uint8Array) => void): Promise<void>

  /**
   * Makes a request of a back end, or has the recording answer it.
   *
   * @param key - identifies the request: two requests with one key may share an answer
   * @param into - gets the data read, with a response of 0
   * @param ask - asks the back end. @returns the answer: 0, or a byte with the kind of failure
   */
  abstract ask(
    party: number,
    key: string,
    into: Uint8Array | undefined,
    ask: () => Promise<number>,
    signal?: AbortLike,
  ): Promise<number>

  begin(moved: boolean): Promise<unknown> | null {
    if (moved) {
      this.round++
      this.moved?.()
    }
    if (this.isAtLimit() || this.#isPastTime()) this.reached()
    if (this.look !== null && ++this.#rounds % LOOK_ROUNDS === 0) this.look()
    return this.atRound(moved)
  }

  /** Whether the machine has reached or passed its stop position. */
  isAtLimit(): boolean {
    const { instructions } = this.domain
    if (instructions !== this.limit) return instructions > this.limit
    return this.round >= this.limitRound && presentNs(this.domain) >= this.limitNs
  }

  /**
   * Has the machine stop at the first instant with this many instructions that is not before a round and a time, in nanoseconds.
   * Waits, deliveries of events, and iterations of a string instruction take time, and retire nothing.
   */
  limitTo({ instructions, round, ns }: Instant & { readonly ns: number }): void {
    this.limit = instructions
    this.limitRound = round
    this.limitNs = ns
  }

  /** Whether the machine has that many instructions behind it, and goes on to a round or a time. */
  protected get goesOnAtLimit(): boolean {
    return this.domain.instructions === this.limit && !this.isAtLimit()
  }

  /** Has the machine stop before the first turn that begins later, in nanoseconds; Infinity: it does not. */
  limitTime(ns: number): void {
    this.#latestNs = ns
    if (ns === Infinity) return
    this.inTime = null
    this.#timeSeen = -1
  }

  /** Whether a turn that begins now is later than the limit of time. */
  #isPastTime(): boolean {
    if (this.#latestNs === Infinity) return false
    const { clock, instructions } = this.domain
    const now = clock.now()
    if (now > this.#latestNs) return true
    if (now !== this.#timeSeen) this.inTime = { round: this.round, instructions }
    this.#timeSeen = now
    return false
  }

  /** Called before a round. @returns a promise to wait for first */
  protected abstract atRound(moved: boolean): Promise<unknown> | null

  abstract idle(): Promise<unknown> | null

  waits(): void {
    // A request under way may have no answer in a recording that ended before it.
    if (this.domain.instructions >= this.limit) this.reached()
  }

  budget(most: number): number | null {
    if (this.#isPastTime()) {
      this.reached()
      return null
    }
    const until = Math.min(this.limit, this.aloneFrom)
    if (until === Infinity) return most
    if (this.isAtLimit()) {
      this.reached()
      return null
    }
    const left = until - this.domain.instructions
    this.alone = left <= NEAR
    return this.alone ? 1 : Math.min(most, left - NEAR)
  }

  /**
   * Called after inputs were delivered. Models continue in promises, so the guest executes only after a turn of the event loop.
   * Later inputs enter in another round, so that a replay has the same turns in between.
   */
  protected delivered(): Promise<void> {
    this.round++
    return new Promise((resolve) => this.#later(resolve))
  }

  /** Called when the machine has reached its stop position. */
  protected reached(): void {
    this.domain.stop({ reason: 'stopped' })
  }
}

/** The part of an `AbortSignal` that is used. */
export interface AbortLike {
  readonly aborted: boolean
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}
