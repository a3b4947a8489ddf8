import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { corpusDifferences } from './differences.ts'
import { readCode } from './support/corpora.ts'
import { compareObjdump } from './support/corpus-compare.ts'

const ROW = corpusDifferences.find(({ why }) => why.startsWith('objdump stops at each symbol'))!
const hasBinutils = hasProgram('as') && hasProgram('objdump')

test.skipIf(!hasBinutils)(
  `what a symbol inside of an instruction cuts is known${skipNote(hasBinutils, 'as and objdump are not installed')}`,
  async () => {
    const folder = temporaryFolder('cut')
    const source = 'nop\nmov $0x12345678, %eax\n.globl inside\n.set inside, . - 3\nnop\nnop\n'
    execFileSync('as', ['--64', '-o', join(folder, 'cut.o'), '-'], { input: source })
    const corpus = { name: 'cut', package: '', members: ['./cut.o'], mode: 64, kind: 'elf' } as const
    const [objdump] = await compareObjdump(readCode(corpus, folder, folder), {})
    // B8 and 78, which begin instructions of five and two bytes.
    expect([...objdump!.known]).toEqual([[ROW.why, 2]])
    expect(objdump!.unknown).toEqual([])
  },
)

test.each([
  { what: 'cut after two of five bytes', toSymbol: 2, known: true },
  { what: 'before a symbol that cuts nothing', toSymbol: 5, known: false },
  { what: 'where no symbol is near', toSymbol: Infinity, known: false },
])('a byte that is no instruction of objdump is known only where it is: $what', ({ toSymbol, known }) => {
  const bytes = Uint8Array.of(0xb8, 0x78, 0x56, 0x34, 0x12, 0x90, 0x90)
  const found = { bytes, mode: 64, theirs: '.byte', length: 1, toSymbol } as const
  expect(ROW.where.test('objdump: b8 78 56 34 12: .byte 0xb8, ours MOV of 5 bytes for 1')).toBe(true)
  expect(ROW.when?.(found) !== false).toBe(known)
})
