import { describe, expect, test } from 'vitest'
import * as fc from 'fast-check'
import {
  BufferedRing,
  createIoRequest,
  HVM_IOREQSRV_BUFIOREQ_ATOMIC,
  HVM_IOREQSRV_BUFIOREQ_LEGACY,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_TIMEOFFSET,
  IOREQ_WRITE,
  type IoRequest,
} from '../src/index.ts'

const write = (fields: Partial<IoRequest>): IoRequest => ({
  ...createIoRequest(),
  type: IOREQ_TYPE_COPY,
  direction: IOREQ_WRITE,
  ...fields,
})
const make = (mode: number = HVM_IOREQSRV_BUFIOREQ_ATOMIC, read = 0, written = read) => {
  const buffer = new ArrayBuffer(4096)
  const words = new Uint32Array(buffer)
  words[0] = read
  words[1] = written
  return { ring: new BufferedRing(mode, buffer), words }
}

describe('layout of a ring slot', () => {
  test.each([
    { request: write({ addressLo: 0xa0000, size: 1, dataLo: 0x41 }), words: [0xa0000001, 0x41] },
    { request: write({ addressLo: 0xbffff, size: 2, dataLo: 0xbeef }), words: [0xbffff401, 0xbeef] },
    { request: write({ addressLo: 0xfffff, size: 4, dataLo: 0xffffffff }), words: [0xfffff801, 0xffffffff] },
    {
      request: write({ type: IOREQ_TYPE_TIMEOFFSET, size: 8, dataLo: 1, dataHi: 2 }),
      words: [0x00000c07, 1, 0x00000c07, 2],
    },
    { request: write({ addressLo: 1, direction: 1 }), words: [0x00001201, 0] },
  ])('$words', ({ request, words }) => {
    const { ring, words: page } = make()
    expect(ring.produce(request)).toBe(true)
    expect(Array.from(page.subarray(2, 2 + words.length))).toEqual(words)
    expect([page[0], page[1]]).toEqual([0, words.length / 2])
    const back = createIoRequest()
    expect(ring.consume(back)).toBe(true)
    expect(back).toEqual(request)
    expect(ring.consume(back)).toBe(false)
  })

  test.each([
    ['an address above 20 bits', { addressLo: 0x100000 }],
    ['an address above 32 bits', { addressHi: 1 }],
    ['pointer data', { dataIsPointer: true }],
    ['two elements', { count: 2 }],
    ['no elements', { count: 0 }],
    ['three bytes', { size: 3 }],
    ['sixteen bytes', { size: 16 }],
  ])('%s is refused', (_, fields) => {
    const { ring, words } = make()
    expect(ring.produce(write(fields))).toBe(false)
    expect(words[1]).toBe(0)
  })
})

describe('capacity', () => {
  test.each([HVM_IOREQSRV_BUFIOREQ_LEGACY, HVM_IOREQSRV_BUFIOREQ_ATOMIC])(
    '511 entries fit, the 512th does not (mode %i)',
    (mode) => {
      const { ring } = make(mode)
      for (let i = 0; i < 511; i++) expect(ring.produce(write({ dataLo: i }))).toBe(true)
      expect(ring.produce(write({}))).toBe(false)
      const back = createIoRequest()
      for (let i = 0; i < 511; i++) {
        expect(ring.consume(back)).toBe(true)
        expect(back.dataLo).toBe(i)
      }
      expect(ring.consume(back)).toBe(false)
    },
  )

  test.each([
    { read: 5, written: 4 },
    { read: 5, written: 0 },
    { read: 0xffff_ffff, written: 511 },
    { read: 0x8000_0000, written: 1 },
    { read: 0, written: 0xffff_fff0 },
  ])('a consumer that is ahead of the producer leaves no room: $read, $written', ({ read, written }) => {
    const { ring, words } = make(HVM_IOREQSRV_BUFIOREQ_LEGACY, read, written)
    expect(ring.produce(write({}))).toBe(false)
    expect([words[0], words[1]]).toEqual([read, written])
  })

  test.each([
    { used: 509, fits: true },
    { used: 510, fits: false },
  ])('a qword with $used slots used: $fits', ({ used, fits }) => {
    const { ring } = make(HVM_IOREQSRV_BUFIOREQ_ATOMIC, 0, used)
    expect(ring.produce(write({ size: 8 }))).toBe(fits)
  })
})

describe('pointers', () => {
  test('ATOMIC mode takes multiples of 511 off both', () => {
    const { ring, words } = make(HVM_IOREQSRV_BUFIOREQ_ATOMIC, 1022 + 5, 1022 + 7)
    ring.produce(write({}))
    expect([words[0], words[1]]).toEqual([5, 8])
  })

  test('LEGACY mode leaves them', () => {
    const { ring, words } = make(HVM_IOREQSRV_BUFIOREQ_LEGACY, 1022 + 5, 1022 + 7)
    ring.produce(write({}))
    expect([words[0], words[1]]).toEqual([1027, 1030])
  })

  test('a qword goes over the end of the ring', () => {
    const { ring } = make(HVM_IOREQSRV_BUFIOREQ_LEGACY, 510)
    const back = createIoRequest()
    ring.produce(write({ size: 8, dataLo: 7, dataHi: 9 }))
    expect(ring.consume(back)).toBe(true)
    expect([back.dataLo, back.dataHi]).toEqual([7, 9])
  })

  test('distance is right across 2^32', () => {
    const { ring, words } = make(HVM_IOREQSRV_BUFIOREQ_LEGACY, 0xffff_fffe)
    const back = createIoRequest()
    for (let i = 0; i < 4; i++) expect(ring.produce(write({ dataLo: i }))).toBe(true)
    expect([words[0], words[1]]).toEqual([0xffff_fffe, 2])
    expect(ring.consume(back)).toBe(true)
    expect(words[0]).toBe(0xffff_ffff)
  })

  test('a consumer of another width adds, and a producer that canonicalises loses nothing', () => {
    const { ring, words } = make(HVM_IOREQSRV_BUFIOREQ_ATOMIC, 510, 510)
    ring.produce(write({ dataLo: 1 }))
    ring.produce(write({ dataLo: 2 }))
    const back = createIoRequest()
    ring.consume(back)
    ring.produce(write({ dataLo: 3 }))
    expect([words[0], words[1]]).toEqual([0, 2])
    const seen: number[] = []
    while (ring.consume(back)) seen.push(back.dataLo)
    expect(seen).toEqual([2, 3])
  })

  test('any interleaving delivers what was accepted, in order', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(HVM_IOREQSRV_BUFIOREQ_LEGACY, HVM_IOREQSRV_BUFIOREQ_ATOMIC),
        fc.nat(2000),
        fc.array(fc.tuple(fc.constantFrom('put', 'put8', 'get'), fc.nat(300)), { maxLength: 40, size: 'max' }),
        (mode, start, steps) => {
          const { ring } = make(mode, start)
          const queue: number[] = []
          const back = createIoRequest()
          let next = 0
          for (const [step, times] of steps) {
            for (let i = 0; i < times; i++) {
              if (step === 'get') {
                if (!ring.consume(back)) break
                expect(back.dataLo).toBe(queue.shift())
                if (back.size === 8) expect(back.dataHi).toBe(back.dataLo ^ 0xff)
              } else {
                const size = step === 'put8' ? 8 : 4
                if (!ring.produce(write({ size, dataLo: next, dataHi: next ^ 0xff }))) break
                queue.push(next++)
              }
            }
          }
          while (ring.consume(back)) expect(back.dataLo).toBe(queue.shift())
          expect(queue).toHaveLength(0)
        },
      ),
      { numRuns: 100 },
    )
  })
})
