// The parts of a TCP connection, by the figures of their RFCs and by models.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BufferBudget, StreamBuffer } from '../src/tcp/buffer-budget.ts'
import { Congestion } from '../src/tcp/congestion.ts'
import { ReceiveQueue } from '../src/tcp/receive-queue.ts'
import { RoundTrip } from '../src/tcp/sender.ts'

describe('how much may be in flight', () => {
  test.each([
    [64, 640],
    [536, 5360],
    [1460, 14_600],
    [1461, 14_600],
    [7300, 14_600],
    [7301, 14_602],
    [8960, 17_920],
  ])('with segments of %d bytes it begins with %d (RFC 6928 §2)', (mss, window) => {
    expect(new Congestion(mss).window).toBe(window)
    const other = new Congestion(100)
    other.setMss(mss)
    expect(other.window).toBe(window)
  })

  test('slow start adds what was acknowledged, two segments at most (RFC 3465 §2.2)', () => {
    const congestion = new Congestion(1000)
    const windows = [1, 1999, 2000, 2001, 50_000].map((bytes) => {
      expect(congestion.acknowledged(bytes, 0, 0)).toBe('none')
      return congestion.window
    })
    expect(windows).toEqual([10_001, 12_000, 14_000, 16_000, 18_000])
    for (let i = 0; i < 10_000; i++) congestion.acknowledged(2000, 0, 0)
    expect(congestion.window).toBe(1 << 24)
  })

  test('two duplicates release a segment each; the third repeats one, and halves (RFC 5681 §3.2, RFC 6582)', () => {
    const congestion = new Congestion(1000)
    const heard = () => [congestion.duplicate(5000, 15_001), congestion.window]
    expect([heard(), heard()]).toEqual([
      ['none', 11_000],
      ['none', 12_000],
    ])
    // Half of 10,001 bytes in flight, and three segments.
    expect(heard()).toEqual(['retransmit', 5000 + 3000])
    expect(heard()).toEqual(['none', 9000])
    // A part was acknowledged: the next segment is lost too. The window shrinks by that part, and grows by a segment.
    expect([congestion.acknowledged(3000, 15_000, 7000), congestion.window]).toEqual(['retransmit', 7000])
    expect([congestion.acknowledged(999, 15_000, 7000), congestion.window]).toEqual(['retransmit', 6001])
    expect([congestion.acknowledged(20_000, 15_000, 7000), congestion.window]).toEqual(['retransmit', 2000])
    // All of it was: half of the flight is left, or less where less is in flight.
    expect([congestion.acknowledged(1000, 15_001, 2500), congestion.window]).toEqual(['none', 3500])
  })

  test.each([
    [9000, 5000],
    [500, 2000],
    [0, 2000],
  ])('after a recovery with %d bytes in flight the window is %d', (flight, window) => {
    const congestion = new Congestion(1000)
    for (let i = 0; i < 3; i++) congestion.duplicate(0, 10_000)
    congestion.acknowledged(10_000, 10_000, flight)
    expect(congestion.window).toBe(window)
  })

  test('a loss of what was sent before the last loss was seen is the same one', () => {
    const congestion = new Congestion(1000)
    const three = (una: number, next: number) =>
      [0, 1, 2].map(() => congestion.duplicate(una, next)).filter((each) => each === 'retransmit').length
    expect(three(0, 10_000)).toBe(1)
    congestion.acknowledged(10_000, 10_000, 0)
    expect([three(10_000, 20_000), three(10_001, 20_000)]).toEqual([0, 1])
    // Byte 0 can be lost first.
    expect(new Congestion(1000).duplicate(0, 1)).toBe('none')
  })

  test('above half of what was lost it grows by a segment a round trip (RFC 5681 §3.1)', () => {
    const congestion = new Congestion(1000)
    congestion.timedOut(0, 9000)
    expect(congestion.window).toBe(1000)
    const grow = (bytes: number) => (congestion.acknowledged(bytes, 0, 0), congestion.window)
    expect([grow(2000), grow(1500), grow(1000)]).toEqual([3000, 4500, 4500 + Math.floor(1e6 / 4500)])
    expect(grow(9000)).toBe(4722 + Math.floor(2e6 / 4722))
    congestion.timedOut(0, 3999)
    expect([grow(1000), grow(1000)]).toEqual([2000, 2500])
    // A byte at least, so that it grows at all.
    const slow = new Congestion(64)
    slow.timedOut(0, 4 << 20)
    for (let i = 0; i < 20_000; i++) slow.acknowledged(128, 0, 0)
    const before = slow.window
    slow.acknowledged(1, 0, 0)
    expect(slow.window).toBe(before + 1)
  })

  test('a timeout ends a recovery, and forgets duplicates', () => {
    const congestion = new Congestion(1000)
    for (let i = 0; i < 2; i++) congestion.duplicate(0, 10_000)
    congestion.timedOut(0, 10_000)
    expect([congestion.window, congestion.duplicate(10_001, 20_000)]).toEqual([1000, 'none'])
    expect([congestion.duplicate(10_001, 20_000), congestion.duplicate(10_001, 20_000)]).toEqual(['none', 'retransmit'])
    congestion.timedOut(10_001, 20_000)
    expect([congestion.acknowledged(1000, 11_001, 0), congestion.window]).toEqual(['none', 2000])
  })
})

test('the retransmission timeout (RFC 6298 §2, with the figures done by hand)', () => {
  const trip = new RoundTrip()
  const after = (milliseconds: number) => (trip.sample(milliseconds), trip.timeoutMs)
  expect(trip.timeoutMs).toBe(1000)
  expect(after(2000)).toBe(2000 + 4 * 1000)
  // RTTVAR = 3/4 × 1000 + 1/4 × |2000 − 1000|; SRTT = 7/8 × 2000 + 1/8 × 1000.
  expect(after(1000)).toBe(1875 + 4 * 1000)
  expect(after(1875)).toBe(1875 + 4 * 750)
  const back = () => (trip.backOff(), trip.timeoutMs)
  expect([back(), back(), back(), back(), back()]).toEqual([9750, 19_500, 39_000, 60_000, 60_000])
  for (let i = 0; i < 200; i++) trip.sample(5000)
  // The clock's grain is the least that is added.
  expect(trip.timeoutMs).toBeCloseTo(5010, 3)
  for (let i = 0; i < 200; i++) trip.sample(1)
  expect(trip.timeoutMs).toBe(1000)
  expect(after(1e9)).toBe(60_000)
})

describe('buffers', () => {
  test('take what is left, exactly, and give it back', () => {
    const budget = new BufferBudget(100)
    expect([budget.take(60), budget.take(41), budget.take(40), budget.take(1)]).toEqual([true, false, true, false])
    budget.give(10)
    expect([budget.take(11), budget.take(10)]).toEqual([false, true])
  })

  test('grow when two of them have passed, up to 512 KiB, and keep their bytes', () => {
    const budget = new BufferBudget(1 << 20)
    const buffer = new StreamBuffer(budget)
    const sizes: [number, number][] = []
    const value = (at: number): number => (at * 2_654_435_761) >>> 24
    let from = 0
    for (let to = 0, before = buffer.capacity; to < 8 << 20;) {
      const next = Math.min(from + buffer.capacity, to + 1021)
      buffer.put(
        to,
        Uint8Array.from({ length: next - to }, (_, i) => value(to + i)),
      )
      to = next
      buffer.maybeGrow(from, to)
      if (buffer.capacity !== before) sizes.push([to, (before = buffer.capacity)])
      // A reader that leaves a few bytes.
      const bytes = new Uint8Array(to - from - 7 + 2).fill(0xee)
      buffer.copy(from, to - from - 7, bytes, 1)
      expect(bytes.every((byte, i) => byte === (i === 0 || i === bytes.length - 1 ? 0xee : value(from + i - 1)))).toBe(
        true,
      )
      from = to - 7
    }
    expect(sizes.map(([, size]) => size)).toEqual([64, 128, 256, 512].map((kib) => kib << 10))
    for (const [i, wanted] of [64, 64 + 128, 64 + 128 + 256, 64 + 128 + 256 + 512].entries()) {
      expect(sizes[i]![0]).toBeGreaterThanOrEqual(wanted << 10)
      expect(sizes[i]![0]).toBeLessThan((wanted << 10) + 5000)
    }
    // 32 KiB of the 512 are its own.
    expect([budget.take((544 << 10) + 1), budget.take(544 << 10)]).toEqual([false, true])
    buffer.close()
    expect([budget.take((480 << 10) + 1), budget.take(480 << 10)]).toEqual([false, true])
  })

  test('that cannot grow stay as they are', () => {
    const buffer = new StreamBuffer(new BufferBudget((32 << 10) - 1))
    buffer.put(0, Uint8Array.of(1, 2, 3))
    buffer.maybeGrow(0, 1 << 30)
    expect(buffer.capacity).toBe(32 << 10)
    const enough = new StreamBuffer(new BufferBudget(32 << 10))
    enough.maybeGrow(0, (64 << 10) - 1)
    expect(enough.capacity).toBe(32 << 10)
    enough.maybeGrow(0, 64 << 10)
    expect(enough.capacity).toBe(64 << 10)
  })
})

describe('bytes that come in any order (RFC 9293 §3.10.7.4)', () => {
  const value = (at: number): number => (at * 7 + (at >> 8)) & 255
  const bytes = (from: number, to: number): Uint8Array =>
    Uint8Array.from({ length: to - from }, (_, i) => value(from + i))

  test('are those of a model, which has each byte by itself', () => {
    const step = fc.oneof(
      fc.record({ put: fc.integer({ min: -300, max: 2000 }), length: fc.integer({ min: 1, max: 600 }) }),
      fc.record({ read: fc.nat(2000) }),
      // To the edge of the room, and beyond it.
      fc.record({ edge: fc.integer({ min: -200, max: 50 }), length: fc.integer({ min: 1, max: 200 }) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const queue = new ReceiveQueue(new BufferBudget(0))
        const has = new Set<number>()
        let [next, read] = [0, 0]
        for (const each of steps) {
          if ('read' in each) {
            const length = Math.min(each.read, next - read)
            expect(queue.read(each.read)).toEqual(length === 0 ? null : bytes(read, read + length))
            read += length
          } else {
            const from = Math.max(0, 'put' in each ? next + each.put : read + 32_768 + each.edge)
            const moved = queue.put(from, bytes(from, from + each.length))
            for (let at = from; at < Math.min(from + each.length, read + 32_768); at++) if (at >= next) has.add(at)
            const before = next
            while (has.delete(next)) next++
            expect(moved).toBe(next !== before)
          }
          const runs: [number, number][] = []
          for (const at of [...has].sort((a, b) => a - b)) {
            if (runs.at(-1)?.[1] === at) runs.at(-1)![1]++
            else runs.push([at, at + 1])
          }
          expect([queue.next, queue.readable, queue.edge, queue.hasGap]).toEqual([
            next,
            next - read,
            read + 32_768,
            runs.length > 0,
          ])
          const blocks = queue.blocks()
          expect(blocks.length).toBe(Math.min(4, runs.length))
          for (const block of blocks) expect(runs).toContainEqual(block)
          expect(new Set(blocks.map(String)).size).toBe(blocks.length)
        }
      }),
      { numRuns: 150 },
    )
  })

  test('32 runs are kept; the run that grew last is named first, then the lowest', () => {
    const queue = new ReceiveQueue(new BufferBudget(0))
    for (let i = 1; i <= 33; i++) queue.put(10 * i, bytes(10 * i, 10 * i + 5))
    expect(queue.blocks()).toEqual([
      [320, 325],
      [10, 15],
      [20, 25],
      [30, 35],
    ])
    queue.put(325, bytes(325, 328))
    queue.put(55, bytes(55, 60))
    expect(queue.blocks()[0]).toEqual([50, 65])
    // One fewer: there is room for another.
    queue.put(330, bytes(330, 335))
    expect(queue.blocks()[0]).toEqual([330, 335])
    queue.put(0, bytes(0, 10))
    expect(queue.next).toBe(15)
  })

  test('what is not read keeps its room after all is closed', () => {
    const queue = new ReceiveQueue(new BufferBudget(0))
    queue.put(0, bytes(0, 10))
    queue.put(20, bytes(20, 30))
    queue.close()
    expect([queue.readable, queue.hasGap, queue.read(5)]).toEqual([0, false, null])
  })
})
