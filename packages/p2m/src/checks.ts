import { ArgumentChecks, describeArgument, hasMethods } from '@retrap/basics'
import { MachineMemory } from '@retrap/memory'
import { hex, P2mError } from './errors.ts'
import { INVALID_MFN, KIND_DEVICE, KIND_HOLE, KIND_PLAIN, KIND_RAM, MAX_GFN } from './types.ts'

/** Sizes of leaves, the largest first, as powers of two of 4 KiB. */
export const ORDERS = [18, 9, 0] as const

/** Throws a P2mError `ERR_ARGUMENT` for an argument of the wrong type. */
export const check: ArgumentChecks = /*#__PURE__*/ new ArgumentChecks(
  (message) => new P2mError('ERR_ARGUMENT', message),
)

/** @throws P2mError `ERR_ARGUMENT` unless `value` is a machine's memory */
export function checkMemory(value: MachineMemory): void {
  if (!(value instanceof MachineMemory)) throw check.wrong('memory', value, 'a MachineMemory')
}

/** @throws P2mError `ERR_ARGUMENT` unless `value` looks like a map */
export function checkP2m(value: unknown): void {
  if (!hasMethods(value, 'lookup', 'onRelease', 'insert')) throw check.wrong('p2m', value, 'a P2m')
}

/** Throws unless the frames are one naturally aligned run of guest frames. */
export function checkRun(gfn: number, order: number, limit: number): void {
  checkOrder(order)
  checkRange(gfn, 2 ** order, limit)
  if (gfn % 2 ** order === 0) return
  throw new P2mError('ERR_ALIGN', `guest frame ${hex(gfn)} is not aligned to order ${order}`, { gfn, order })
}

/** Refuses an empty range, and guest frames beyond the limit. */
export function checkRange(gfn: number, count: number, limit: number = MAX_GFN): void {
  if (Number.isSafeInteger(gfn) && Number.isSafeInteger(count) && gfn >= 0 && count >= 1 && gfn + count <= limit) return
  throw new P2mError(
    'ERR_RANGE',
    `${describeArgument(count)} guest frames at ${hex(gfn)}: expected at least 1, below 2^${Math.log2(limit)}`,
    {
      gfn,
      count,
    },
  )
}

/** Refuses frames that are not in machine memory. */
export function checkFrames(memory: MachineMemory, mfn: number, count: number): void {
  // Frame 0 never has an owner.
  if (Number.isSafeInteger(mfn) && mfn > 0 && mfn + count <= memory.frameCount) return
  throw new P2mError(
    'ERR_RANGE',
    `${describeArgument(count)} machine frames at ${hex(mfn)} are not in machine memory`,
    { mfn, count },
  )
}

/**
 * Refuses types that cannot be inserted directly, and a machine frame that its type excludes or lacks.
 *
 * @param kinds - kinds of the type
 */
export function checkBacking(memory: MachineMemory, mfn: number, count: number, type: number, kinds: number): void {
  if ((kinds & (KIND_PLAIN | KIND_DEVICE)) !== 0) {
    checkFrames(memory, mfn, count)
    return
  }
  if ((kinds & KIND_HOLE) === 0 || (kinds & KIND_RAM) !== 0) {
    throw new P2mError('ERR_TYPE', `type ${describeArgument(type)} cannot be inserted`, { type })
  }
  if (mfn === INVALID_MFN) return
  throw new P2mError('ERR_TYPE', `type ${describeArgument(type)} has no machine frame, but ${hex(mfn)} was given`, {
    type,
    mfn,
  })
}

/** The largest order that both frame numbers are aligned to and `count` has room for. */
export function largestOrder(gfn: number, mfn: number, count: number): number {
  for (const order of ORDERS) {
    const size = 2 ** order
    if (count >= size && gfn % size === 0 && mfn % size === 0) return order
  }
  return 0
}

/** Refuses a size that no leaf has. */
export function checkOrder(order: number): void {
  if (order === 0 || order === 9 || order === 18) return
  throw new P2mError('ERR_ORDER', `order ${describeArgument(order)}: expected 0 (4 KiB), 9 (2 MiB) or 18 (1 GiB)`, {
    order,
  })
}

/** The error for another guest's frame in the way. */
export function anothersFrame(gfn: number): P2mError {
  return new P2mError('ERR_FOREIGN', `guest frame ${hex(gfn)} is another's or a device's: it is to be unmapped first`, {
    gfn,
  })
}

/** Returns the error for a lack of RAM frames. */
export function noRam(memory: MachineMemory, count: number): P2mError {
  return new P2mError(
    'ERR_NO_MEMORY',
    `no machine frames for ${count} frames of RAM: ${memory.frames.freeFrames} free`,
    {
      count,
      freeFrames: memory.frames.freeFrames,
    },
  )
}
