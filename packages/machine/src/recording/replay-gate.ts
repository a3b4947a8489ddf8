import { BlockError } from '@retrap/device'
import { type EventBody, type Instant, type RecordedEvent, type Recording, RecordingError } from '@retrap/recording'
import type { CheckpointState, LoggedGate, LogPosition, RecordedAnswer } from './checkpoints.ts'
import { type AbortLike, type GatedDomain, HOT_PLUG_PARTY, InputGate, TIMER_PARTY } from './input-gate.ts'
import { differenceOf, type Notes, type PacedRun, TIME_PARTY } from './record-gate.ts'

/** Most events read ahead, about 200 bytes each; a round has far fewer. */
const MOST_AHEAD = 2 ** 20

/** A difference between a replay and its recorded run. */
export interface Divergence {
  /** Number of instructions up to which both runs agree. */
  readonly after: number
  /** Instructions at which the runs differ. */
  readonly at: number
  readonly difference: string
}

/** Gives a machine the inputs of a recording, at their instants. */
export class ReplayGate extends InputGate implements LoggedGate {
  readonly hasOutside = false
  override isHeard: boolean = false
  /** The first difference of the replay from the recording. */
  divergence: Divergence | null = null
  readonly #recording: Recording
  readonly #notes: () => Uint8Array
  /** Inputs and checks that are to come, in order. */
  #ahead: RecordedEvent[] = []
  #at = 0
  readonly #answers = new Map<string, RecordedAnswer[]>()
  /** The effects of inputs whose code has been loaded. */
  readonly #prepared = new WeakMap<RecordedEvent, () => void>()
  /** Number of answers that were read, and not taken. */
  #answersAhead = 0
  /** The round of the last event that was read. */
  #readTo = -1
  #nextPiece = 0
  #loading: Promise<void> | null = null
  /** Instructions of the last instant at which the two were the same. */
  #same = 0
  /** The gate has stopped because the recording has no more. */
  isAtEnd = false
  /** The machine leaves this place: requests are cancelled. */
  #leaves = false
  /** The machine has been run. */
  #hasRun = false
  /** The reads from the file that are under way. */
  readonly #reading = new Set<Promise<void>>()
  /** The machine waits, and the data may still have to be read from the file. */
  #awaitsFile = false
  /** The error of reading the file, where a device has made a request. */
  #failure: { readonly error: unknown } | null = null
  /** Fires where a timer from outside did. */
  #timer: { armAfter(ns: number): void } | null = null
  /** Whether the next event has been read. */
  #knowsNext = false
  /** Cancel functions of the pending requests. */
  readonly #unanswered: (() => void)[] = []

  /**
   * @param notes - as of the gate that recorded
   * @param from - position at which the gate's machine begins; default power-on
   */
  constructor(recording: Recording, notes: () => Uint8Array, from?: LogPosition) {
    super()
    this.#recording = recording
    this.#notes = notes
    this.limitTo({ ns: 0, ...recording.end })
    const { paced, timed, goesOverResets } = (recording.description ?? {}) as PacedRun
    this.losesResets = goesOverResets === undefined
    this.isTimed = timed === true
    // Time goes on as far as the next timer from outside: a machine that was put back in a round has not read it.
    if (paced === true || this.isTimed) this.early = () => (this.isTimed && !this.#knowsNext ? 1 : 0)
    if (from !== undefined) this.#begin(from)
  }

  override start(domain: GatedDomain): void {
    super.start(domain)
    if (this.isTimed) this.#timer = domain.timers.create(() => this.#fire())
  }

  #begin({ round, piece, ahead, answers }: LogPosition): void {
    this.#knowsNext = false
    this.#timer?.armAfter(Infinity)
    this.round = round
    this.#nextPiece = piece
    this.#ahead = [...ahead]
    this.#at = 0
    this.#readTo = ahead.at(-1)?.round ?? -1
    this.#answers.clear()
    this.#answersAhead = 0
    for (const [key, list] of answers) {
      this.#answers.set(key, [...list])
      this.#answersAhead += list.length
    }
  }

  /** Cancels the pending requests of devices, before the machine moves to another position. */
  async leave(): Promise<void> {
    this.#leaves = true
    for (const cancel of this.#unanswered.splice(0)) cancel()
    // A damaged piece is reported when its data is needed.
    await Promise.allSettled([this.#loading, ...this.#reading])
  }

  /** Sets the position at which the machine resumes. */
  goesOnAt(position: LogPosition): void {
    this.#begin(position)
    this.#leaves = false
    this.#failure = null
    this.divergence = null
    this.isAtEnd = false
    this.limitTo({ ns: 0, ...this.#recording.end })
    this.aloneFrom = Infinity
    this.alone = false
  }

  /** The machine is at a checkpoint. */
  restored({ retired, sent = [] }: Pick<CheckpointState, 'retired' | 'sent'>): void {
    for (const [id, { cpu }] of this.domain.vcpus.entries()) (cpu as { retired: number }).retired = retired[id] ?? 0
    this.#same = this.domain.instructions
    for (const [output, bytes] of sent.entries()) this.console.heard[output] = bytes
    this.restoreParties()
  }

  instant(): Instant {
    return { round: this.round, instructions: this.domain.instructions }
  }

  position(): LogPosition | undefined {
    if (this.#loading !== null || this.#failure !== null) return undefined
    const answers = [...this.#answers]
      .filter(([, list]) => list.length > 0)
      .map(([key, list]) => [key, [...list]] as const)
    return { round: this.round, piece: this.#nextPiece, ahead: this.#ahead.slice(this.#at), answers }
  }

  /** A replay ignores inputs from outside. */
  post(): void {}

  async ask(
    party: number,
    key: string,
    into: Uint8Array | undefined,
    _ask: unknown,
    signal?: AbortLike,
  ): Promise<number> {
    this.asking++
    try {
      const { status, body } = await this.#answer(`${party} ${key}`, key, signal)
      if (status === 0 && into !== undefined) await this.#read(key, body ?? { bytes: 0, runs: [] }, into)
      return status
    } catch (error) {
      if (error instanceof BlockError) throw error
      // End the run: a model would otherwise take this for an error of its medium, and continue.
      this.#failure ??= { error }
      throw cancelled(key)
    } finally {
      this.asking--
    }
  }

  async noted(party: number, take: (data: Uint8Array) => void): Promise<void> {
    try {
      const { data } = await this.#answer(`${party} `, `party ${party}`)
      this.#take(`something of party ${party}`, () => take(data))
    } catch (error) {
      if (!(error instanceof BlockError)) this.#failure ??= { error }
      throw error
    }
  }

  async #answer(name: string, key: string, signal?: AbortLike): Promise<RecordedAnswer> {
    for (;;) {
      if (this.#leaves) throw cancelled(key)
      const answer = this.#answers.get(name)?.shift()
      if (answer !== undefined) {
        this.#answersAhead--
        return answer
      }
      if (signal?.aborted === true) throw cancelled(key)
      // The recording ended while the back end was busy: the machine can run no further.
      if (this.#loading === null && this.#nextPiece === this.#recording.pieces) {
        // A machine that is still being made cannot be stopped.
        if (!this.#hasRun) throw cancelled(key)
        return new Promise((_, reject) => {
          this.#unanswered.push(() => reject(cancelled(key)))
          if (this.#awaitsFile) super.waits()
        })
      }
      await this.#load()
    }
  }

  /** Reads data from the file. @throws RecordingError `ERR_DAMAGED` */
  async #read(key: string, body: EventBody, into: Uint8Array): Promise<void> {
    if (body.bytes !== into.length)
      throw new RecordingError('ERR_DAMAGED', `the recording has ${body.bytes} bytes as the answer to ${key}`)
    const reading = this.#recording.readBody(body, into)
    this.#reading.add(reading)
    try {
      await reading
    } finally {
      this.#reading.delete(reading)
    }
    if (this.#leaves) throw cancelled(key)
  }

  protected atRound(): Promise<unknown> | null {
    this.#awaitsFile = false
    this.#hasRun = true
    if (this.#failure !== null) return Promise.reject(this.#failure.error as Error)
    // A stopped machine does not wait for the piece.
    if (this.#loading !== null) return this.#loading
    // All inputs of a round are delivered together: they are read before the first one is.
    if (this.#nextPiece < this.#recording.pieces && this.#readTo <= this.round) return this.#load()
    const preparing = this.#prepare()
    if (preparing !== null) return preparing
    let inputs = 0
    this.#knowsNext = true
    for (;;) {
      const event = this.#ahead[this.#at]
      const isTimed = isOfTimer(event) && event.round >= this.round
      if (isTimed || event === undefined || event.round > this.round) {
        this.#arm(isTimed ? event : undefined)
        return inputs > 0 ? this.delivered() : null
      }
      const { instructions } = this.domain
      if (event.round < this.round || event.instructions !== instructions) {
        this.#diverged(
          `the recorded run had retired ${event.instructions} instructions in round ${event.round}, this one ${instructions} in round ${this.round}`,
        )
        return null
      }
      this.#at++
      if (event.kind === 'input') {
        inputs++
        this.#deliver(event)
      } else if (!this.#check(event)) return null
      this.#same = instructions
    }
  }

  /** Has the timer fire at the time of an event that is of this round, or later. */
  #arm(event: RecordedEvent | undefined): void {
    const left = event === undefined ? Infinity : timeOf(event) - this.domain.clock.now()
    // An event of a later round at the present time is to wait for its round.
    const isLater = event !== undefined && event.round > this.round && left <= 0
    this.#timer?.armAfter(isLater ? Infinity : Math.max(0, left))
  }

  /** Inputs that have entered by timers in this round enter again. */
  #fire(): void {
    for (let event = this.#ahead[this.#at]; isOfTimer(event) && event.round === this.round;) {
      const { instructions } = this.domain
      if (event.instructions !== instructions)
        return this.#diverged(`a timer had fired after ${event.instructions} instructions`)
      event = this.#ahead[++this.#at]
      for (
        ;
        event?.kind === 'input' && event.round === this.round && !isOfTimer(event);
        event = this.#ahead[++this.#at]
      )
        this.#enter(event)
      this.#same = instructions
    }
  }

  #enter(event: RecordedEvent): void {
    // The clock goes on after all timers of the same time.
    if (event.source === TIME_PARTY) queueMicrotask(() => this.#deliver(event))
    else this.#deliver(event)
  }

  /** Loads code that an input of this round needs. */
  #prepare(): Promise<void> | null {
    for (let i = this.#at; (this.#ahead[i]?.round ?? Infinity) <= this.round; i++) {
      const event = this.#ahead[i]!
      if (event.source !== HOT_PLUG_PARTY || this.ports === null || this.#prepared.has(event)) continue
      return this.ports.prepared(event.data).then(
        (happens) => void this.#prepared.set(event, happens),
        (error: unknown) => this.#take('a device', () => raise(error)),
      )
    }
    return null
  }

  override waits(): void {
    this.#hasRun = true
    // Data still being read from the file may belong to this round, for example a disk's bytes, so the machine waits before
    // it stops. A model's response also arrives, unless the recording lacks the request.
    const comes = this.goesOnAtLimit || this.#reading.size > 0 || this.#loading !== null
    this.#awaitsFile = this.#unanswered.length === 0 && comes
    if (this.#awaitsFile) return
    // A search also looks at the events right after the end, where no response exists.
    if (this.domain.instructions < this.#recording.end.instructions) return super.waits()
    this.isAtEnd = true
    this.reached()
  }

  override budget(most: number): number | null {
    this.#awaitsFile = false
    this.#hasRun = true
    return super.budget(most)
  }

  idle(): Promise<unknown> {
    const event = this.#ahead[this.#at]
    if (event === undefined) {
      this.isAtEnd = true
      this.reached()
    } else this.#diverged(`all vCPUs wait for an input, and the next one came after ${event.instructions} instructions`)
    return Promise.resolve()
  }

  #deliver(event: RecordedEvent): void {
    const { source, data } = event
    if (source === TIME_PARTY) return this.#take('a time', () => this.#skipTo(new DataView(data.slice().buffer)))
    const deliver = this.#prepared.get(event) ?? this.receiver(source)
    if (deliver === undefined) this.#diverged(`an input of party ${source}, of which there are ${this.nextParty}`)
    // Copied, because receivers keep the bytes.
    else this.#take(`an input of party ${source}`, () => deliver(data.slice()))
  }

  /** An input has ended a wait for the host. */
  #skipTo(time: DataView): void {
    this.domain.clock.skipTo({ lo: time.getUint32(0, true), hi: time.getUint32(4, true) })
    if (time.byteLength > 8) for (const vcpu of this.domain.vcpus) vcpu.mapChanged()
  }

  /** Decodes an entry of the file, which may be malformed. @throws RecordingError `ERR_DAMAGED` */
  #take<T>(what: string, take: () => T): T {
    try {
      return take()
    } catch (error) {
      const where = `at instruction ${this.domain.instructions}`
      throw new RecordingError('ERR_DAMAGED', `the recording has ${what} of another form ${where}`, { cause: error })
    }
  }

  #check({ data }: RecordedEvent): boolean {
    const text = new TextDecoder()
    const [there, here] = [text.decode(data), text.decode(this.#notes())]
    if (there === here) return true
    const difference = this.#take('a check', () => differenceOf(JSON.parse(there) as Notes, JSON.parse(here) as Notes))
    if (difference !== undefined) this.#diverged(difference)
    return difference === undefined
  }

  #diverged(difference: string): void {
    this.divergence ??= { after: this.#same, at: this.domain.instructions, difference }
    this.reached()
  }

  /** Reads the next piece of the log. */
  #load(): Promise<void> {
    if (this.#loading !== null) return this.#loading
    const loading = this.#loadPiece().finally(() => (this.#loading = null))
    // A machine stopped in the meantime does not wait for the piece; the next run needs it again.
    loading.catch(() => undefined)
    return (this.#loading = loading)
  }

  async #loadPiece(): Promise<void> {
    const events = await this.#recording.events(this.#nextPiece)
    // Advance only after the read: after a failure the next run needs the same piece.
    this.#nextPiece++
    this.#ahead = this.#ahead.slice(this.#at)
    this.#at = 0
    this.#readTo = events.at(-1)?.round ?? this.#readTo
    for (const event of events) {
      if (event.kind === 'answer') this.#keepAnswer(event)
      else if (event.kind !== 'mark') this.#ahead.push(event)
    }
    if (this.#ahead.length + this.#answersAhead > MOST_AHEAD)
      throw new RecordingError('ERR_DAMAGED', `the recording has more than ${MOST_AHEAD} events at once`)
  }

  #keepAnswer({ source, data, body }: RecordedEvent): void {
    const length = 1 + (data[0] ?? 0)
    const key = `${source} ${String.fromCharCode(...data.subarray(1, length))}`
    const answer = { status: data[length] ?? 1, body, data: data.subarray(length + 1) }
    const answers = this.#answers.get(key)
    this.#answersAhead++
    if (answers === undefined) this.#answers.set(key, [answer])
    else answers.push(answer)
  }
}

const isOfTimer = (event: RecordedEvent | undefined): event is RecordedEvent =>
  event?.kind === 'input' && event.source === TIMER_PARTY

/** The time at which a timer from outside has fired. */
const timeOf = ({ data }: RecordedEvent): number => new Float64Array(data.slice().buffer)[0]!

function raise(error: unknown): never {
  throw error
}

const cancelled = (key: string): BlockError => new BlockError('ERR_CANCELLED', `${key}: cancelled`)
