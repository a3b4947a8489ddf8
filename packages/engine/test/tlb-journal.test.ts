/** What the TLB remembers of large pages, so that few entries are looked at when one of them is dropped. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { pageFlags } from '../src/tlb-layout.ts'
import { TlbJournal } from '../src/tlb-journal.ts'

const GIB = 1n << 30n
const half = (address: bigint): readonly [lo: number, hi: number] => [
  Number(address & 0xffff_ffffn),
  Number(address >> 32n),
]

/** Sizes of pages beside 4 KiB: of x86 and of Arm with 4, 16 and 64 KiB granules, contiguous ones too. */
const SIZES = [0x4000, 0x1_0000, 0x20_0000, 0x40_0000, 0x80_0000, 0x200_0000, 0x2000_0000, 0x4000_0000]
// Addresses that differ in few bits, so that regions meet.
const address = fc
  .record({ high: fc.constantFrom(0n, 1n, 0x7fffn, 0xffff_8000n, 0xffff_ffffn), low: fc.nat({ max: 0xffff_ffff }) })
  .map(({ high, low }) => (high << 32n) | BigInt(low))

test('fragments are looked for where there are some, and nowhere else than in their region', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ address, bytes: fc.constantFrom(...SIZES) }), { maxLength: 4 }),
      fc.array(address, { minLength: 1, maxLength: 8 }),
      (pages, asked) => {
        const journal = new TlbJournal(4)
        for (const { address, bytes } of pages)
          journal.noteLarge(...half(address), pageFlags({ global: false, pageBytes: bytes, key: 31 }))
        const near = pages.flatMap(({ address: at }) => [
          at,
          at ^ (1n << 21n),
          at ^ (1n << 22n),
          at ^ GIB,
          at ^ (1n << 32n),
        ])
        for (const at of [...asked, ...near]) {
          const isIn = pages.some(({ address: page, bytes }) => {
            const region = bytes > 0x40_0000 ? GIB : 0x40_0000n
            return page / region === at / region
          })
          expect(journal.mayHaveFragments(...half(at))).toBe(isIn)
        }
      },
    ),
  )
})

test.each([0x20_0000, 0x4000_0000])('nothing is remembered of pages of %i bytes after a flush', (pageBytes) => {
  const journal = new TlbJournal(2)
  const flags = pageFlags({ global: true, pageBytes, key: 0 })
  for (let round = 0; round < 2; round++) {
    journal.add(0x5000)
    journal.noteLarge(0x8000_0000, 3, flags)
    expect([journal.count, journal.entries[0], journal.mayHaveFragments(0x8000_0000, 3)]).toEqual([1, 0x5000, true])
    journal.clear()
    expect([journal.count, journal.mayHaveFragments(0x8000_0000, 3)]).toEqual([0, false])
  }
})

// A guest whose tables share a few pages maps 256 TiB, and need not flush: a Set would end the process at 2^24.
test.each([
  { pageBytes: 0x20_0000, region: 0x40_0000n },
  { pageBytes: 0x4000_0000, region: GIB },
])(
  'more regions of pages of $pageBytes bytes than are remembered: fragments may be anywhere',
  ({ pageBytes, region }) => {
    const journal = new TlbJournal(0)
    const flags = pageFlags({ global: false, pageBytes, key: 0 })
    const note = (from: number, to: number): void => {
      for (let i = from; i < to; i++) journal.noteLarge(...half(BigInt(i) * region), flags)
    }
    const never = half(0x7_ffffn << 32n)
    note(0, 1000)
    expect(journal.mayHaveFragments(...never)).toBe(false)
    note(0, 0x4000)
    note(0x2_0000, 0x2_0010)
    expect(journal.mayHaveFragments(...never)).toBe(true)
    journal.clear()
    expect(journal.mayHaveFragments(...half(5n * region))).toBe(false)
  },
)
