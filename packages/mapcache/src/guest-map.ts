import { check } from './arguments.ts'

/** The kind of a guest frame for a device model: RAM, RAM that it must not write, a device's registers, or nothing. */
export type FrameKind = 'ram' | 'rom' | 'mmio' | 'hole'

/** Filled in by a {@link GuestMap}. */
export class GuestFrame {
  /** Kind of the frame. */
  kind: FrameKind = 'hole'
  /** Machine frame, for `ram` and `rom`; otherwise −1. */
  mfn: number = -1
  /**
   * Guest frames from this one on, at least 1, certainly of the same kind and in consecutive machine frames, if any:
   * the rest of a large leaf.
   */
  run: number = 1
}

/** A guest's map, as far as the cache looks at it. {@link guestMapOf} makes one of a `P2m`. */
export interface GuestMap {
  /** Looks up the present memory type of a guest frame, into `into`. Must not throw for any frame number from 0 to 2 ** 40. */
  lookup(gfn: number, into: GuestFrame): void
  /** Called when a device model has written RAM: log-dirty tracking. Not for writes to ROM, which are discarded. */
  dirtied?(gfn: number, count: number): void
  /** Called before a device model writes RAM, or holds it for writing: its contents are still the old ones. */
  writing?(gfn: number, count: number): void
}

/**
 * References to machine frames. A frame with a reference is not given to anybody else, whatever becomes of the guest
 * frame that it was. `FrameCounts` of `@retrap/p2m` is one.
 */
export interface FrameReferences {
  /** Takes a reference to each frame of a run; false, with none taken, if one of them is free. */
  tryTake(mfn: number, count: number): boolean
  /** Drops the references. */
  drop(mfn: number, count: number): void
}

/** The part of a `P2m` that {@link guestMapOf} uses. */
export interface P2mView {
  /** The format whose types the map has: an Arm guest's with `lpae`; default an x86 guest's. */
  readonly format?: 'ept' | 'lpae'
  /** Looks a guest frame up, into `into`; returns its type. */
  lookup(gfn: number, into: { mfn: number; type: number; order: number; rights: number }): number
}

/** Types of an x86 p2m, as `@retrap/p2m` numbers them. Any other is a hole to a device model. */
const KIND_OF_TYPE: Readonly<Record<number, FrameKind>> = {
  0: 'ram', // ram_rw
  2: 'ram', // ram_logdirty: written like any RAM, and reported by `dirtied`
  3: 'rom', // ram_ro
  4: 'mmio', // mmio_dm
  5: 'mmio', // mmio_direct
  15: 'ram', // ioreq_server: claimed accesses are the vCPUs', not DMA
}

/** Kinds by type of a stage-2 p2m, where a hole is 0. */
const KIND_OF_ARM_TYPE: Readonly<Record<number, FrameKind>> = {
  1: 'ram', // RAM_RW
  2: 'rom', // RAM_RO
  3: 'mmio', // MMIO_DIRECT_DEV, and two more
  4: 'mmio',
  5: 'mmio',
  12: 'ram', // RAM_LOGDIRTY
}

/**
 * Adapts a `P2m` for the cache.
 *
 * @param dirtied - what is to be done for RAM that a device model wrote; default nothing
 * @param writing - what is to be done for RAM that a device model is about to write; default nothing
 */
export function guestMapOf(
  p2m: P2mView,
  dirtied?: (gfn: number, count: number) => void,
  writing?: (gfn: number, count: number) => void,
): GuestMap {
  check.methods('p2m', p2m, 'lookup')
  if (dirtied !== undefined) check.function('dirtied', dirtied)
  if (writing !== undefined) check.function('writing', writing)
  const kinds = p2m.format === 'lpae' ? KIND_OF_ARM_TYPE : KIND_OF_TYPE
  const entry = { mfn: -1, type: 0, order: 0, rights: 0 }
  const lookup = (gfn: number, into: GuestFrame): void => {
    p2m.lookup(gfn, entry)
    const size = 2 ** entry.order
    const kind = kinds[entry.type] ?? 'hole'
    into.kind = kind
    into.mfn = kind === 'ram' || kind === 'rom' ? entry.mfn : -1
    into.run = size - (gfn % size)
  }
  return { lookup, ...(dirtied && { dirtied }), ...(writing && { writing }) }
}
