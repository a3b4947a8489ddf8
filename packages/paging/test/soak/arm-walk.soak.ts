// @programs: qemu-system-aarch64 aarch64-linux-gnu-gcc aarch64-linux-gnu-as
import type { Soak } from '@retrap/tooling/soak'
import { randomArmCase } from '../support/arm/cases.ts'
import { compare } from '../support/arm/compare.ts'
import { askQemu, hasQemu } from '../support/arm/qemu.ts'

const CASES = 10_000

/** Random stage-1 tables, registers and accesses, walked by the package and by QEMU's processor; 10,000 a step. */
export const soak: Soak = {
  name: 'arm-walk',
  count: 30,
  setup() {
    if (!hasQemu) throw new Error('arm-walk needs qemu-system-aarch64 and aarch64-linux-gnu-gcc')
  },
  step(rng) {
    const cases = Array.from({ length: CASES }, () => randomArmCase((bound) => rng.below(bound)))
    const answers = askQemu(cases)
    for (const [index, each] of cases.entries()) {
      const { difference } = compare(each, answers[index] as (typeof answers)[0])
      if (difference !== '') return difference
    }
  },
}
