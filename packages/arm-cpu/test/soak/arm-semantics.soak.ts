/**
 * Random instructions of every form against qemu-aarch64, interpreted and, in every fourth step, compiled, and of A32, T16 and
 * T32 against qemu-arm: ten cases a form in a step. 100 steps are 1,000 cases a form.
 * @programs: qemu-aarch64 qemu-arm aarch64-linux-gnu-gcc aarch64-linux-gnu-as arm-linux-gnueabihf-gcc arm-linux-gnueabihf-as
 */
import { AARCH64, ARM, hasMachine } from '@retrap/tooling/arm-native'
import type { Soak } from '@retrap/tooling/soak'
import { compareA32, comparedA32Rows, comparedThumbRows } from '../support/compare-a32.ts'
import { compareInstructions, comparedRows } from '../support/compare-instructions.ts'
import { compareVfp, comparedVfpRows } from '../support/compare-vfp.ts'

const PER_FORM = 10
const rows = comparedRows()
const vectorRows = comparedVfpRows()
const rows32 = [...comparedA32Rows(), ...comparedThumbRows()]
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
    const wideVectors = compareVfp(vectorRows, PER_FORM, () => rng.u32(), true)
    const integers = compareA32(rows32, PER_FORM, () => rng.u32())
    const all = [found, vectors, wideVectors, integers]
    cases += all.reduce((sum, each) => sum + each.cases, 0)
    compiled += found.compiled
    const lines = all
      .flatMap(({ differences }) => differences)
      .slice(0, 20)
      .map(({ word, text, what }) => `${word} ${text}: ${what}`)
    return lines.length === 0 ? undefined : lines.join('\n')
  },
  teardown() {
    console.log(
      `${cases} cases of ${rows.length + 2 * vectorRows.length + rows32.length} forms; compiled code executed ${compiled} instructions`,
    )
  },
}
