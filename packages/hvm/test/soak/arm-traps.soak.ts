/**
 * Random instructions at EL1 and EL0 that EL2 traps or stage 2 refuses, here and below QEMU's EL2: the syndrome and the registers
 * beside it are the same. `npm run -s soak -- arm-traps`; a step is some thousand cases, every form of loads and stores and
 * every template among them.
 * @programs: qemu-system-aarch64 aarch64-linux-gnu-gcc aarch64-linux-gnu-as
 */
import { ARM_BOARD_LACKS, hasArmBoard } from '@retrap/tooling/arm-payload'
import type { Rng, Soak } from '@retrap/tooling/soak'
import { drawAccess, drawTemplate, FORMS, templates, type TrapCase } from '../arm/traps/cases.ts'
import { compareTraps, MOST_CASES } from '../arm/traps/compare.ts'

/** Cases of each form and of each template in a step. */
const EACH = 8
/** Draws that may be another form's. */
const TRIES = 64

const EC_DATA_ABORT_LOWER = 0x24

let cases = 0
let classes = new Map<number, number>()
/** Forms that stage 2 has refused. */
let refused = new Set<number>()

/** What the last run has shown. */
export const shown = (): { classes: ReadonlyMap<number, number>; refused: ReadonlySet<number> } => ({
  classes,
  refused,
})

function* drawCases(rng: Rng): Iterable<{ readonly form: number; readonly each: TrapCase }> {
  for (const form of FORMS) {
    for (let count = 0, tries = 0; count < EACH && tries < TRIES; tries++) {
      const each = drawAccess(form, rng)
      if (each === undefined) continue
      count++
      yield { form: form.index, each }
    }
  }
  for (const template of templates()) {
    for (let count = 0; count < EACH; count++) yield { form: -1, each: drawTemplate(template, rng) }
  }
}

/** See the file's comment. */
export const soak: Soak = {
  name: 'arm-traps',
  count: 10,
  setup() {
    if (!hasArmBoard) throw new Error(ARM_BOARD_LACKS)
    cases = 0
    classes = new Map()
    refused = new Set()
  },
  step(rng) {
    const drawn = [...drawCases(rng)]
    if (drawn.length > MOST_CASES) throw new Error(`${drawn.length} cases`)
    const found = compareTraps(drawn.map(({ each }) => each))
    cases += drawn.length
    for (const [i, exceptionClass] of found.classes.entries()) {
      classes.set(exceptionClass, (classes.get(exceptionClass) ?? 0) + 1)
      const { form } = drawn[i]!
      if (exceptionClass === EC_DATA_ABORT_LOWER && form >= 0) refused.add(form)
    }
    return found.differences.length === 0 ? undefined : found.differences.slice(0, 40).join('\n')
  },
  summary() {
    const counted = [...classes].toSorted(([a], [b]) => a - b).map(([ec, count]) => `${ec.toString(16)}: ${count}`)
    return `${cases} cases, ${refused.size} forms refused by stage 2; exceptions by class ${counted.join(', ')}`
  },
}
