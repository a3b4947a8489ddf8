/**
 * Every load and store of A64 that the processor has, at EL1 and EL0, with the MMU on, at pages that are Device-nGnRE or
 * Normal memory and lead to a device, across the borders to RAM, to other pages of the device, to what nothing answers and to
 * what is not mapped: `npm run -s soak -- arm-devices --count N`. A step is a case of one form, the next in turn. It is executed
 * with a device that answers at once; that answers later, at all accesses and at each by itself; with the machine settled at
 * each access; and with a reset at each access, after which it begins again while the old answer is still to come. Registers,
 * memory and the device's log must be the same, and the same as where RAM is in the place of the device, which the processor
 * reaches by generated code.
 */
import { loadStoreFormsA64 } from '@retrap/arm-decoder'
import type { Soak } from '@retrap/tooling/soak'
import { drawCase } from '../arm/forms/cases.ts'
import { FormComparison } from '../arm/forms/compare.ts'

/** Draws that may be another form's. */
const TRIES = 64

let comparison: FormComparison | undefined

/** How many forms there are: a step for each. */
export const FORM_COUNT: number = loadStoreFormsA64.length

/** What the last run has shown. */
export const shown = (): FormComparison['counts'] => comparison!.counts

/** See the file's comment. */
export const soak: Soak = {
  name: 'arm-devices',
  count: 20 * loadStoreFormsA64.length,
  setup() {
    comparison = new FormComparison()
  },
  async step(rng, index) {
    const form = loadStoreFormsA64[index % loadStoreFormsA64.length]!
    for (let tries = 0; tries < TRIES; tries++) {
      const each = drawCase(form, rng)
      if (each === undefined) continue
      const [before, after] = each.pages
      rng.note(
        'case',
        `${each.text} at ${each.address.toString(16)}, ${before.kind} | ${after.kind}, type ${after.type}`,
      )
      const found = await comparison!.compare(each)
      return found.length === 0 ? undefined : `${each.text}: ${found.join('\n')}`
    }
    return undefined
  },
  summary() {
    const { runs, accesses, faults, reached, undefinedFeatures } = shown()
    const absent = [...undefinedFeatures].toSorted().join(' ')
    return `${reached.size} forms, ${runs} runs, ${accesses} accesses to the device, ${faults} exceptions; undefined: ${absent}`
  },
}
