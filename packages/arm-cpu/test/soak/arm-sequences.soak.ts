// @programs: qemu-aarch64 aarch64-linux-gnu-gcc aarch64-linux-gnu-as
/**
 * Random sequences of A64 instructions against qemu-aarch64, interpreted and, in every fourth step, compiled. A step is 100
 * sequences, one after another on one processor.
 */
import { AARCH64, hasMachine } from '@retrap/tooling/arm-native'
import type { Soak } from '@retrap/tooling/soak'
import { compareSequences } from '../support/compare-sequences.ts'

const SEQUENCES = 100
let sequences = 0
let compiled = 0
let faults = 0

export const soak: Soak = {
  name: 'arm-sequences',
  count: 20,
  setup() {
    if (!hasMachine(AARCH64)) throw new Error('no cross compiler or no qemu-user')
  },
  step(rng, index) {
    const found = compareSequences(SEQUENCES, () => rng.u32(), index % 4 === 3)
    sequences += SEQUENCES
    compiled += found.compiled
    faults += found.faults
    const lines = found.differences.slice(0, 5).map(({ text, what }) => `${text}: ${what}`)
    return lines.length === 0 ? undefined : lines.join('\n')
  },
  summary: () =>
    `${sequences} sequences, ${faults} of which end with a fault; compiled code executed ${compiled} instructions`,
}
