import {
  type DeviceContext,
  DeviceError,
  fieldsPart,
  LateAnswers,
  restoreDeadline,
  savedDeadline,
  Stateful,
  type Timer,
  viewed,
  type Word64,
} from '@retrap/device'
import { NO_VECTOR, type QueueOwner, RingQueue } from './queue.ts'
import { LateOutcome, outcomeOf, type RequestChain, type SavedChain, type SavedOutcome } from './ring/chain.ts'
import { FeatureSet, VirtioFeature } from './ring/feature-bits.ts'
import { RingMemory } from './ring/ring-memory.ts'
import type { VirtioDevice, VirtioHost, VirtioRingOptions } from './virtio-device.ts'

/* Device status (§2.1). */
const ACKNOWLEDGE = 1
const DRIVER_OK = 4
const FEATURES_OK = 8
const NEEDS_RESET = 0x40

/** Until the device looks again at a queue that one look did not empty. */
const MORE_NS = 1000
/** The shortest reset of a device that is at work. */
const RESET_NS = 1000

const DEFAULT_SIZE = 256
const MOST_ENTRIES = 0x8000
const FIRST_RING_FEATURE = 24
const LAST_RING_FEATURE = 40

/** The interface of a transport for its device. */
export interface CoreTransport {
  /** Whether the device may reach guest memory. */
  mayReachMemory(): boolean
  /** Interrupts the driver for a queue. */
  interruptQueue(queue: RingQueue): void
  /** Interrupts the driver for a change of configuration or status. */
  interruptConfig(): void
  /** The device has been reset: no interrupt is pending. */
  reset(): void
}

/** A request that the host works at. */
interface LateChain {
  readonly queue: number
  readonly chain: RequestChain
  readonly outcome: Promise<LateOutcome>
}

/** A request whose virtual time is not over, with its outcome, in a saved state. */
interface SavedLate {
  readonly queue: number
  readonly chain: SavedChain
  readonly outcome: SavedOutcome
  readonly deadline: Readonly<Word64>
  readonly due?: boolean | undefined
}

/**
 * A virtio device's interface for its transports: status, features, configuration, queues.
 *
 * Source: VIRTIO 1.2, §2, "Basic Facilities of a Virtio Device".
 */
export class VirtioCore extends Stateful implements QueueOwner, VirtioHost {
  readonly device: VirtioDevice
  readonly context: DeviceContext
  readonly memory: RingMemory
  readonly queues: readonly RingQueue[]
  /** The features for drivers of version 1.0 and later. */
  readonly offered: FeatureSet
  /** The features that the driver has accepted. */
  readonly features: FeatureSet = new FeatureSet()
  readonly transport: CoreTransport
  readonly #answers: LateAnswers<LateChain, LateOutcome>
  /** Outcomes of a saved state that could not be written: a request that was made is not made twice. */
  readonly #kept = new WeakMap<RequestChain, LateOutcome>()
  readonly #r
  /** The status before a reset, until requests of then are no longer under way. */
  #withheld = 0
  #paused = false
  /** Continues after a look limit, when a driver on another thread keeps a queue full. */
  readonly #more: Timer
  /** Ends a reset, at a virtual instant that the host's pace does not change. */
  readonly #resetEnd: Timer
  /** Resolves at the end of the last reset, which may already have finished. */
  #draining: Promise<void> | null = null
  generation: number = 0
  configVector: number = NO_VECTOR

  constructor(device: VirtioDevice, context: DeviceContext, transport: CoreTransport, rings: VirtioRingOptions) {
    super()
    this.device = device
    this.context = context
    this.transport = transport
    this.memory = new RingMemory(context.dma, () => transport.mayReachMemory())
    this.queues = device.queues.map(({ size = DEFAULT_SIZE }, i) => new RingQueue(this, i, size))
    this.offered = FeatureSet.of([...(device.features ?? []), ...ringFeatures(rings)])
    this.#answers = new LateAnswers(context, {
      ask: ({ outcome }) => outcome,
      answer: ({ chain }, outcome) => this.#answer(chain, outcome),
    })
    this.#more = context.timer(() => this.poll())
    this.#resetEnd = context.timer(() => (this.#draining = this.#drain()))
    this.#r = this.keeps(
      {
        device: {
          save: () => device.name,
          restore: () => this.reset(),
          stateFault: (name: unknown) =>
            name === device.name ? undefined : ` is ${String(name)}: expected ${device.name}`,
        },
        status: 0,
        /** The driver has used the legacy interface. */
        legacy: false,
        generation: fieldsPart<VirtioCore>(this, { only: ['generation'] }),
        features: viewed(
          () => [this.features.lo, this.features.hi] as const,
          ([lo, hi]) => Object.assign(this.features, { lo, hi }),
        ),
        config: device.config ?? new Uint8Array(0),
        configVector: fieldsPart<VirtioCore>(this, { only: ['configVector'] }),
        queues: this.queues,
        state: { save: () => device.save?.() ?? null, restore: (state: unknown) => device.restore?.(state) },
        late: { save: () => this.#savedRequests(), restore: (late: readonly SavedLate[]) => this.#takeOver(late) },
        // Deadline for polling the queues again.
        more: this.#more,
        // The status before a pending reset, and the reset's deadline; null: no reset pending.
        resetting: {
          save: () =>
            this.#withheld === 0 ? null : { status: this.#withheld, deadline: savedDeadline(this.#resetEnd) },
          restore: (reset: { readonly status: number; readonly deadline: Readonly<Word64> } | null) => {
            this.#withheld = reset?.status ?? 0
            restoreDeadline(this.#resetEnd, reset?.deadline ?? null)
          },
        },
      },
      {
        device: device.name,
        flat: ['generation', 'configVector'],
        raw: ['config'],
        recent: ['late', 'more', 'resetting'],
      },
    )
    device.attach?.(this)
  }

  // ---- Status ----

  get running(): boolean {
    // A legacy driver may use queues before it sets DRIVER_OK (§3.1.2, "Legacy Interface: Device Initialization").
    const ready = this.#r.legacy || (this.#r.status & DRIVER_OK) !== 0
    return ready && (this.#r.status & NEEDS_RESET) === 0
  }

  mayUse(): boolean {
    return !this.#paused && this.#isUsable
  }

  /** Whether queues may be used, by a device that does not stand still. */
  get #isUsable(): boolean {
    return this.running && this.#withheld === 0 && this.memory.allowed
  }

  /** The status. It becomes 0 at the end of a reset, not at the request. */
  get status(): number {
    return this.#r.status === 0 ? this.#withheld : this.#r.status
  }

  /** The status for legacy drivers, which do not wait for the end of a reset. */
  get legacyStatus(): number {
    return this.#r.status
  }

  setStatus(value: number): void {
    if (value === 0) return this.reset()
    let status = (value & ~NEEDS_RESET) | (this.#r.status & NEEDS_RESET)
    if (!this.#r.legacy) {
      if ((status & ~this.#r.status & FEATURES_OK) !== 0 && !this.#accepts()) status &= ~FEATURES_OK
      if ((status & FEATURES_OK) === 0) status &= ~DRIVER_OK
    }
    const started = (status & ~this.#r.status & DRIVER_OK) !== 0
    this.#r.status = status
    if (!started) return
    this.device.start?.()
    this.poll()
  }

  #accepts(): boolean {
    const { features, offered, device } = this
    return features.has(VirtioFeature.version1) && features.isWithin(offered) && (device.accepts?.(features) ?? true)
  }

  /** A write to a register of the legacy interface. */
  useLegacy(): void {
    this.#r.legacy = true
  }

  needsReset(): void {
    if ((this.#r.status & NEEDS_RESET) !== 0) return
    const told = (this.#r.status & DRIVER_OK) !== 0
    this.#r.status |= NEEDS_RESET
    if (told) this.transport.interruptConfig()
  }

  /** Returns the device to its state at power-on. Nothing that is under way reaches the guest any more. */
  override reset(): void {
    // A driver of old may have used queues without ever setting the status.
    const before = this.#r.status | this.#withheld || ACKNOWLEDGE
    const wasAtWork = this.#answers.count > 0 || this.#withheld !== 0
    this.#r.status = 0
    this.#r.legacy = false
    this.features.lo = 0
    this.features.hi = 0
    this.configVector = NO_VECTOR
    for (const queue of this.queues) queue.reset()
    this.#answers.cancel()
    this.#more.cancel()
    const ending = this.device.reset?.()
    if (ending !== undefined) this.#answers.hold(ending)
    this.#withheld = wasAtWork || ending !== undefined ? before : 0
    if (this.#withheld === 0) this.#resetEnd.cancel()
    else this.#resetEnd.armAfter(RESET_NS)
    this.transport.reset()
  }

  /** Waits for the end of what the host does for requests from before a reset. */
  async #drain(): Promise<void> {
    await this.#answers.ended()
    // The driver may have reset the device once more.
    if (this.#withheld === 0 || this.#resetEnd.deadlineNs !== Infinity) return
    this.#withheld = 0
    this.poll()
  }

  // ---- Features ----

  hasFeature(bit: number): boolean {
    return this.features.has(bit)
  }

  /** The driver accepts features. It may not change its mind after FEATURES_OK. */
  setFeatures(word: number, value: number): void {
    if ((this.#r.status & FEATURES_OK) === 0) this.features.setWord(word, value)
  }

  /** Features of the legacy interface: those below 32. Packed rings and version 1.0 are not among them. */
  get legacyOffered(): number {
    return (this.offered.lo | (1 << VirtioFeature.anyLayout)) >>> 0
  }

  // ---- Configuration ----

  readConfig(offset: number, size: number): number {
    let value = 0
    for (let i = size - 1; i >= 0; i--) value = (value << 8) | (this.device.config?.[offset + i] ?? 0)
    return value >>> 0
  }

  writeConfig(offset: number, size: number, value: number): void {
    const bytes = Uint8Array.from({ length: size }, (_, i) => value >>> (8 * i))
    if (offset + size <= (this.device.config?.length ?? 0)) this.device.configWritten?.(offset, bytes)
  }

  configChanged(): void {
    this.generation = (this.generation + 1) & 0xff
    if ((this.#r.status & DRIVER_OK) !== 0) this.transport.interruptConfig()
  }

  // ---- Queues ----

  /** The driver has made chains of a queue available. Other queues' numbers are no matter. */
  notify(index: number): void {
    const queue = this.queues[index]
    if (queue?.ready === true) this.#serve(queue)
    else if (queue?.enabled === true && this.#isUsable) queue.notified = true
  }

  /** Looks at every queue: what kept the device from it may be over. */
  poll(): void {
    if (!this.mayUse()) return
    for (const queue of this.queues) {
      queue.useLate()
      if (queue.ready) this.#serve(queue)
    }
  }

  lookAgain(): void {
    this.#more.armAfter(MORE_NS)
  }

  readonly #serve = (queue: RingQueue): void => {
    const definition = this.device.queues[queue.index]!
    definition.notify?.(queue)
    if (definition.handle === undefined) return
    let used = false
    for (let left = queue.size; ;) {
      const chain = queue.take() as RequestChain | null
      if (chain === null) break
      const kept = this.#kept.get(chain)
      const answer = kept === undefined ? definition.handle(chain) : Promise.resolve(kept)
      if (typeof answer === 'object') {
        const request = { queue: queue.index, chain, outcome: outcomeOf(answer) }
        this.#answers.start(request, definition.latencyNs?.(chain))
      } else if (queue.use(chain, chain.writtenBy(answer))) used = true
      if (--left > 0) continue
      this.lookAgain()
      break
    }
    if (used) queue.publish()
  }

  #answer(chain: RequestChain, outcome: LateOutcome): void {
    if (chain.cancelled) return
    const written = outcome.give(chain)
    // A function that could not write is not kept, with all the host memory behind it: the request is made once more.
    if (this.memory.allowed || outcome.isPlain) return chain.complete(written)
    if (outcome.isSaved) this.#kept.set(chain, outcome)
    chain.owner.again(chain)
  }

  // ---- Machine ----

  async quiesce(deadlineMs: number): Promise<void> {
    // A reset whose time is over completes first, as in a machine that runs on.
    await this.#draining
    this.#paused = true
    await (this.device.waitsForAnswers?.() === true ? this.#answers.settle() : this.#answers.pause())
    // The machine may have given up by now, and gone on: nothing would tell the device to resume.
    if (this.#paused) await this.device.quiesce?.(deadlineMs)
  }

  /** Whether no answer is to come, and `poll` would find nothing. */
  isAtRest(): boolean {
    if (this.#answers.count > 0 || this.#more.deadlineNs !== Infinity) return false
    const { queues } = this.device
    const isUnseen = (queue: RingQueue): boolean => queues[queue.index]!.handle !== undefined && !queue.isEmpty
    return !this.queues.some(isUnseen) && (this.device.isAtRest?.() ?? true)
  }

  resume(): void {
    this.#paused = false
    this.device.resume?.()
    this.#answers.resume()
    if (!this.mayUse()) return
    for (const queue of this.queues) {
      queue.useLate()
      if (queue.ready) queue.goOn(this.#serve)
    }
  }

  saves(chain: RequestChain): boolean {
    return this.#answers.some((late) => late.chain === chain)
  }

  #savedRequests(): SavedLate[] {
    return this.#answers.save().map(({ request: { queue, chain }, answer, ...when }) => ({
      queue,
      ...when,
      chain: chain.save(),
      // Nothing is pending while the device stands still, so an outcome exists.
      outcome: answer!.save(chain),
    }))
  }

  #takeOver(late: readonly SavedLate[]): void {
    const requests = late.map(({ queue, chain, outcome, ...when }) => {
      const answer = LateOutcome.of(outcome)
      const request = { queue, chain: this.queues[queue]!.takeOver(chain), outcome: Promise.resolve(answer) }
      return { request, answer, ...when }
    })
    this.#answers.restore(requests)
  }

  /** @throws DeviceError `ERR_STATE` for the state of another device */
  override restore(state: unknown): void {
    super.restore(state)
    // Nothing is answered before `resume`.
    this.#paused = true
  }
}

function ringFeatures({ packed = false, indirect = true, eventIndex = true }: VirtioRingOptions): number[] {
  const bits: number[] = [VirtioFeature.version1]
  if (packed) bits.push(VirtioFeature.packedRing)
  if (indirect) bits.push(VirtioFeature.indirect)
  if (eventIndex) bits.push(VirtioFeature.eventIndex)
  return bits
}

/**
 * Checks what a caller without a type checker may have got wrong in a device.
 *
 * @throws DeviceError `ERR_OPTION`
 */
export function checkDevice({ name, type, queues, features = [] }: VirtioDevice): void {
  const bad = (what: string): DeviceError => new DeviceError('ERR_OPTION', `${name}: ${what}`)
  if (!Number.isInteger(type) || type < 1 || type > 63) throw bad(`device type ${type}: expected 1 to 63`)
  for (const queue of queues) {
    const { size = DEFAULT_SIZE } = queue
    if (!(size >= 1 && size <= MOST_ENTRIES && Number.isInteger(Math.log2(size))))
      throw bad(`a queue of ${size} entries: expected a power of two up to ${MOST_ENTRIES}`)
    if ((queue.handle === undefined) === (queue.notify === undefined)) throw bad('a queue has either handle or notify')
  }
  for (const bit of features) {
    if (!Number.isInteger(bit) || bit < 0 || bit > 63 || (bit >= FIRST_RING_FEATURE && bit <= LAST_RING_FEATURE))
      throw bad(`feature bit ${bit}: expected one of the device's own, 0 to 23 or 41 to 63`)
  }
}
