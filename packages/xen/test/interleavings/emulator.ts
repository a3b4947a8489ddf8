import { createIoRequest, IOREQ_TYPE_INVALIDATE, type InvalidationNotice, type IoreqServer } from '@retrap/ioreq'
import type { Invalidation, MapCache } from '@retrap/mapcache'
import { BUFFERED, changeAndWait, copy, Held, rangeToMap } from './parties.ts'
import { type Grip, type Reach, FIRST_GFN } from './witness.ts'
import type { Party, World } from './world.ts'

/** A transfer under way, whose frame was looked up when it began. */
interface Transfer {
  readonly reach: Reach
}

/** What an INVALIDATE request, or a server's disablement, waits for. */
interface Dropping {
  readonly invalidations: readonly Invalidation[]
  readonly transfers: readonly Transfer[]
  done(): void
}

/** How an emulator differs from others. */
export interface EmulatorKind {
  /** It takes the ranges of a notice. */
  readonly ranges: boolean
  /** It lives on while it is disabled; else it has dropped everything by then. */
  readonly droppable: boolean
}

/**
 * A device emulator with a map cache of its own, which knows the ABI and nothing of our devices: it takes requests when it
 * likes, in any order, and answers them when it likes. Its mappings and transfers take their time.
 */
export class Emulator implements Party {
  readonly name: string
  readonly base: number
  readonly grip: Grip
  readonly server: IoreqServer
  readonly #world: World
  readonly #kind: EmulatorKind
  readonly #cache: MapCache
  readonly #held: Held
  readonly #transfers = new Set<Transfer>()
  /** vCPUs whose slots have a request that has not been taken. */
  readonly #notified = new Set<number>()
  /** vCPUs whose requests have been taken and not answered. */
  readonly #open: number[] = []
  readonly #announced = new Map<number, InvalidationNotice>()
  readonly #dropping: Dropping[] = []
  readonly #request = createIoRequest()
  #dead = false

  constructor(world: World, name: string, base: number, kind: EmulatorKind) {
    this.#world = world
    this.name = name
    this.base = base
    this.#kind = kind
    this.grip = world.newGrip()
    this.#cache = world.openMemory(this.grip)
    this.#held = new Held(world)
    this.server = world.dispatch.createServer({
      name,
      bufferedMode: 2,
      transport: {
        notify: (vcpu) => void this.#notified.add(vcpu),
        notifyBuffered: () => undefined,
        ...(kind.ranges && { announce: (vcpu, notice) => void this.#announced.set(vcpu, notice) }),
        ...(kind.droppable && { dropMappings: (done: () => void) => this.#drop(null, done) }),
        endMappings: () => this.#end(),
      },
    })
    this.server.mapRange(1, base, base + 0xfff)
    this.server.setBufferedRanges(1, [[base + BUFFERED, base + BUFFERED + 7]])
  }

  get reaches(): Reach[] {
    return [...this.#held.reaches, ...Array.from(this.#transfers, ({ reach }) => reach)]
  }

  act(): string | undefined {
    const { rng, hung } = this.#world
    if (hung.has(this.name)) return undefined
    if (rng.chance(1, 64)) {
      hung.add(this.name)
      return `${this.name} hangs`
    }
    switch (rng.below(12)) {
      case 0:
      case 1:
        return this.#takeOne()
      case 2:
      case 3:
        return this.#answerOne()
      case 4:
        return this.#dropOne()
      case 5:
      case 6:
      case 7:
        return this.#mayReach ? this.#map() : undefined
      case 8:
        if (this.#held.size === 0) return undefined
        this.#held.release(rng.below(this.#held.size))
        return `${this.name} releases a mapping`
      case 9:
        return this.#mayReach ? copy(this.#world, this.name, this.#cache) : undefined
      case 10:
        return this.#transfer()
      default:
        return rng.chance(1, 4) ? changeAndWait(this.#world, this, undefined, () => undefined) : this.#consume()
    }
  }

  /** Whether it may look at guest memory at all. */
  get #mayReach(): boolean {
    return !this.#dead && (this.server.enabled || this.#kind.droppable)
  }

  #map(): string {
    const { gfn, gpa, length } = rangeToMap(this.#world)
    const writable = this.#world.rng.chance()
    this.#held.add(writable ? this.#cache.mapForWriting(gpa, length) : this.#cache.map(gpa, length), writable)
    return `${this.name} maps ${length} bytes at guest frame ${gfn}${writable ? ' for writing' : ''}`
  }

  /** Begins a transfer to a frame that it looks up now, or ends one. */
  #transfer(): string | undefined {
    const { rng } = this.#world
    if (this.#transfers.size > 0 && rng.chance()) {
      const transfer = [...this.#transfers][rng.below(this.#transfers.size)] as Transfer
      this.#transfers.delete(transfer)
      return `${this.name} ends a transfer`
    }
    if (!this.#mayReach) return undefined
    // The address is taken out of a mapping, which is not held: the emulator waits for its transfers by itself.
    const { gfn, gpa } = rangeToMap(this.#world)
    const held = new Held(this.#world)
    const mapping = this.#cache.map(gpa, 4)
    held.add(mapping, false)
    const [reach] = held.reaches
    mapping.release()
    if (reach === undefined) return undefined
    this.#transfers.add({ reach })
    return `${this.name} begins a transfer from guest frame ${gfn}`
  }

  /** Buffered writes, in order: each has the device write to a guest frame. */
  #consume(): string | undefined {
    const { ring } = this.server
    if (this.#dead || ring === null || !ring.consume(this.#request)) return undefined
    const gfn = FIRST_GFN + (this.#request.dataLo & 0xff)
    this.#world.bufferedArrives(this.name, gfn, this.#request.dataLo >>> 8)
    if (this.#mayReach) this.#cache.write(gfn * 4096 + 256, Uint8Array.of(9))
    return `${this.name} does a buffered write to guest frame ${gfn}`
  }

  #takeOne(): string | undefined {
    const [vcpu] = this.#notified
    if (vcpu === undefined || this.#dead) return undefined
    this.#notified.delete(vcpu)
    const request = this.#request
    if (!this.server.slot(vcpu).accept(request)) return `${this.name} finds no request of vCPU ${vcpu}`
    if (request.type !== IOREQ_TYPE_INVALIDATE) {
      this.#open.push(vcpu)
      return `${this.name} takes the request of vCPU ${vcpu}`
    }
    const notice = this.#announced.get(vcpu)
    this.#announced.delete(vcpu)
    this.#drop(notice ?? null, () => this.#answer(vcpu))
    return `${this.name} takes the notice of vCPU ${vcpu}`
  }

  #drop(notice: InvalidationNotice | null, done: () => void): void {
    // What the guest has asked for without waiting comes first.
    while (this.#consume() !== undefined);
    const frames = notice?.frames ?? null
    const invalidations =
      frames === null
        ? [this.#cache.invalidate()]
        : frames.map(({ gfn, count, writesOnly }) =>
            writesOnly ? this.#cache.revokeWrites(gfn, count) : this.#cache.invalidate(gfn, count),
          )
    this.#dropping.push({ invalidations, transfers: [...this.#transfers], done })
  }

  /** Acknowledges what can be. */
  #dropOne(): string | undefined {
    const at = this.#dropping.findIndex((each) => this.#isDropped(each))
    if (at < 0) return undefined
    const [dropping] = this.#dropping.splice(at, 1)
    dropping?.done()
    return `${this.name} has dropped what it was asked to`
  }

  #isDropped({ invalidations, transfers }: Dropping): boolean {
    return invalidations.every(({ done }) => done) && !transfers.some((each) => this.#transfers.has(each))
  }

  #answerOne(): string | undefined {
    if (this.#open.length === 0) return undefined
    const [vcpu] = this.#open.splice(this.#world.rng.below(this.#open.length), 1)
    this.#answer(vcpu as number)
    return `${this.name} answers vCPU ${vcpu}`
  }

  #answer(vcpu: number): void {
    if (this.#dead) return
    this.server.slot(vcpu).answer(0x55, 0)
    this.server.answered(vcpu)
  }

  finish(release: boolean): boolean {
    if (this.#world.hung.has(this.name)) return false
    let any = release && (this.#held.releaseAll() || this.#transfers.size > 0)
    if (release) this.#transfers.clear()
    while (this.#takeOne() !== undefined) any = true
    while (this.#answerOne() !== undefined) any = true
    while (this.#dropOne() !== undefined) any = true
    return any
  }

  setEnabled(enabled: boolean): void {
    // Nobody could ask it to drop anything later on.
    if (!enabled && !this.#kind.droppable) {
      while (this.#consume() !== undefined);
      this.#held.releaseAll()
      this.#transfers.clear()
      this.#cache.invalidate()
    }
    this.server.setState(enabled)
  }

  die(): void {
    this.server.destroy()
  }

  #end(): void {
    this.#dead = true
    this.#transfers.clear()
    this.#cache.close()
    this.#held.forgetEnded()
    this.#open.length = 0
    this.#notified.clear()
    this.#dropping.length = 0
  }
}
