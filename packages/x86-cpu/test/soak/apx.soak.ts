/**
 * Random programs of APX, and of the older instructions that do the same, each interpreted and compiled: `npm run -s soak -- apx`. A
 * step is a program of 200 instructions.
 */
import { isDeepStrictEqual } from 'node:util'
import { loadInstructions } from '@retrap/x86-cpu'
import type { Soak } from '@retrap/tooling/soak'
import { APX_CPU, runEquals } from '../support/apx-programs.ts'

const INSTRUCTIONS = 200

/** See the file's comment. */
export const soak: Soak = {
  name: 'apx',
  count: 200,
  setup: () => loadInstructions(APX_CPU),
  step(rng) {
    const [older, newer] = runEquals(rng, INSTRUCTIONS) as [Record<string, string[]>, Record<string, string[]>]
    if (isDeepStrictEqual(older, newer)) return
    const differing = Object.keys(older).flatMap((key) =>
      older[key]!.flatMap((text, i) => (text === newer[key]![i] ? [] : [`${text} / ${newer[key]![i]}`])),
    )
    return differing.slice(0, 8).join(', ')
  },
}
