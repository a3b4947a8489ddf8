/** The symbols of an ELF file and of a System.map, against what nm(1) prints of the same file. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import fc from 'fast-check'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeAll, describe, expect, test } from 'vitest'
import { elfTables, readElfTables, SymbolsError, SymbolTable, systemMapSymbols } from '../src/index.ts'

const PROGRAM = `
  int shared = 7; static int own[100]; const char text[] = "text";
  static int square(int x) { return x * x; }
  int main(void) { own[3] = square(shared); return own[3] - 49; }
`
const compiles = hasProgram('gcc') && hasProgram('nm')

describe.skipIf(!compiles)(`symbols of files${skipNote(compiles, 'gcc or nm is not installed')}`, () => {
  const folder = temporaryFolder('symbols')
  const file = join(folder, 'program')
  let bytes: Uint8Array
  let listing: string
  beforeAll(() => {
    execFileSync('gcc', ['-O0', '-x', 'c', '-', '-o', file], { input: PROGRAM })
    bytes = readFileSync(file)
    listing = execFileSync('nm', ['-n', '--defined-only', file], { encoding: 'utf8' })
  })

  const plain = (symbols: readonly { readonly name: string; readonly address: bigint }[]): string[] =>
    [...new Set(symbols.map(({ name, address }) => `${address.toString(16)} ${name}`))].sort()

  test('an ELF file, whole and by parts, and its list as a System.map', async () => {
    const parts: number[] = []
    const source = {
      size: bytes.length,
      read: (offset: number, length: number) => {
        parts.push(length)
        return Promise.resolve(bytes.slice(offset, offset + length))
      },
    }
    const map = systemMapSymbols(new TextEncoder().encode(listing))
    const { symbols } = elfTables(bytes)
    // The list is of one table; those of files and sections have no place of their own.
    expect(plain(symbols.filter(({ name }) => map.some((each) => each.name === name)))).toEqual(plain(map))
    expect(await readElfTables(source)).toEqual(elfTables(bytes))
    expect(parts.reduce((sum, length) => sum + length)).toBeLessThan(bytes.length / 2)
    const table = new SymbolTable(symbols, 0n)
    const main = table.addressOf('main')
    expect(main).toBe(new SymbolTable(map, 0n).addressOf('main'))
    expect(table.nameOf(main! + 5n)).toBe('main+0x5')
    expect(map.find(({ name }) => name === 'main')?.isCode).toBe(true)
    expect(map.find(({ name }) => name === 'own')?.isCode).toBe(false)
  })

  test('variables of each processor, as vmlinux has them, name no small numbers', () => {
    const kernel = join(folder, 'kernel')
    const source = 'long hot[9] __attribute__((section(".data..percpu"))) = { 1 }; long *start(void) { return hot; }'
    const script = join(folder, 'kernel.ld')
    const places = '.data..percpu 0 : { *(.data..percpu) } . = 0x400000; .text : { *(.text*) }'
    writeFileSync(script, `SECTIONS { ${places} /DISCARD/ : { *(.note*) *(.eh_frame) } }`)
    const link = ['-static', '-nostdlib', '-no-pie', `-Wl,-e,start,-T,${script}`, '-x', 'c', '-']
    execFileSync('gcc', [...link, '-o', kernel], { input: source, stdio: 'pipe' })
    const table = new SymbolTable(elfTables(readFileSync(kernel)).symbols, 0n)
    expect([table.addressOf('hot'), table.nameOf(0n), table.nameOf(8n)]).toEqual([0n, undefined, undefined])
    expect(table.nameOf(table.addressOf('start')!)).toBe('start')
  })

  test('a file with any byte changed, or cut off, is read or refused', () => {
    const [start, end] = [0, bytes.length]
    const header = fc.nat(63)
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.oneof(header, fc.nat(end - 1)), fc.nat(255)), { maxLength: 4 }),
        fc.nat(end),
        (changes, cut) => {
          const broken = bytes.slice(start, cut % 3 === 0 ? cut : end)
          for (const [at, byte] of changes) if (at < broken.length) broken[at] = byte
          try {
            elfTables(broken)
          } catch (error) {
            expect(error).toBeInstanceOf(SymbolsError)
          }
        },
      ),
      { numRuns: 500 },
    )
  })
})

test.each([
  ['', 'it is empty'],
  ['ffffffff81000000 T a\nno line\n', 'line 2 is not an address, a type and a name'],
  ['\x7fELF', 'line 1 is not an address, a type and a name'],
])('another file than a System.map: %j', (text, reason) => {
  expect(() => systemMapSymbols(new TextEncoder().encode(text))).toThrow(`this System.map is damaged: ${reason}`)
})
