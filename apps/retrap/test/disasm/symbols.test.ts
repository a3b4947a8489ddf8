import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SymbolTable } from '../../src/disasm/symbols.ts'

const EXACT = 2n ** 53n
/** Bases near 0, near 2^64, and so far apart that a distance between them is not exact. */
const base = fc.oneof(
  fc.bigInt({ min: 0n, max: 100n }),
  fc.bigInt({ min: 2n ** 64n - 100n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: EXACT - 3n, max: EXACT + 3n }),
  fc.constantFrom(EXACT / 2n, 2n ** 63n, 0xffff_ffff_8100_0000n),
)
const symbol = fc.record({
  near: fc.oneof(fc.bigInt({ min: -50n, max: 50n }), fc.constantFrom(EXACT / 2n, EXACT - 2n, EXACT)),
  size: fc.constantFrom(0n, 1n, 16n),
  rank: fc.nat(2),
})

test('a table of symbols that an earlier table has sorted is as one that sorts them', () => {
  fc.assert(
    fc.property(base, base, fc.array(symbol, { maxLength: 6 }), (first, second, found) => {
      const symbols = found.map(({ near, size, rank }, i) => ({
        ...{ name: `s${i}`, address: BigInt.asUintN(64, first + near), size, rank },
      }))
      const earlier = new SymbolTable(symbols, first)
      const table = new SymbolTable(symbols, second, earlier)
      const fresh = new SymbolTable(symbols, second)
      const addresses = symbols.flatMap(({ address }) => [-1n, 0n, 1n, 15n, 16n].map((more) => address + more))
      const all = (of: SymbolTable) => [
        symbols.map((_, i) => of.at(i)),
        addresses.map((address) => of.resolve(BigInt.asUintN(64, address))),
        of.indexFrom(0),
      ]
      expect(all(table)).toEqual(all(fresh))
      // Of other symbols it has nothing.
      expect(all(new SymbolTable([...symbols], second, earlier))).toEqual(all(fresh))
      expect(new SymbolTable([], second, earlier).at(0)).toBe(Infinity)
    }),
    { numRuns: 2000 },
  )
})

test('an address whose distance from the start of a symbol is not exact has no name', () => {
  const wide = { name: 'wide', address: 0n, size: 2n ** 64n - 1n, rank: 0 }
  const table = new SymbolTable([wide], 0n)
  const last = Number.MAX_SAFE_INTEGER
  expect(table.resolve(BigInt(last))).toBe(`wide+0x${last.toString(16)}`)
  for (const address of [2n ** 53n, 2n ** 60n, 2n ** 62n + 2n ** 30n]) expect(table.resolve(address)).toBeUndefined()
  // Both places are exact, and the distance between them is not.
  const before = new SymbolTable([{ ...wide, address: BigInt.asUintN(64, -(2n ** 52n)) }], 0n)
  expect(before.resolve(0n)).toBe('wide+0x10000000000000')
  expect(before.resolve(2n ** 52n + 8n)).toBeUndefined()
})
