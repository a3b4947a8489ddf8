import { DeviceError, type RangeHandler, type Region, type RegionOptions, type AccessRequest } from '@retrap/device'
import { hex } from '@retrap/device/host'

/** Answers for a model that was detached: ones on reads, writes dropped. */
export const DEAD_HANDLER: RangeHandler = {
  read: () => 0xffff_ffff,
  write: () => {},
  read64: (_offset, into) => {
    into.lo = 0xffff_ffff
    into.hi = 0xffff_ffff
  },
  write64: () => {},
}

/** How a device model is made slow, or dead, so that one sees what its guest does then. */
export interface DeviceImpairment {
  /** Called before each access, which the model gets when the promise has resolved. Default: at once. */
  readonly wait?: () => PromiseLike<void>
  /** Reads return ones and writes are dropped, without the model. Default false. */
  readonly dead?: boolean
}

/** A handler behind an impairment. An access that is cancelled while it waits does not reach the model. */
function impairedHandler(own: RangeHandler, { wait, dead = false }: DeviceImpairment): RangeHandler {
  const handler = dead ? DEAD_HANDLER : own
  if (wait === undefined) return handler
  const cancelled = async (request: AccessRequest | undefined): Promise<boolean> => {
    await wait()
    return request?.signal.aborted === true
  }
  return {
    read: async (offset, size, request) => ((await cancelled(request)) ? 0 : handler.read(offset, size, request)),
    write: async (offset, size, value, request) => {
      if (!(await cancelled(request))) await handler.write(offset, size, value, request)
    },
    ...(handler.read64 !== undefined && {
      read64: async (offset, into, request) => {
        if (!(await cancelled(request))) await handler.read64!(offset, into, request)
      },
    }),
    ...(handler.write64 !== undefined && {
      write64: async (offset, lo, hi, request) => {
        if (!(await cancelled(request))) await handler.write64!(offset, lo, hi, request)
      },
    }),
  }
}

/** The bit for an access of `size` bytes in {@link ClaimedRegion.directSizes}. */
const sizeBit = (size: number): number => 1 << (16 + size)

/** The set of all sizes up to this one. */
export const sizesUpTo = (size: number): number => sizeBit(size + 1) - 1

/** A part of a model's memory, which follows the region that it is shown in. */
export interface ShownMemory {
  /** Shows the part at an address. @param gpa - −1: nowhere */
  follow(gpa: number): void
}

/** The owner of a region, told when its claim changes. */
export interface RegionOwner {
  /** Checks a claim that is about to be made; throws DeviceError where it may not be. */
  checkClaim(region: ClaimedRegion, base: number): void
  claimChanged(region: ClaimedRegion): void
  /** The region is gone. */
  claimDropped(region: ClaimedRegion): void
}

/** Describes a region that is about to be claimed. */
export interface RegionClaim {
  /** Name of the device model. */
  readonly device: string
  /** Ports or guest-physical addresses. */
  readonly kind: 'port' | 'mmio'
  /** First port or guest-physical address. */
  readonly base: number
  /** Ports or bytes. */
  readonly length: number
  /** Makes the accesses. */
  readonly handler: RangeHandler
  /** Accesses may be made without the request page. */
  readonly direct: boolean
  /** The part of a model's memory that it shows; null: nothing. */
  readonly window: ShownMemory | null
}

/**
 * A range of an in-process model, and what an access finds in the lookup tables. Every field that a hot path reads is
 * a plain one, in constant shape.
 */
export class ClaimedRegion implements Region {
  /** Ports or guest-physical addresses. */
  readonly kind: 'port' | 'mmio'
  /** First port or guest-physical address. */
  base: number
  /** Ports or bytes. */
  readonly length: number
  /** Makes the accesses. Its model's own, or one before it: see {@link ClaimedRegion.impair}. */
  handler: RangeHandler
  /** Larger accesses are split. */
  readonly maximumAccess: number
  /** Smaller accesses are widened. */
  readonly minimumAccess: number
  /** Which of two overlapping regions answers: the higher. */
  readonly priority: number
  /** Accesses may be made without the request page. */
  direct: boolean
  /**
   * The sizes of accesses that one call of the handler makes at once: bit 16 + size, so that a look-up's entry can have
   * an index below. 0 where the region is not direct.
   */
  directSizes = 0
  /** Writes may be delivered late. */
  readonly buffered: boolean
  /** Whether the region answers. */
  enabled: boolean
  /** The part of a model's memory that it shows, which follows it; null: nothing. */
  window: ShownMemory | null
  /** Name of the device model. */
  readonly device: string
  /** The server that answers for it, where look-ups know it: see `ServedRegion`. */
  server: object | null = null
  readonly #owner: RegionOwner | null
  /** The model's own handler, and whether it answers at once. */
  #ownHandler: RangeHandler
  readonly #ownDirect: boolean

  constructor(owner: RegionOwner | null, claim: RegionClaim, options: RegionOptions = {}) {
    const { device, kind, base, length, handler, direct } = claim
    this.kind = kind
    this.base = base
    this.length = length
    this.handler = handler
    this.maximumAccess = options.maximumAccess ?? 4
    this.minimumAccess = options.minimumAccess ?? 1
    this.priority = options.priority ?? 0
    this.direct = direct
    this.#ownHandler = handler
    this.#ownDirect = direct
    this.#setDirect(direct)
    this.window = claim.window
    this.buffered = options.buffered ?? false
    this.enabled = !(options.disabled ?? false)
    this.device = device
    this.#owner = owner
    if (owner !== null) {
      this.#checkPlace(base)
      if (this.minimumAccess > this.maximumAccess) {
        throw new DeviceError(
          'ERR_INVALID',
          `${device}: minimum access ${this.minimumAccess} is above maximum access ${this.maximumAccess}`,
        )
      }
      if (this.maximumAccess === 8 && (handler.read64 === undefined || handler.write64 === undefined)) {
        throw new DeviceError('ERR_INVALID', `${device}: maximumAccess 8 needs a handler with read64 and write64`)
      }
      if (length % this.minimumAccess !== 0) {
        throw new DeviceError(
          'ERR_INVALID',
          `${device}: length ${length} is not a multiple of minimumAccess ${this.minimumAccess}`,
        )
      }
    }
  }

  #setDirect(direct: boolean): void {
    this.direct = direct
    this.directSizes = 0
    for (const size of direct ? [1, 2, 4] : []) {
      if (size >= this.minimumAccess && size <= this.maximumAccess) this.directSizes |= sizeBit(size)
    }
  }

  /** Has accesses wait, or go nowhere; null: its model makes them again. Memory that the guest reaches as RAM is left alone. */
  impair(impairment: DeviceImpairment | null): void {
    if (this.window !== null) return
    this.handler = impairment === null ? this.#ownHandler : impairedHandler(this.#ownHandler, impairment)
    this.#setDirect(this.#ownDirect && impairment?.wait === undefined)
    if (this.enabled) this.#owner?.claimChanged(this)
  }

  /** Its model is gone: reads return ones, and writes are dropped. */
  abandon(): void {
    this.#ownHandler = DEAD_HANDLER
    this.handler = DEAD_HANDLER
    this.window?.follow(-1)
    this.window = null
  }

  #checkPlace(base: number): void {
    const limit = this.kind === 'port' ? 0x1_0000 : 2 ** 52
    if (
      !Number.isSafeInteger(base) ||
      !Number.isSafeInteger(this.length) ||
      base < 0 ||
      this.length < 1 ||
      base + this.length > limit
    ) {
      throw new DeviceError(
        'ERR_INVALID',
        `${this.device}: ${this.kind} range at ${hex(base)} of ${this.length} does not fit below ${hex(limit)}`,
      )
    }
  }

  /** Answers again. @throws DeviceError `ERR_EXISTS` */
  enable(): void {
    if (this.enabled) return
    this.#owner?.checkClaim(this, this.base)
    this.enabled = true
    try {
      this.#owner?.claimChanged(this)
    } catch (error) {
      // All ranges are taken, or the machine has no room for the tables of its memory: it stays off.
      this.disable()
      throw error
    }
  }

  /** Stops answering; keeps the place. */
  disable(): void {
    if (!this.enabled) return
    this.enabled = false
    this.#owner?.claimChanged(this)
  }

  /** Moves the region. @throws DeviceError `ERR_EXISTS`, `ERR_INVALID` */
  move(base: number): void {
    if (base === this.base) return
    this.#checkPlace(base)
    if (this.enabled) this.#owner?.checkClaim(this, base)
    this.base = base
    if (this.enabled) this.#owner?.claimChanged(this)
  }

  /** Gives the region up permanently. */
  unmap(): void {
    this.enabled = false
    this.#owner?.claimDropped(this)
  }
}

/** A claim as look-ups take it in. */
export interface Claim {
  /** First port or guest-physical address. */
  readonly start: number
  /** The one after the last. */
  readonly end: number
  /** Answers there, or stands for a server elsewhere. */
  readonly region: ClaimedRegion
}

/** Stands for accesses that no handler of this process answers. */
export function placeholder(kind: 'port' | 'mmio'): ClaimedRegion {
  return new ClaimedRegion(null, {
    device: '',
    kind,
    base: 0,
    length: 0,
    handler: DEAD_HANDLER,
    direct: false,
    window: null,
  })
}
