/**
 * Random instructions of every form against qemu-aarch64, interpreted and, in every fourth step, compiled, and of VFP and
 * Advanced SIMD of A32 against qemu-arm: ten cases a form in a step. 100 steps are 1,000 cases a form.
 */
import { AARCH64, ARM, hasMachine } from '@retrap/tooling/arm-native'
import type { Soak } from '@retrap/tooling/soak'
import { compareInstructions, comparedRows } from '../support/compare-instructions.ts'
import { compareVfp, comparedVfpRows } from '../support/compare-vfp.ts'

const PER_FORM = 10
const rows = comparedRows()
const vectorRows = comparedVfpRows()
let cases = 0
let compiled = 0

export const soak: Soak = {
  name: 'arm-semantics',
  count: 100,
  setup() {
    if (!hasMachine(AARCH64) || !hasMachine(ARM)) throw new Error('no cross compiler or no qemu-user')
  },
  step(rng, index) {
    const compiles = index % 4 === 3
    const found = compareInstructions(rows, compiles ? 1 : PER_FORM, () => rng.u32(), compiles)
    const vectors = compareVfp(vectorRows, PER_FORM, () => rng.u32())
    cases += found.cases + vectors.cases
    compiled += found.compiled
    const lines = [...found.differences, ...vectors.differences]
      .slice(0, 20)
      .map(({ word, text, what }) => `${word} ${text}: ${what}`)
    return lines.length === 0 ? undefined : lines.join('\n')
  },
  teardown() {
    console.log(
      `${cases} cases of ${rows.length + vectorRows.length} forms; compiled code executed ${compiled} instructions`,
    )
  },
}
