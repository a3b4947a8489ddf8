// Code that others wrote survives decoding and assembling. `npm run -s soak -- reassembly` takes every instruction.
import { debianMembers } from '@retrap/tooling/debian'
import { skipNote } from '@retrap/tooling/skip'
import { describe, expect, test } from 'vitest'
import { codeOf, programs } from './support/programs.ts'
import { survive } from './support/survival.ts'

/** Every so many instructions one is taken. */
const STRIDE = 23
const AT_MOST = 15_000

const folders = await debianMembers(programs).catch(() => undefined)
if (folders === undefined) console.warn('NOT CHECKED on programs: their packages cannot be fetched')

describe.skipIf(folders === undefined)(
  `decoding and assembling keeps the code of${skipNote(folders !== undefined, 'no apt-get')}`,
  () => {
    test.each(programs.map((program, index) => ({ program, name: program.name, folder: folders?.[index] ?? '' })))(
      '$name',
      { timeout: 60_000 },
      ({ program, folder }) => {
        const outcome = { taken: 0, identical: 0, wrong: [] }
        for (const section of codeOf(program, folder)) survive(section, program.bits, STRIDE, AT_MOST, outcome)
        expect(outcome.wrong.slice(0, 20)).toEqual([])
        expect(outcome.taken).toBeGreaterThan(800)
        // Compilers too choose the shortest forms, but for padding.
        expect(outcome.identical / outcome.taken).toBeGreaterThan(0.85)
      },
    )
  },
)
