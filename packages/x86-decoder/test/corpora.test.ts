/**
 * Agreement with objdump and LLVM (length and mnemonic) and iced-x86 (operands too) on the code of Debian's programs: windows
 * of some of them. `npm run -s soak -- corpora` takes all instructions of all of them.
 */
import { debianMembers } from '@retrap/tooling/debian'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect } from 'vitest'
import { corpora, hasObjdump, readCode } from './support/corpora.ts'
import { compareLlvm, compareObjdump, summary } from './support/corpus-compare.ts'
import { Llvm } from './support/llvm-disassembler.ts'

const test = sliceTests(4)

/** Compilers' code, assembler programmers' with every vector extension, the kernel's, and code of 32 and 16 bits. */
const SAMPLE = [
  'bash',
  'libc.so.6',
  'libcrypto.so.3',
  'libgmp.so.10',
  'libx264.so.164',
  'libopenblasp-r0.3.21.so',
  'libsimdjson.so.14',
  'vmlinux',
  'libc.so.6 (i386)',
  'libx264.so.164 (i386)',
  'bios-256k.bin (16-bit)',
]
const EXTENT = { windowBytes: 100_000, windows: 3 }

const sample = corpora.filter(({ name }) => SAMPLE.includes(name))
const folders = hasObjdump() ? await debianMembers(sample).catch(() => undefined) : undefined
if (folders === undefined) console.warn('NOT CHECKED on programs: no objdump, or no apt-get to fetch them with')
const llvm = Llvm.make()
if (typeof llvm === 'string') console.warn(`NOT CHECKED against LLVM: ${llvm}`)
const scratch = temporaryFolder('corpora')

describe.skipIf(folders === undefined)('the code of programs', { timeout: 120_000 }, () => {
  test.each(sample.map((corpus, i) => ({ corpus, folder: folders?.[i] as string, name: corpus.name })))(
    '$name',
    async ({ corpus, folder }) => {
      const code = readCode(corpus, folder, scratch)
      const outcomes = await compareObjdump(code, EXTENT)
      if (typeof llvm !== 'string') outcomes.push(compareLlvm(code, llvm, EXTENT))
      for (const outcome of outcomes) {
        console.log(summary(corpus.name, outcome))
        expect(outcome.unknown).toEqual([])
        expect(outcome.instructions).toBeGreaterThan(15_000)
      }
    },
  )
})
