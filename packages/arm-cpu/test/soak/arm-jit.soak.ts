// @programs: qemu-aarch64 qemu-arm aarch64-linux-gnu-gcc aarch64-linux-gnu-as arm-linux-gnueabihf-gcc arm-linux-gnueabihf-as
/** Random programs, interpreted and compiled: state and counts agree at the end of every turn. A step is one program. */
import type { Soak } from '@retrap/tooling/soak'
import { compareExecutions } from '../support/compare-executions.ts'
import { randomProgram } from '../support/random-program.ts'

let retired = 0
let executed = 0

export const soak: Soak = {
  name: 'arm-jit',
  count: 2000,
  step(rng) {
    const random = (): number => rng.u32()
    const found = compareExecutions(randomProgram(random), random)
    retired += found.retired
    executed += found.executed
    return found.difference
  },
  teardown() {
    console.log(`${retired} instructions in both executions, ${executed} of them compiled`)
  },
}
