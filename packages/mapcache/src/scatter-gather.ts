import { describeArgument } from '@retrap/basics'
import { check } from './arguments.ts'
import { MapCacheError } from './errors.ts'

/** One piece of guest memory in a device's descriptors. */
export interface GuestRange {
  /** Guest-physical address of its first byte. */
  readonly gpa: number
  /** Size in bytes. */
  readonly length: number
}

/** The part of a `MapCache` that the helpers here need. */
export interface GuestBytes {
  /** Copies out; see `MapCache.readSome`. */
  readSome(gpa: number, into: Uint8Array): number
  /** Copies in; see `MapCache.writeSome`. */
  writeSome(gpa: number, from: Uint8Array): number
}

/** The bytes of a list. */
export function lengthOf(list: readonly GuestRange[]): number {
  check.list('list', list)
  let sum = 0
  for (const { length } of list) sum += length
  return sum
}

/**
 * Copies a list of pieces out of the guest in order.
 *
 * @param skip - bytes of the list to begin after
 * @returns the bytes copied: until `into` is full, the list ends, or a piece is not RAM
 * @throws MapCacheError `ERR_RANGE` for a negative `skip`
 */
export function gather(guest: GuestBytes, list: readonly GuestRange[], into: Uint8Array, skip: number = 0): number {
  check.methods('guest', guest, 'readSome')
  return transfer(list, into, skip, (gpa, piece) => guest.readSome(gpa, piece))
}

/** Copies into a list of pieces of the guest; otherwise as {@link gather}. */
export function scatter(guest: GuestBytes, list: readonly GuestRange[], from: Uint8Array, skip: number = 0): number {
  check.methods('guest', guest, 'writeSome')
  return transfer(list, from, skip, (gpa, piece) => guest.writeSome(gpa, piece))
}

/**
 * Copies within a guest; the two ranges must not overlap.
 *
 * @returns the bytes copied: until `length`, or a page that is not RAM on either side
 */
export function copyGuest(guest: GuestBytes, to: number, from: number, length: number): number {
  check.methods('guest', guest, 'readSome', 'writeSome')
  check.number('to', to)
  check.number('from', from)
  if (!(Number.isSafeInteger(length) && length >= 0)) {
    throw new MapCacheError('ERR_RANGE', `length ${describeArgument(length)}: expected an integer from 0 on`, {
      length,
    })
  }
  const buffer = new Uint8Array(Math.min(length, 0x1_0000))
  for (let done = 0; done < length;) {
    const piece = buffer.subarray(0, Math.min(buffer.length, length - done))
    const read = guest.readSome(from + done, piece)
    const written = guest.writeSome(to + done, piece.subarray(0, read))
    done += written
    if (written < piece.length) return done
  }
  return length
}

function transfer(
  list: readonly GuestRange[],
  bytes: Uint8Array,
  skip: number,
  move: (gpa: number, piece: Uint8Array) => number,
): number {
  check.list('list', list)
  check.bytes('bytes', bytes)
  if (!(Number.isSafeInteger(skip) && skip >= 0)) {
    throw new MapCacheError('ERR_RANGE', `${describeArgument(skip)} bytes to skip: expected an integer from 0 on`, {
      skip,
    })
  }
  let left = skip
  let done = 0
  for (const { gpa, length } of list) {
    if (done === bytes.length) break
    if (left >= length) {
      left -= length
      continue
    }
    const piece = bytes.subarray(done, done + length - left)
    const moved = move(gpa + left, piece)
    left = 0
    done += moved
    if (moved < piece.length) break
  }
  return done
}
