import { fieldsPart, Stateful } from '@retrap/device'
import { ChainBuilder, type ChainOwner, RequestChain, type SavedChain, type VirtioChain } from './ring/chain.ts'
import { VirtioFeature, type FeatureSet } from './ring/feature-bits.ts'
import { PackedRing } from './ring/packed-ring.ts'
import type { QueueAddresses, Ring } from './ring/ring.ts'
import type { RingMemory } from './ring/ring-memory.ts'
import { SplitRing } from './ring/split-ring.ts'

/** A virtqueue from the device's side. */
export interface VirtioQueue {
  /** Number in the device. */
  readonly index: number
  /** Entries that the driver has chosen. */
  readonly size: number
  /** Whether the driver has set it up, and the device may use it. */
  readonly ready: boolean
  /** Whether the driver has made no chain available that was not taken; also of one that may not be used. */
  readonly isEmpty: boolean
  /** Takes the next chain; null: none available, and `notify` is called for the next one. */
  take(): VirtioChain | null
  /**
   * Completes several chains at once: the driver sees all of them or none.
   *
   * @param written - for each chain the bytes that have been written
   */
  completeTogether(chains: readonly VirtioChain[], written: readonly number[]): void
}

/** The part of its device that a queue needs. */
export interface QueueOwner {
  readonly memory: RingMemory
  /** Features that the driver has accepted. */
  readonly features: FeatureSet
  /** Whether chains may be taken and given back now. */
  mayUse(): boolean
  /** The guest has broken a rule: the device needs a reset. */
  needsReset(): void
  /** Whether the owner saves a chain, with its response. */
  saves(chain: RequestChain): boolean
  /** Interrupts the driver, unless it has disabled interrupts. */
  readonly transport: { interruptQueue(queue: RingQueue): void }
}

/** No MSI-X vector. */
export const NO_VECTOR = 0xffff

const NOWHERE: QueueAddresses = { descriptors: 0, driver: 0, device: 0 }

/** One virtqueue of a device: its registers, its ring, and the device's open chains. */
export class RingQueue extends Stateful implements VirtioQueue, ChainOwner {
  readonly index: number
  /** Entries that the device offers. */
  readonly mostEntries: number
  readonly memory: RingMemory
  readonly #owner: QueueOwner
  readonly #builder: ChainBuilder
  size: number
  enabled: boolean = false
  vector: number = NO_VECTOR
  addresses: QueueAddresses = NOWHERE
  #ring: Ring | null = null
  readonly #inFlight = new Set<RequestChain>()
  /** Chains to hand out again: from a saved state, or with a response that could not be written. */
  #again: RequestChain[] = []
  /** Chains that were completed while the device could not reach memory. */
  #late: (readonly [chain: RequestChain, written: number])[] = []
  /** The driver has notified while the device stood still. */
  notified: boolean = false
  /** Only chains that are handed out again are taken now: the driver has not notified of the others. */
  #takesAgainOnly = false

  constructor(owner: QueueOwner, index: number, entries: number) {
    super()
    this.index = index
    this.mostEntries = entries
    this.memory = owner.memory
    this.#owner = owner
    this.#builder = new ChainBuilder(entries)
    this.size = entries
    this.keeps(
      {
        registers: fieldsPart<RingQueue>(this, { only: ['size', 'enabled', 'addresses', 'vector'] }),
        // Whether the driver has notified while the device stood still; absent: unknown, taken for true.
        notified: { save: () => this.notified, restore: (notified = true) => (this.notified = notified) },
        ring: {
          save: () => this.#ring?.save() ?? null,
          restore: (ring: unknown) => ring !== null && this.#open()?.restore(ring as never),
        },
        // Chains that the device has not given back, and that it is to take again.
        chains: {
          save: () => this.#taken(),
          restore: (chains: readonly SavedChain[]) => (this.#again = chains.map((chain) => this.takeOver(chain))),
        },
        // Chains that were completed while the device could not reach memory; absent: none.
        late: {
          save: () => this.#late.map(([chain, written]) => [chain.save(), written]),
          restore: (late: readonly (readonly [chain: SavedChain, written: number])[] = []) => {
            this.#late = late.map(([chain, written]) => [this.takeOver(chain), written])
          },
        },
      },
      { flat: ['registers'] },
    )
  }

  get ready(): boolean {
    return this.enabled && this.#owner.mayUse()
  }

  /** Sets one 32-bit half of an address. */
  setAddress(which: keyof QueueAddresses, high: boolean, value: number): void {
    const before = this.addresses[which]
    const low = before % 2 ** 32
    const address = high ? value * 2 ** 32 + low : before - low + value
    this.addresses = { ...this.addresses, [which]: address }
  }

  /** Returns the ring for further use; null: the driver's setup is invalid. */
  #open(): Ring | null {
    return (this.#ring ??= this.#ringAt())
  }

  /** Returns the ring at the driver's addresses, which may still change; null: invalid addresses. */
  #ringAt(): Ring | null {
    const { features, memory } = this.#owner
    const { descriptors, driver, device } = this.addresses
    const { size } = this
    const packed = features.has(VirtioFeature.packedRing)
    const aligned = descriptors % 16 === 0 && driver % (packed ? 4 : 2) === 0 && device % 4 === 0
    const fits = size >= 1 && size <= this.mostEntries && (packed || (size & (size - 1)) === 0)
    if (!aligned || !fits) return null
    const indirect = features.has(VirtioFeature.indirect)
    const eventIndex = features.has(VirtioFeature.eventIndex)
    const options = { ...this.addresses, size, indirect, eventIndex }
    return packed ? new PackedRing(memory, options) : new SplitRing(memory, options)
  }

  get isEmpty(): boolean {
    if (!this.ready) return true
    // A look does not settle where the ring is.
    const ring = this.#ring ?? this.#ringAt()
    return this.#again.length === 0 && this.#late.length === 0 && (ring?.isEmpty ?? true)
  }

  take(): VirtioChain | null {
    if (!this.ready) return null
    const again = this.#again.shift()
    if (again !== undefined) return again
    if (this.#takesAgainOnly) return null
    const ring = this.#open()
    if (ring === null) return this.#breaks()
    let taken = ring.take(this.#builder)
    if (taken === 'empty' && ring.listen()) taken = ring.take(this.#builder)
    if (taken === 'empty') return null
    // A chain was made available twice, as there can never be more chains than entries.
    if (taken === 'broken' || this.#inFlight.size >= this.size) return this.#breaks()
    const chain = new RequestChain(this, this.#builder)
    this.#inFlight.add(chain)
    return chain
  }

  #breaks(): null {
    this.#owner.needsReset()
    return null
  }

  again(chain: RequestChain): void {
    if (this.#inFlight.has(chain)) this.#again.push(chain)
  }

  /** A device without bus mastering cannot know whether the ring is in RAM. */
  broken(): void {
    if (this.memory.allowed) this.#owner.needsReset()
  }

  complete(chain: RequestChain, written: number): void {
    if (this.use(chain, written)) this.publish()
  }

  /**
   * Has the device serve the queue after it has stood still: all of it where the driver has notified meanwhile, and else the
   * chains that are handed out again alone. A guest need not notice that its machine was saved.
   */
  goOn(serve: (queue: RingQueue) => void): void {
    if (!this.notified && this.#again.length === 0) return
    this.#takesAgainOnly = !this.notified
    this.notified = false
    serve(this)
    this.#takesAgainOnly = false
  }

  /** Gives back what was completed while the device could not reach memory. */
  useLate(): void {
    let any = false
    for (const [chain, written] of this.#late.splice(0)) if (this.use(chain, written)) any = true
    if (any) this.publish()
  }

  completeTogether(chains: readonly VirtioChain[], written: readonly number[]): void {
    let any = false
    chains.forEach((chain, i) => {
      if (chain instanceof RequestChain && this.use(chain, written[i] ?? 0)) any = true
    })
    if (any) this.publish()
  }

  /** Adds a chain to those that `publish` returns. */
  use(chain: RequestChain, written: number): boolean {
    if (!this.#inFlight.has(chain) || this.#ring === null) return false
    if (!this.memory.allowed) {
      this.#late.push([chain, written])
      return false
    }
    this.#inFlight.delete(chain)
    if (this.#ring.use(chain.id, chain.slots, written)) return true
    this.#owner.needsReset()
    return false
  }

  publish(): void {
    if (this.#ring === null) return
    if (!this.#ring.publish()) this.#owner.needsReset()
    else if (this.#ring.wantsInterrupt()) this.#owner.transport.interruptQueue(this)
  }

  /** Drops all open chains: none of them reaches the guest any more. */
  override reset(): void {
    for (const chain of this.#inFlight) chain.cancel()
    this.#inFlight.clear()
    this.#again = []
    this.#late = []
    this.notified = false
    this.#ring = null
    super.reset()
  }

  #taken(): SavedChain[] {
    const late = new Set(this.#late.map(([chain]) => chain))
    const chains = [...this.#inFlight].filter((chain) => !late.has(chain) && !this.#owner.saves(chain))
    return chains.map((chain) => chain.save())
  }

  override restore(state: unknown): void {
    this.reset()
    super.restore(state)
  }

  /** A chain of a saved state that the device has. */
  takeOver(saved: SavedChain): RequestChain {
    const chain = new RequestChain(this, saved)
    this.#inFlight.add(chain)
    return chain
  }
}
