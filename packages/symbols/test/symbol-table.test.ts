import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sized, SymbolTable } from '../src/symbol-table.ts'
import { systemMapSymbols } from '../src/system-map.ts'

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
        addresses.map((address) => of.nameOf(BigInt.asUintN(64, address))),
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
  expect(table.nameOf(BigInt(last))).toBe(`wide+0x${last.toString(16)}`)
  for (const address of [2n ** 53n, 2n ** 60n, 2n ** 62n + 2n ** 30n]) expect(table.nameOf(address)).toBeUndefined()
  // Both places are exact, and the distance between them is not.
  const before = new SymbolTable([{ ...wide, address: BigInt.asUintN(64, -(2n ** 52n)) }], 0n)
  expect(before.nameOf(0n)).toBe('wide+0x10000000000000')
  expect(before.nameOf(2n ** 52n + 8n)).toBeUndefined()
})

test('a variable of each processor of Linux names no small number, and has its offset by its name', () => {
  const lines = [
    ...['0000000000000000 D __per_cpu_start', '0000000000000000 A fixed_percpu_data'],
    ...['000000000002a000 D pcpu_hot', '0000000000031000 D __per_cpu_end', 'ffffffff81000000 T _stext'],
  ]
  const table = new SymbolTable(systemMapSymbols(Buffer.from(lines.join('\n'))), 0n)
  for (const small of [0n, 1n, 0x2a000n, 0x31000n, 0x40000n]) expect(table.nameOf(small)).toBeUndefined()
  expect(table.addressOf('pcpu_hot')).toBe(0x2a000n)
  // A program of 32 bits, or a boot sector, has its places there.
  const low = new SymbolTable(systemMapSymbols(Buffer.from('00007c00 T start\n00007c10 T end')), 0n)
  expect(low.nameOf(0x7c08n)).toBe('start+0x8')
})

test('a name reaches as far as its size', () => {
  const table = new SymbolTable(
    [
      { name: 'label', address: 0x20n, size: 0n, rank: 1 },
      { name: 'function', address: 0x10n, size: 8n, rank: 3 },
      { name: 'alias', address: 0x10n, size: 8n, rank: 1 },
    ],
    0n,
  )
  const names = [0xf, 0x10, 0x17, 0x18, 0x20, 0x21].map((address) => table.nameOf(BigInt(address)))
  expect(names).toEqual([undefined, 'function', 'function+0x7', undefined, 'label', undefined])
})

test('names of the upper half of the address space, where a double has no room for all digits', () => {
  const top = 0xffff_ffff_8100_0000n
  const table = new SymbolTable(
    [1n, 2n, 3n, 2000n].map((n) => ({ name: `s${n}`, address: top + n, size: 1n, rank: 0 })),
    top,
  )
  const names = [0n, 1n, 2n, 3n, 4n, 1999n, 2000n, 4000n].map((n) => table.nameOf(top + n))
  expect(names).toEqual([undefined, 's1', 's2', 's3', undefined, undefined, 's2000', undefined])
  expect([0, 1, 4, 2000, 2001].map((n) => table.indexFrom(n))).toEqual([0, 0, 3, 3, 4])
  expect([table.at(3), table.at(4)]).toEqual([2000, Infinity])
})

test('addresses of names, and names by their beginning', () => {
  const symbols = [
    { name: 'do_it', address: 16n, size: 0n, rank: 0 },
    { name: 'do_it', address: 32n, size: 0n, rank: 1 },
    { name: 'do_all', address: 48n, size: 0n, rank: 0 },
    { name: 'undo', address: 64n, size: 0n, rank: 0 },
  ]
  const table = new SymbolTable(sized(symbols), 0n)
  expect(table.addressOf('do_it')).toBe(32n)
  expect(table.addressOf('do')).toBeUndefined()
  expect(table.find('do_').map(({ name, address, size }) => [name, address, size])).toEqual([
    ['do_all', 48n, 16n],
    ['do_it', 32n, 16n],
  ])
  expect(table.find('do_', 1)).toHaveLength(1)
  expect(table.find('').map(({ name }) => name)).toEqual(['do_all', 'do_it', 'undo'])
})
