import { describe, expect, test } from 'vitest'
import { SymbolTable } from '../src/symbol-table.ts'
import { type LinuxSymbol, readKallsyms } from '../src/kallsyms.ts'
import { type Tables, tables } from './kallsyms-tables.ts'

/** Finds the symbols in RAM that lies in one piece. */
const found = (bytes: Uint8Array): LinuxSymbol[] =>
  readKallsyms({
    stretches: [{ from: 0x10_0000, bytes: bytes.length }],
    read: (from, count) => bytes.subarray(from - 0x10_0000, from - 0x10_0000 + count),
  })

const KERNEL = 0xffff_ffff_a100_0000n
const LONG = `very_${'long_'.repeat(30)}name`

/** Symbols of code 0x40 bytes apart, and some that are not code. */
function symbolsFrom(base: bigint, perCpu: boolean): Tables['symbols'] {
  const code = Array.from({ length: 1500 }, (_, i) => {
    const address = base + BigInt(0x40 * i)
    if (i === 700) return { type: 'T', name: LONG, address }
    return { type: 'tTdW'[i % 4]!, name: i % 3 === 0 ? `do_sys_${i}` : `name${i}`, address }
  })
  return perCpu ? [{ type: 'A', name: 'fixed_percpu_data', address: 0n }, ...code] : code
}

describe('the symbols of a Linux kernel in memory', () => {
  test.each([
    { bits: 64, addresses: 'before', base: KERNEL, perCpu: true },
    { bits: 64, addresses: 'after', base: KERNEL, perCpu: true },
    { bits: 64, addresses: 'after', base: KERNEL, perCpu: false },
    { bits: 32, addresses: 'before', base: 0xc100_0000n, perCpu: false },
    { bits: 32, addresses: 'after', base: 0xc100_0000n, perCpu: false },
  ] as const)('$bits bits, addresses $addresses the names, per-CPU symbols: $perCpu', (given) => {
    const symbols = symbolsFrom(given.base, given.perCpu)
    const all = found(tables({ ...given, symbols }))
    const expected = symbols.filter(({ type }) => 'tTW'.includes(type))
    expect(all.map(({ name, isCode }) => [name, isCode]).toReversed()).toEqual(
      symbols.map(({ type, name }) => [name, 'tTW'.includes(type)]),
    )
    expect(new SymbolTable(all, 0n).nameOf(1n)).toBeUndefined()
    const code = all.filter(({ isCode }) => isCode)
    expect(code.map(({ name, address }) => [name, address]).toReversed()).toEqual(
      expected.map(({ name, address }) => [name, address]),
    )
    // To the next symbol, of code or not; nothing tells how large the last one is.
    for (const { name, size } of code) expect([name, size]).toEqual([name, name === expected.at(-1)?.name ? 0n : 0x40n])
    expect(code.find(({ name }) => name === LONG)?.address).toBe(given.base + 700n * 0x40n)
  })

  const whole = (): Uint8Array =>
    tables({ bits: 64, addresses: 'before', base: KERNEL, perCpu: true, symbols: symbolsFrom(KERNEL, true) })

  test('a copy of the tokens alone, in front of the tables, does not hide them', () => {
    const image = whole()
    const tokens = image.slice(-1000 - 1500 - 512)
    const padded = new Uint8Array(4096)
    padded.set(tokens)
    const both = new Uint8Array(4096 + image.length)
    both.set(padded)
    both.set(image, 4096)
    expect(found(both)).toEqual(found(image))
    expect(found(image).length).toBeGreaterThan(1000)
  })

  test('memory with anything in it gives none, or what is left whole, and ends', () => {
    const image = whole()
    expect(found(new Uint8Array(8192))).toEqual([])
    for (let cut = 0; cut < image.length - 1000; cut += 997) expect(found(image.slice(0, cut))).toEqual([])
    for (let at = 0; at < image.length; at += 61) {
      const broken = image.slice()
      broken[at] = broken[at]! ^ 0xff
      expect(() => found(broken)).not.toThrow()
    }
  })
})
