import type { RangeHandler, Region, RegionOptions, Word64 } from './device.ts'
import { hex, IoreqError, notNumber } from './errors.ts'
import type { IoreqServer } from './server.ts'

/** What a region's owner is told when its claim changes. */
export interface RegionOwner {
  /** Checks a claim that is about to be made; throws IoreqError where it may not be. */
  checkClaim(region: ClaimedRegion, base: number): void
  /** The claim has changed. */
  claimChanged(region: ClaimedRegion): void
  /** The region is gone. */
  claimDropped(region: ClaimedRegion): void
}

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

/**
 * A range of an in-process model, and what an access finds in the lookup tables. Every field that a hot path reads is
 * a plain one, in constant shape.
 */
export class ClaimedRegion implements Region {
  readonly kind: 'port' | 'mmio'
  base: number
  readonly length: number
  handler: RangeHandler
  readonly maximumAccess: number
  readonly minimumAccess: number
  readonly priority: number
  /** Accesses may be made without the request page. */
  readonly direct: boolean
  /** Writes may be delivered late. */
  readonly buffered: boolean
  enabled: boolean
  /** Name of the device model. */
  readonly device: string
  /** The server that answers for it, where look-ups know it. */
  server: IoreqServer | null = null
  readonly #owner: RegionOwner | null

  constructor(
    owner: RegionOwner | null,
    device: string,
    kind: 'port' | 'mmio',
    base: number,
    length: number,
    handler: RangeHandler,
    direct: boolean,
    options: RegionOptions = {},
  ) {
    this.kind = kind
    this.base = base
    this.length = length
    this.handler = handler
    this.maximumAccess = options.maximumAccess ?? 4
    this.minimumAccess = options.minimumAccess ?? 1
    this.priority = options.priority ?? 0
    this.direct = direct
    this.buffered = options.buffered ?? false
    this.enabled = !(options.disabled ?? false)
    this.device = device
    this.#owner = owner
    if (owner !== null) {
      this.#checkPlace(base)
      if (this.minimumAccess > this.maximumAccess) {
        throw new IoreqError(
          'ERR_INVALID',
          `${device}: minimum access ${this.minimumAccess} is above maximum access ${this.maximumAccess}`,
        )
      }
      if (this.maximumAccess === 8 && (handler.read64 === undefined || handler.write64 === undefined)) {
        throw new IoreqError('ERR_INVALID', `${device}: maximumAccess 8 needs a handler with read64 and write64`)
      }
      if (length % this.minimumAccess !== 0) {
        throw new IoreqError(
          'ERR_INVALID',
          `${device}: length ${length} is not a multiple of minimumAccess ${this.minimumAccess}`,
        )
      }
    }
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
      throw new IoreqError(
        'ERR_INVALID',
        `${this.device}: ${this.kind} range at ${hex(base)} of ${this.length} does not fit below ${hex(limit)}`,
      )
    }
  }

  enable(): void {
    if (this.enabled) return
    this.#owner?.checkClaim(this, this.base)
    this.enabled = true
    this.#owner?.claimChanged(this)
  }

  disable(): void {
    if (!this.enabled) return
    this.enabled = false
    this.#owner?.claimChanged(this)
  }

  move(base: number): void {
    if (base === this.base) return
    this.#checkPlace(base)
    if (this.enabled) this.#owner?.checkClaim(this, base)
    this.base = base
    if (this.enabled) this.#owner?.claimChanged(this)
  }

  unmap(): void {
    this.enabled = false
    this.#owner?.claimDropped(this)
  }
}

/** Cuts a handler's answer to its size; a size of 4 yields an unsigned word. */
export function cut(value: number, size: number): number {
  return size === 4 ? value >>> 0 : size === 1 ? value & 0xff : value & 0xffff
}

/** Thrown by a synchronous access when the model answers with something that is no number. Caught by the dispatcher. */
export function checkedNumber(value: number | Promise<number>): number {
  if (typeof value === 'number') return value
  if (isPromise(value)) {
    // The model has broken its word; its promise must not bring the process down as well.
    Promise.resolve(value).catch(() => {})
    throw new IoreqError('ERR_DEVICE', 'a model that is declared synchronous returned a promise')
  }
  throw notNumber(value)
}

/** As {@link checkedNumber}, for writes. */
export function checkedVoid(value: void | Promise<void>): void {
  if (value === undefined || !isPromise(value)) return
  Promise.resolve(value).catch(() => {})
  throw new IoreqError('ERR_DEVICE', 'a model that is declared synchronous returned a promise')
}

/** Whether a handler's answer is still to come. */
export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

/** Whether a region takes an access as one call of `read` or `write`. */
export function isOneCall(region: ClaimedRegion, offset: number, size: number): boolean {
  const { length, minimumAccess, maximumAccess } = region
  return size <= maximumAccess && size >= minimumAccess && size <= 4 && size !== 3 && offset + size <= length
}

/**
 * The largest piece of an access that a region takes at once: a power of two, within the region and its limit.
 * An access is split lowest address first.
 */
export function pieceSize(region: ClaimedRegion, offset: number, size: number): number {
  let piece = Math.min(size, region.maximumAccess, region.length - offset)
  if (piece === 3) piece = 2
  else if (piece > 4 && piece < 8) piece = 4
  return piece
}

/**
 * Reads `size` bytes (1–8) at `offset`, inside the region, splitting and widening as its options say.
 * For models that answer at once.
 */
export function readRegion(region: ClaimedRegion, offset: number, size: number, into: Word64): void {
  const { handler, minimumAccess } = region
  let lo = 0
  let hi = 0
  for (let done = 0; done < size;) {
    const piece = pieceSize(region, offset + done, size - done)
    const at = offset + done
    if (piece === 8) {
      checkedVoid(handler.read64!(at, into))
      into.lo >>>= 0
      into.hi >>>= 0
      return
    }
    let value: number
    let bytes = piece
    if (piece < minimumAccess) {
      const unit = at - (at % minimumAccess)
      bytes = Math.min(piece, unit + minimumAccess - at)
      if (bytes === 3) bytes = 2
      value = checkedNumber(handler.read(unit, minimumAccess as 2 | 4)) >>> (8 * (at - unit))
    } else {
      value = checkedNumber(handler.read(at, piece as 1 | 2 | 4))
    }
    value = cut(value, bytes)
    // A piece may lie across the two words where an odd offset was split.
    if (done < 4) {
      lo |= value << (8 * done)
      if (done + bytes > 4) hi |= value >>> (8 * (4 - done))
    } else {
      hi |= value << (8 * (done - 4))
    }
    done += bytes
  }
  into.lo = lo >>> 0
  into.hi = hi >>> 0
}

/** Writes `size` bytes (1–8) at `offset`, inside the region. For models that answer at once. */
export function writeRegion(region: ClaimedRegion, offset: number, size: number, lo: number, hi: number): void {
  const { handler, minimumAccess } = region
  for (let done = 0; done < size;) {
    const piece = pieceSize(region, offset + done, size - done)
    const at = offset + done
    if (piece === 8) {
      checkedVoid(handler.write64!(at, lo >>> 0, hi >>> 0))
      return
    }
    let bytes = piece
    if (piece < minimumAccess) {
      const unit = at - (at % minimumAccess)
      bytes = Math.min(piece, unit + minimumAccess - at)
      if (bytes === 3) bytes = 2
      const value = merge(
        checkedNumber(handler.read(unit, minimumAccess as 2 | 4)),
        at - unit,
        bytes,
        take(lo, hi, done),
      )
      checkedVoid(handler.write(unit, minimumAccess as 2 | 4, cut(value, minimumAccess)))
    } else {
      checkedVoid(handler.write(at, piece as 1 | 2 | 4, cut(take(lo, hi, done), piece)))
    }
    done += bytes
  }
}

/** The bytes of a 64-bit value from byte `from` on, 32 bits of them. */
export function take(lo: number, hi: number, from: number): number {
  if (from === 0) return lo
  if (from === 4) return hi
  return from < 4 ? (lo >>> (8 * from)) | (hi << (32 - 8 * from)) : hi >>> (8 * (from - 4))
}

/** Puts the low `bytes` of `value` at byte `at` of `unit`. */
export function merge(unit: number, at: number, bytes: number, value: number): number {
  const mask = bytes === 4 ? -1 : ((1 << (8 * bytes)) - 1) << (8 * at)
  return ((unit & ~mask) | ((value << (8 * at)) & mask)) >>> 0
}
