// @programs: qemu-aarch64 qemu-arm aarch64-linux-gnu-gcc aarch64-linux-gnu-as arm-linux-gnueabihf-gcc arm-linux-gnueabihf-as qemu-system-aarch64
/** Random system instructions and exceptions at EL1 and EL0 against qemu-system-aarch64, compiled in every other step. */
import { ARM_BOARD_LACKS, hasArmBoard } from '@retrap/tooling/arm-payload'
import type { Soak } from '@retrap/tooling/soak'
import { compareCases, drawCases, MOST_CASES } from '../support/el1-cases.ts'

let cases = 0

export const soak: Soak = {
  name: 'arm-system',
  count: 20,
  setup() {
    if (!hasArmBoard) throw new Error(ARM_BOARD_LACKS)
  },
  step(rng, index) {
    const drawn = drawCases(MOST_CASES, () => rng.u32())
    cases += drawn.length
    const lines = compareCases(drawn, index % 2 === 1).slice(0, 20)
    return lines.length === 0 ? undefined : lines.join('\n')
  },
  teardown() {
    console.log(`${cases} cases of system instructions`)
  },
}
