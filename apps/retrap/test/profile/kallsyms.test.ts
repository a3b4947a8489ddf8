import { describe, expect, test } from 'vitest'
import { readKallsyms } from '../../src/profile/kallsyms.ts'

/** Tokens of several letters; all other numbers stand for the character of that number, or for nothing. */
const TOKENS = new Map([
  [1, 'do_'],
  [2, 'sys_'],
  [3, 'Tdo_sys_'],
])

interface Tables {
  readonly bits: 32 | 64
  /** Where the addresses are: in front of the names, as up to Linux 6.4, or behind the tokens. */
  readonly addresses: 'before' | 'after'
  readonly base: bigint
  readonly symbols: readonly { readonly type: string; readonly name: string; readonly address: bigint }[]
  readonly perCpu: boolean
}

const token = (i: number): string => TOKENS.get(i) ?? (i >= 0x20 && i < 0x7f ? String.fromCharCode(i) : '')

/** Compresses a name: a long token where it begins with one, else letters. */
function compressed(text: string): number[] {
  for (const [number, long] of [...TOKENS].toReversed())
    if (text.startsWith(long)) return [number, ...compressed(text.slice(long.length))]
  return text === '' ? [] : [text.charCodeAt(0), ...compressed(text.slice(1))]
}

/** The tables as a kernel has them, with other things around. */
function tables({ bits, addresses, base, symbols, perCpu }: Tables): Uint8Array {
  const bytes: number[] = Array.from({ length: 4096 }, (_, i) => (i * 37) & 0xff)
  const word = bits / 8
  const align = (): void => {
    while (bytes.length % word !== 0) bytes.push(0)
  }
  const number = (value: bigint, size: number): void => {
    for (let i = 0n; i < size; i++) bytes.push(Number((value >> (8n * i)) & 0xffn))
  }
  const table = (): void => {
    align()
    for (const { address } of symbols) {
      const isPerCpu = perCpu && address < 0x10_0000n
      const offset = isPerCpu ? address : perCpu ? base - 1n - address : address - base
      number(BigInt.asUintN(32, offset), 4)
    }
    align()
    number(base, word)
  }
  if (addresses === 'before') table()
  align()
  number(BigInt(symbols.length), 4)
  align()
  const names = bytes.length
  const marks: number[] = []
  for (const [i, { type, name }] of symbols.entries()) {
    if (i % 256 === 0) marks.push(bytes.length - names)
    const code = compressed(type + name)
    if (code.length < 0x80) bytes.push(code.length)
    else bytes.push((code.length & 0x7f) | 0x80, code.length >> 7)
    bytes.push(...code)
  }
  align()
  for (const mark of marks) number(BigInt(mark), 4)
  align()
  const start = bytes.length
  const index: number[] = []
  for (let i = 0; i < 256; i++) {
    index.push(bytes.length - start)
    bytes.push(...new TextEncoder().encode(`${token(i)}\0`))
  }
  align()
  for (const at of index) number(BigInt(at), 2)
  if (addresses === 'after') table()
  return Uint8Array.from([...bytes, ...Array.from({ length: 1000 }, () => 0x55)])
}

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
    const found = readKallsyms(tables({ ...given, symbols }))
    const expected = symbols.filter(({ type }) => 'tTW'.includes(type))
    expect(found.map(({ name, address }) => [name, address]).toReversed()).toEqual(
      expected.map(({ name, address }) => [name, address]),
    )
    // To the next symbol, of code or not; nothing tells how large the last one is.
    for (const { name, size } of found)
      expect([name, size]).toEqual([name, name === expected.at(-1)?.name ? 0n : 0x40n])
    expect(found.find(({ name }) => name === LONG)?.address).toBe(given.base + 700n * 0x40n)
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
    expect(readKallsyms(both)).toEqual(readKallsyms(image))
    expect(readKallsyms(image).length).toBeGreaterThan(1000)
  })

  test('memory with anything in it gives none, or what is left whole, and ends', () => {
    const image = whole()
    expect(readKallsyms(new Uint8Array(8192))).toEqual([])
    for (let cut = 0; cut < image.length - 1000; cut += 997) expect(readKallsyms(image.slice(0, cut))).toEqual([])
    for (let at = 0; at < image.length; at += 61) {
      const broken = image.slice()
      broken[at] = broken[at]! ^ 0xff
      expect(() => readKallsyms(broken)).not.toThrow()
    }
  })
})
