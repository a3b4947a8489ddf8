import { P2mType } from '@retrap/p2m'
import { beforeEach, describe, expect, test } from 'vitest'
import type { MapCache } from '../src/index.ts'
import { codeOf, createGuest, type Guest } from './support/guest.ts'

let guest: Guest
let cache: MapCache

beforeEach(() => {
  guest = createGuest()
  cache = guest.cache()
})

const shape = (gpa: number, length: number): [string, number, number, number][] => {
  const mapping = cache.map(gpa, length)
  const segments = mapping.segments.map(
    ({ kind, offset, length: bytes, gpa: at }): [string, number, number, number] => [kind, at, offset, bytes],
  )
  mapping.release()
  return segments
}

describe('what a mapping covers', () => {
  test('consecutive machine frames are one segment, whatever the bucket', () => {
    guest.ram(0xfe, 4)
    expect(shape(0xf_e800, 0x3000)).toEqual([['ram', 0xf_e800, 0, 0x3000]])
  })

  test('scattered machine frames are a segment each', () => {
    guest.ram(0x10)
    guest.ram(0x12)
    guest.ram(0x11)
    expect(shape(0x1_0ff8, 0x1010)).toEqual([
      ['ram', 0x1_0ff8, 0, 8],
      ['ram', 0x1_1000, 8, 0x1000],
      ['ram', 0x1_2000, 0x1008, 8],
    ])
  })

  test('RAM, ROM, device registers and holes in a span are told apart', () => {
    guest.ram(0x10)
    guest.ram(0x11, 1, P2mType.RAM_RO)
    guest.p2m.insert(0x12, -1, 0, P2mType.INVALID)
    guest.p2m.insert(0x13, -1, 0, P2mType.MMIO_DM)
    guest.ram(0x14, 1, P2mType.RAM_LOGDIRTY)
    expect(shape(0x1_0000, 0x5000).map(([kind]) => kind)).toEqual(['ram', 'rom', 'hole', 'mmio', 'ram'])
    const mapping = cache.map(0x1_1f00, 0x3000)
    expect(mapping.segments.map(({ bytes }) => bytes?.length ?? null)).toEqual([0x100, null, null, 0xf00])
  })

  test('what no guest can have is a hole, and an empty mapping covers nothing', () => {
    expect(shape(2 ** 52, 16)).toEqual([['hole', 2 ** 52, 0, 16]])
    expect(shape(2 ** 64, 16)[0]?.[0]).toBe('hole')
    expect(shape(0x1000, 0)).toEqual([])
    expect(cache.map(0x1000, 0).bytes.length).toBe(0)
  })

  test.each([
    [-1, 4],
    [0.5, 4],
    [0, -4],
    [0, 1.5],
    [Number.NaN, 4],
  ])('%d + %d is refused', (gpa, length) => {
    expect(codeOf(() => cache.map(gpa, length))).toBe('ERR_RANGE')
    expect(codeOf(() => cache.mapForWriting(gpa, length))).toBe('ERR_RANGE')
  })

  test('bytes in one piece are those of machine memory; several pieces are refused', () => {
    guest.ram(0x10, 2)
    guest.memory.u8[guest.mfn(0x10) * 4096 + 0x20] = 7
    const mapping = cache.mapForWriting(0x1_0010, 0x1800)
    expect(mapping.bytes[0x10]).toBe(7)
    mapping.bytes[1] = 9
    expect(guest.memory.u8[guest.mfn(0x10) * 4096 + 0x11]).toBe(9)
    expect(mapping.segments[0]?.bytes?.[1]).toBe(9)
    expect(codeOf(() => cache.map(0x1_1ff0, 0x20).bytes)).toBe('ERR_SCATTERED')
  })
})

describe('its accessors', () => {
  test('copy across segments, and stop before the first byte that is no RAM', () => {
    guest.ram(0x10)
    guest.ram(0x12)
    guest.ram(0x11)
    const mapping = cache.mapForWriting(0x1_0800, 0x3000)
    const bytes = Uint8Array.from({ length: 0x3000 }, (_, i) => i * 7)
    expect(mapping.write(0, bytes)).toBe(0x2800)
    const back = new Uint8Array(0x3000)
    expect(mapping.read(0, back)).toBe(0x2800)
    expect(back.subarray(0, 0x2800)).toEqual(bytes.subarray(0, 0x2800))
    const middle = new Uint8Array(0x1004)
    expect(mapping.read(0x7fe, middle)).toBe(0x1004)
    expect(middle).toEqual(bytes.subarray(0x7fe, 0x1802))
    expect(mapping.read(0x2800, new Uint8Array(1))).toBe(0)
  })

  test('refuse what lies outside', () => {
    guest.ram(0x10)
    const mapping = cache.mapForWriting(0x1_0000, 0x100)
    expect(codeOf(() => mapping.read(0xff, new Uint8Array(2)))).toBe('ERR_RANGE')
    expect(codeOf(() => mapping.write(-1, new Uint8Array(2)))).toBe('ERR_RANGE')
  })

  test('throw once the mapping has been released', () => {
    guest.ram(0x10)
    const mapping = cache.mapForWriting(0x1_0000, 0x100)
    {
      using scoped = mapping
      expect(scoped.held).toBe(true)
    }
    expect(mapping.held).toBe(false)
    const uses = [
      () => mapping.bytes,
      () => mapping.segments,
      () => mapping.read(0, new Uint8Array(1)),
      () => mapping.write(0, new Uint8Array(1)),
    ]
    expect(uses.map(codeOf)).toEqual(uses.map(() => 'ERR_RELEASED'))
    mapping.release()
    expect(cache.statistics.held).toBe(0)
  })

  test('of a mapping for reading do not write, even where it was cast', () => {
    guest.ram(0x10)
    const mapping = cache.map(0x1_0000, 0x100)
    expect(codeOf(() => (mapping as ReturnType<typeof cache.mapForWriting>).write(0, Uint8Array.of(1)))).toBe(
      'ERR_READ_ONLY',
    )
  })
})

describe('a callback holds', () => {
  test('while it runs, whether it returns or throws', () => {
    guest.ram(0x10)
    expect(cache.with(0x1_0000, 4, (mapping) => [mapping.length, cache.statistics.held])).toEqual([4, 1])
    expect(cache.statistics.held).toBe(0)
    expect(() =>
      cache.withWriting(0x1_0000, 4, () => {
        throw new Error('the model failed')
      }),
    ).toThrow('the model failed')
    expect(cache.statistics.held).toBe(0)
  })

  test('until its promise is settled', async () => {
    guest.ram(0x10)
    const { promise, resolve } = Promise.withResolvers<number>()
    const result = cache.withWriting(0x1_0000, 4, () => promise)
    expect(cache.statistics.held).toBe(1)
    resolve(5)
    expect(await result).toBe(5)
    expect(cache.statistics.held).toBe(0)
  })
})

describe('writes', () => {
  test.each([
    { bytes: 16, pages: 1 },
    { bytes: 17, pages: 2 },
  ])('of $bytes bytes that begin 16 before the end of a page make $pages dirty', ({ bytes, pages }) => {
    guest.ram(0x10, 2)
    expect(cache.write(0x1_0ff0, new Uint8Array(bytes))).toBe(true)
    expect(new Set(guest.dirty.flatMap(([gfn, count]) => Array.from({ length: count }, (_, i) => gfn + i)))).toEqual(
      new Set([0x10, 0x11].slice(0, pages)),
    )
  })

  test('count their pages as written: on release for a mapping, at once for its accessor', () => {
    guest.ram(0x10, 3)
    const generation = (gfn: number): number => guest.memory.generation[guest.mfn(gfn)] as number
    const before = [0x10, 0x11, 0x12].map(generation)
    const mapping = cache.mapForWriting(0x1_0ffc, 8)
    mapping.bytes[0] = 1
    expect([0x10, 0x11, 0x12].map(generation)).toEqual(before)
    mapping.release()
    expect([0x10, 0x11, 0x12].map((gfn, i) => generation(gfn) - (before[i] as number))).toEqual([1, 1, 0])
    expect(guest.dirty).toEqual([[0x10, 2]])
    const second = cache.mapForWriting(0x1_2000, 8)
    second.write(4, Uint8Array.of(1))
    expect(generation(0x12)).toBe((before[2] as number) + 1)
    expect(guest.dirty.slice(1)).toEqual([[0x12, 1]])
    second.release()
    cache.write(0x1_1fff, Uint8Array.of(1, 2))
    expect(guest.dirty.slice(3)).toEqual([[0x11, 2]])
  })

  test('DMA into translated code is reported to whoever holds the code', () => {
    guest.ram(0x10)
    const told: number[] = []
    guest.memory.codeBits[guest.mfn(0x10)] = 1
    guest.memory.onCodeWrite((frame) => told.push(frame))
    cache.withWriting(0x1_0000, 4, (mapping) => void (mapping.bytes[0] = 0xf4))
    cache.write(0x1_0000, Uint8Array.of(0x90))
    cache.with(0x1_0000, 4, () => undefined)
    expect(told).toEqual([guest.mfn(0x10), guest.mfn(0x10)])
  })

  test('to ROM are discarded, and leave no page dirty (reference case 14)', () => {
    guest.ram(0x10, 2, P2mType.RAM_RO)
    guest.memory.u8[guest.mfn(0x10) * 4096] = 0x42
    const generation = guest.memory.generation[guest.mfn(0x10)]
    const mapping = cache.mapForWriting(0x1_0000, 0x1800)
    expect(mapping.write(0, new Uint8Array(0x1800))).toBe(0x1800)
    mapping.segments[0]?.bytes?.fill(0xff)
    expect(mapping.bytes[0]).toBe(0xff)
    mapping.release()
    expect(cache.write(0x1_0000, Uint8Array.of(9, 9))).toBe(true)
    expect(cache.fillSome(0x1_0000, 0x1000, 9)).toBe(0x1000)
    expect([...guest.memory.read(guest.mfn(0x10) * 4096, 2)]).toEqual([0x42, 0])
    expect([guest.dirty, guest.memory.generation[guest.mfn(0x10)]]).toEqual([[], generation])
    expect(cache.map(0x1_0000, 4).bytes[0]).toBe(0x42)
  })
})

describe('reverse look-up', () => {
  test('says which guest address a view of a held mapping is', () => {
    guest.ram(0x10)
    guest.ram(0x12)
    guest.ram(0x11)
    const mapping = cache.mapForWriting(0x1_0100, 0x2000)
    const [first, second] = mapping.segments
    expect(cache.gpaOf(first?.bytes as Uint8Array)).toBe(0x1_0100)
    expect(cache.gpaOf(second?.bytes?.subarray(0x20) ?? new Uint8Array())).toBe(0x1_1020)
    expect(cache.gpaOf(new Uint8Array(8))).toBe(-1)
    // The bytes right behind a segment are not of it.
    const { buffer, byteOffset, length } = first!.bytes!
    expect(cache.gpaOf(new Uint8Array(buffer, byteOffset + length - 1, 1))).toBe(0x1_0100 + length - 1)
    expect(cache.gpaOf(new Uint8Array(buffer, byteOffset + length, 1))).toBe(-1)
    const kept = first?.bytes as Uint8Array
    mapping.release()
    expect(cache.gpaOf(kept)).toBe(-1)
  })
})
