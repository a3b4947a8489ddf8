// Accesses over several ranges with gaps, at random, against a memory of bytes.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SplitAccess, type PlacedRange } from '../src/host/index.ts'
import type { AccessRequest, RangeHandler } from '../src/index.ts'

const BYTES = 48
const REQUEST = {} as AccessRequest

interface Shape {
  readonly base: number
  readonly length: number
  readonly minimumAccess: 1 | 2 | 4
  readonly maximumAccess: 1 | 2 | 4 | 8
}

/** A range whose registers are bytes of a memory; notes each call, and refuses one that its options exclude. */
function rangeOf(shape: Shape, memory: Uint8Array, calls: string[], later: boolean): PlacedRange {
  const { base, length, minimumAccess, maximumAccess } = shape
  const view = new DataView(memory.buffer)
  const note = (what: string, offset: number, size: number): number => {
    calls.push(`${what} ${base}+${offset} ${size}`)
    if (size < minimumAccess || size > maximumAccess || offset < 0 || offset + size > length)
      throw new Error('excluded')
    return base + offset
  }
  const answer = <T>(value: T): T => (later ? (Promise.resolve(value) as T) : value)
  const handler: RangeHandler = {
    read(offset, size) {
      const at = note('read', offset, size)
      return answer(size === 4 ? view.getUint32(at, true) : size === 2 ? view.getUint16(at, true) : view.getUint8(at))
    },
    write(offset, size, value) {
      const at = note('write', offset, size)
      if (value !== (size === 4 ? value >>> 0 : value & (2 ** (8 * size) - 1))) throw new Error('not cut to its size')
      if (size === 4) view.setUint32(at, value, true)
      else if (size === 2) view.setUint16(at, value, true)
      else view.setUint8(at, value)
      return answer(undefined)
    },
    read64(offset, into) {
      const at = note('read', offset, 8)
      into.lo = view.getInt32(at, true)
      into.hi = view.getInt32(at + 4, true)
      return answer(undefined)
    },
    write64(offset, lo, hi) {
      const at = note('write', offset, 8)
      view.setUint32(at, lo, true)
      view.setUint32(at + 4, hi, true)
      return answer(undefined)
    },
  }
  return { base, length, minimumAccess, maximumAccess, handler }
}

/** Ranges one after another, with gaps, whose lengths are multiples of their smallest calls. */
const shapes = fc
  .array(
    fc.record({
      gap: fc.nat(3),
      units: fc.integer({ min: 1, max: 5 }),
      minimumAccess: fc.constantFrom(1, 2, 4),
      larger: fc.nat(3),
    }),
    { maxLength: 5 },
  )
  .map((parts) => {
    const ranges: Shape[] = []
    let base = 0
    for (const { gap, units, minimumAccess, larger } of parts) {
      base += gap
      const length = units * minimumAccess
      if (base + length > BYTES) break
      const maximumAccess = Math.min(8, minimumAccess << larger) as 1 | 2 | 4 | 8
      ranges.push({ base, length, minimumAccess: minimumAccess as 1 | 2 | 4, maximumAccess })
      base += length
    }
    return ranges
  })

const word = (bytes: Uint8Array): number => new DataView(bytes.buffer).getUint32(0, true)

describe('an access that is split', () => {
  test('reads and writes the bytes of its ranges, and no call that a range excludes', async () => {
    await fc.assert(
      fc.asyncProperty(
        shapes,
        fc.boolean(),
        fc.nat(BYTES - 8),
        fc.integer({ min: 1, max: 8 }),
        fc.uint8Array({ minLength: BYTES, maxLength: BYTES }),
        fc.uint8Array({ minLength: 8, maxLength: 8 }),
        async (layout, read, address, size, contents, data) => {
          const memory = contents.slice()
          const calls: string[] = []
          const laterMemory = contents.slice()
          const laterCalls: string[] = []
          const source = (ranges: readonly PlacedRange[]) => ({
            regionAt: (_kind: string, at: number) =>
              ranges.find(({ base, length }) => at >= base && at < base + length) ?? null,
          })
          const split = new SplitAccess()
          const lo = word(data)
          const hi = word(data.slice(4))
          split.begin(
            source(layout.map((shape) => rangeOf(shape, memory, calls, false))),
            'mmio',
            address,
            size,
            lo,
            hi,
          )
          while (split.next()) split.call(read)
          const later = new SplitAccess()
          const laterRanges = layout.map((shape) => rangeOf(shape, laterMemory, laterCalls, true))
          later.begin(source(laterRanges), 'mmio', address, size, lo, hi)
          while (later.next()) await later.callLater(read, REQUEST)

          expect(laterCalls).toEqual(calls)
          expect(laterMemory).toEqual(memory)
          const claimed = (at: number): boolean => layout.some(({ base, length }) => at >= base && at < base + length)
          const expected = contents.slice()
          const answer = new Uint8Array(8)
          for (let i = 0; i < size; i++) {
            if (!read && claimed(address + i)) expected[address + i] = data[i]!
            answer[i] = claimed(address + i) ? contents[address + i]! : 0xff
          }
          expect(memory).toEqual(expected)
          if (!read) return
          for (const { lo: low, hi: high } of [split, later]) {
            expect([low, high]).toEqual([word(answer), word(answer.slice(4))])
          }
        },
      ),
      { numRuns: 2000 },
    )
  })

  test('takes the largest calls that its range allows, the lowest address first', () => {
    const calls: string[] = []
    const range = rangeOf(
      { base: 0, length: 16, minimumAccess: 1, maximumAccess: 4 },
      new Uint8Array(BYTES),
      calls,
      false,
    )
    const split = new SplitAccess()
    for (const [address, size] of [
      [1, 7],
      [14, 2],
      [0, 8],
      [12, 8],
    ] as const) {
      split.begin({ regionAt: (_kind, at) => (at < 16 ? range : null) }, 'port', address, size, 0, 0)
      while (split.next()) split.call(true)
    }
    expect(calls).toEqual([
      'read 0+1 4',
      'read 0+5 2',
      'read 0+7 1',
      'read 0+14 2',
      'read 0+0 4',
      'read 0+4 4',
      'read 0+12 4',
    ])
    expect([split.lo, split.hi]).toEqual([0, 0xffff_ffff])
  })

  test('reads ones where a piece is given up, and goes on behind it', () => {
    const memory = new Uint8Array(BYTES).fill(0x11)
    const good = rangeOf({ base: 8, length: 2, minimumAccess: 1, maximumAccess: 4 }, memory, [], false)
    const bad: PlacedRange = { ...good, base: 6, handler: { read: () => Number.NaN, write: () => undefined } }
    const split = new SplitAccess()
    split.begin({ regionAt: (_kind, at) => (at < 8 ? bad : good) }, 'port', 6, 4, 0, 0)
    const failed: unknown[] = []
    while (split.next()) {
      try {
        split.call(true)
      } catch (error) {
        failed.push((error as { code: string }).code, split.pieceAt, split.pieceBytes)
        split.fail()
      }
    }
    expect(failed).toEqual(['ERR_DEVICE', 6, 2])
    expect(split.lo).toBe(0x1111_ffff)
  })
})
