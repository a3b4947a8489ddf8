import type { Instant } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { GuestAccess } from '../src/xhci/guest-access.ts'
import { Interrupter } from '../src/xhci/interrupter.ts'

const TABLE = 0x100
const RING = 0x1000
const TRBS = 16
const RING_FULL = 21
const EVENT = 32
const HOST_CONTROLLER = 37

function interrupter() {
  const ram = new Uint8Array(0x2000)
  const words = new DataView(ram.buffer)
  let drained = 0
  const dma = {
    read: (gpa: number, into: Uint8Array) => (into.set(ram.subarray(gpa, gpa + into.length)), true),
    write: (gpa: number, from: Uint8Array) => (ram.set(from, gpa), true),
  } as never
  const subject = new Interrupter(0, {
    memory: new GuestAccess(dma, () => expect.unreachable()),
    clock: { read: (into: Instant) => into.set({ lo: 0, hi: 0 }) } as never,
    timer: () => ({ armAfter() {}, cancel() {} }) as never,
    mayWrite: () => true,
    raised() {},
    changed() {},
    broken: () => expect.unreachable(),
    drained: () => void drained++,
  })
  words.setUint32(TABLE, RING, true)
  words.setUint32(TABLE + 8, TRBS, true)
  const take = (index: number): void => subject.write(0x18, RING + 16 * index)
  subject.write(0x08, 1)
  take(0)
  subject.write(0x10, TABLE)
  /** Number of an event, `full`, or −1 where the ring has none. */
  const at = (index: number): number | 'full' => {
    const [number, status, control] = [0, 8, 12].map((offset) => words.getUint32(RING + 16 * index + offset, true))
    if (control! >>> 10 === HOST_CONTROLLER) return status! >>> 24 === RING_FULL ? 'full' : -1
    return control! >>> 10 === EVENT ? number! : -1
  }
  return {
    ...{ subject, take, at, drained: () => drained },
    post: (number: number): void => subject.post([number, 0, 0, EVENT << 10], false),
    ring: () => Array.from({ length: TRBS }, (_, i) => at(i)),
  }
}

describe('an event ring that is full (xHCI 1.2, §4.9.4.1)', () => {
  test('says so once, in its last place, and goes on when it has two', () => {
    const { subject, take, post, ring, at, drained } = interrupter()
    for (let number = 0; number < 18; number++) post(number)
    // One place stays free, so that a full ring is no empty one.
    const before = [...Array.from({ length: TRBS - 2 }, (_, i) => i), 'full', -1]
    expect(ring()).toEqual(before)
    expect(subject.isFull).toBe(true)
    // The ring is still full: neither an event nor a second notice.
    take(1)
    post(18)
    expect(ring()).toEqual(before)
    // All that waited, in order.
    take(8)
    expect([at(15), at(0), at(1), at(2), at(3)]).toEqual([14, 15, 16, 17, 18])
    expect([subject.isFull, drained()]).toEqual([false, 1])
  })
})
