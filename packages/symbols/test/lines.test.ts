/** Lines of addresses and addresses of lines, against what `readelf --debug-dump=decodedline` prints of the same program. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import fc from 'fast-check'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { type FileSource, type LineTable, readLines, SymbolsError, SymbolTable } from '../src/index.ts'
import { elfTables } from '../src/elf-tables.ts'
import { DwarfLines } from '../src/line-table.ts'
import { lineSections } from '../src/line-unit.ts'

const SOURCES = {
  'main.c': `#include "inner/loop.h"
int other(int);
int never(int x) { return x - 1; }
static int square(int x)
{
  int y = x * x; return y;
}
int main(int argc, char **argv)
{
  int sum = 0;
  for (int i = 0; i < argc + 3; i++)
    sum += twice(i) + square(i);
  if (sum > 100)
    return other(sum);
  return other(-sum) + argv[0][0];
}
`,
  'inner/loop.h': `static inline int twice(int x)
{
  if (x & 1)
    return x + x;
  return x << 1;
}
`,
  'inner/other.c': `#include "loop.h"
int other(int x)
{
  switch (x % 5) {
  case 0: return twice(x);
  case 1: return 7;


  case 2: x += 3; break;
  default: x = twice(x) * 3;
  }
  return x;
}
`,
}
const compiles = hasProgram('gcc') && hasProgram('readelf')

const sourceOf = (bytes: Uint8Array): FileSource => ({
  size: bytes.length,
  read: (offset, length) => Promise.resolve(bytes.slice(offset, offset + length)),
})

/** A row of readelf's; no line: the end of a sequence. */
interface Row {
  readonly file: string
  readonly line: number | undefined
  readonly address: number
  readonly isStatement: boolean
}

/** Rows of sequences that are code: those of functions that the linker has left out begin at 0. */
function rowsOf(file: string): Row[][] {
  const text = execFileSync('readelf', ['-W', '--debug-dump=decodedline', file], { encoding: 'utf8' })
  const sequences: Row[][] = [[]]
  for (const line of text.split('\n')) {
    const [, name = '', number = '', at = '', rest = ''] = /^(\S+)\s+(\d+|-)\s+(0x[\da-f]+|0)\b(.*)$/.exec(line) ?? []
    if (at === '') continue
    const row = { file: basename(name), line: number === '-' ? undefined : Number(number), address: Number(at) }
    sequences.at(-1)!.push({ ...row, isStatement: rest.includes('x') })
    if (row.line === undefined) sequences.push([])
  }
  return sequences.filter((rows) => (rows[0]?.address ?? 0) !== 0)
}

describe.skipIf(!compiles)(`lines${skipNote(compiles, 'gcc or readelf is not installed')}`, () => {
  const folder = temporaryFolder('lines')
  mkdirSync(join(folder, 'inner'))
  for (const [name, text] of Object.entries(SOURCES)) writeFileSync(join(folder, name), text)

  function compile(...options: string[]): string {
    const file = join(folder, 'program')
    const parts = ['-ffunction-sections', '-Wl,--gc-sections', 'main.c', join(folder, 'inner', 'other.c')]
    execFileSync('gcc', [...options, ...parts, '-o', file], { cwd: folder })
    return file
  }

  test.each(
    [
      ['-gdwarf-4', '-O0'],
      ['-gdwarf-4', '-O2'],
      ['-gdwarf-5', '-O0'],
      ['-gdwarf-5', '-O2'],
      ['-gdwarf-5', '-O2', '-gz=zlib'],
      ['-gdwarf-5', '-O2', '-gdwarf64'],
    ].map((options) => ({ options, name: options.join(' ') })),
  )('$name', async ({ options }) => {
    const file = compile(...options)
    const sequences = rowsOf(file)
    const lines = await readLines(sourceOf(readFileSync(file)))
    expect(sequences.length).toBeGreaterThan(1)
    const expected = new Map<number, string | undefined>()
    const starts = new Map<string, Set<number>>()
    for (const rows of sequences) {
      for (const [i, { file: name, line, address, isStatement }] of rows.entries()) {
        const next = rows[i + 1]
        if (line === undefined || next === undefined) continue
        for (let at = address; at < next.address; at++) expected.set(at, line === 0 ? undefined : `${name}:${line}`)
        const before = rows.slice(0, i).findLast((row) => row.file !== name || row.line !== line || row.isStatement)
        const isFirst = isStatement && !(before?.file === name && before.line === line)
        if (isFirst) starts.set(`${name}:${line}`, (starts.get(`${name}:${line}`) ?? new Set()).add(address))
      }
    }
    const found = [...expected.keys()].map((at) => {
      const line = lines.lineOf(BigInt(at))
      return [at, line && `${basename(line.file)}:${line.line}`]
    })
    expect(found).toEqual([...expected])
    for (const [place, addresses] of starts) {
      const [name = '', line] = place.split(':')
      expect([place, lines.addressesOf(name, Number(line)).map(Number)]).toEqual([
        place,
        [...addresses].sort((a, b) => a - b),
      ])
    }
    if (options.includes('-O0')) expect(lines.addressesOf('inner/loop.h', 4)).toHaveLength(2)
    expect(lines.addressesOf('oop.h', 4)).toEqual([])
    expect(lines.lineOf(0n)).toBeUndefined()
    const names = lines.files().filter((name) => /main\.c|other\.c|loop\.h/.test(name))
    expect(new Set(names.map((name) => basename(name)))).toEqual(new Set(['main.c', 'other.c', 'loop.h']))
    if (options[0] === '-gdwarf-5') expect(names).toContain(join(folder, 'main.c'))
    expect(lines.lineOf(addressOf(file, 'main'))?.line).toBe(9)
  })

  const addressOf = (file: string, name: string): bigint =>
    new SymbolTable(elfTables(readFileSync(file)).symbols, 0n).addressOf(name) ?? 0n

  test('names that many units have in common are read once', () => {
    const bytes = readFileSync(compile('-gdwarf-5', '-O0'))
    const content = (wanted: string): Uint8Array => {
      const { offset, size } = elfTables(bytes).sections.find(({ name }) => name === wanted)!
      return bytes.subarray(offset, offset + size)
    }
    const line = content('.debug_line')
    const copies = 12_000
    const all = new Uint8Array(copies * line.length)
    for (let i = 0; i < copies; i++) all.set(line, i * line.length)
    const names = (of: Uint8Array): string[] => new DwarfLines(lineSections(of, content('.debug_line_str')), []).files()
    expect(names(all)).toEqual(names(line))
  })

  test('a file without lines, one that is not linked, and one that zstd has packed', async () => {
    const fails = (file: string): Promise<unknown> =>
      readLines(sourceOf(readFileSync(file))).catch((error: unknown) => error)
    expect(await fails(compile('-g0', '-s'))).toMatchObject({
      code: 'ERR_MISSING',
      reason: 'expected .debug_line, which gcc -g makes',
    })
    execFileSync('gcc', ['-g', '-c', 'main.c', '-o', 'main.o'], { cwd: folder })
    expect(await fails(join(folder, 'main.o'))).toMatchObject({ code: 'ERR_UNSUPPORTED' })
    const packed = readFileSync(compile('-g', '-gz=zlib'))
    const section = elfTables(packed).sections.find(({ name }) => name === '.debug_line')!
    packed[section.offset] = 2
    const error = await readLines(sourceOf(packed)).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'ERR_UNSUPPORTED' })
    expect(String(error)).toContain('.debug_line is compressed by method 2; objcopy --compress-debug-sections=zlib')
    packed[section.offset] = 1
    packed.fill(0, section.offset + 30, section.offset + section.size)
    expect(await readLines(sourceOf(packed)).catch((reason: unknown) => reason)).toMatchObject({ code: 'ERR_DAMAGED' })
  })

  test.each(['-gdwarf-4', '-gdwarf-5'])(
    '%s: sections with any bytes changed, or cut off, are read or refused',
    async (version) => {
      const bytes = readFileSync(compile(version, '-O1'))
      const { sections } = elfTables(bytes)
      const debug = sections.filter(({ name }) => /^\.debug_(line|line_str|str)$/.test(name))
      const line = debug.find(({ name }) => name === '.debug_line')!
      const use = (lines: LineTable): void => {
        lines.files()
        lines.addressesOf('main.c', 9)
        for (let at = 0; at < 10; at++) lines.lineOf(line.address + BigInt(at * 400))
      }
      const place = fc.oneof(
        fc.nat(line.size - 1).map((at) => line.offset + at),
        fc.nat(60).map((at) => line.offset + at),
        ...debug.map(({ offset, size }) => fc.nat(size - 1).map((at) => offset + at)),
      )
      const change = fc.tuple(place, fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)))
      const whole = lineSections(bytes.slice(line.offset, line.offset + line.size))
      const code = [{ start: 0n, end: 1n << 63n }]
      // The units are read one after another: whole ones are what a cut between them leaves.
      const refused = Array.from({ length: line.size - 1 }, (_, i) => {
        const read = (): LineTable => new DwarfLines(lineSections(whole.line.slice(0, i + 1)), code)
        try {
          return read() === undefined
        } catch (error) {
          expect(error).toBeInstanceOf(SymbolsError)
          return true
        }
      })
      expect(refused.filter((isRefused) => !isRefused)).toHaveLength(1)
      await fc.assert(
        fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
          const broken = bytes.slice()
          for (const [at, byte] of changes) broken[at] = byte
          try {
            use(await readLines(sourceOf(broken)))
          } catch (error) {
            expect(error).toBeInstanceOf(SymbolsError)
          }
        }),
        { numRuns: 400 },
      )
    },
  )
})
