import { debianMembers } from '@retrap/tooling/debian'
import { skipNote } from '@retrap/tooling/skip'
import { describe, expect, test } from 'vitest'
import { compareThumbText } from './support/a32-text.ts'
import { binaries, type Binary, compareText, nothingCompared, readText } from './support/binaries.ts'
import { hasDisassemblers } from './support/disassembly.ts'

/** The C libraries have a bit of everything; `npm run -s soak -- arm-binaries` reads all of all. */
const sample: readonly Binary[] = binaries.filter(({ name }) => name.startsWith('libc.so'))
const folders = hasDisassemblers ? await debianMembers(sample).catch(() => undefined) : undefined

const BYTES = 0x4_0000

describe.skipIf(folders === undefined)(
  `loads and stores in Debian's programs${skipNote(folders !== undefined, 'no llvm-22, no cross binutils, or no packages')}`,
  () => {
    test.each(sample.map((each, index) => [each.name, each, index] as const))(
      '%s: the same words, with the same text, as in two listings',
      { timeout: 60_000 },
      (_name, binary, index) => {
        const text = readText(binary, (folders as readonly string[])[index] as string)
        for (const tool of ['llvm', 'gnu'] as const) {
          const found = nothingCompared()
          compareText(binary, text, tool, found, 0, BYTES)
          expect(found.unknown).toEqual([])
          expect(found.accesses).toBeGreaterThan(BYTES / 20)
        }
      },
    )

    test('all of Thumb has the same text as in a listing', { timeout: 60_000 }, () => {
      const index = sample.findIndex(({ architecture }) => architecture === 'armhf')
      const { instructions, misplaced, wrong } = compareThumbText(readText(sample[index]!, folders![index]!), 0, BYTES)
      expect(wrong).toEqual([])
      expect(instructions).toBeGreaterThan(BYTES / 4)
      // Data between functions looks like IT.
      expect(misplaced).toBeLessThan(instructions / 10_000)
    })
  },
)
