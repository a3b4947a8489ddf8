/**
 * Random cases of every form that qemu-user can run, with a device that answers at once and one that answers later: ten
 * cases a form in a step, of one instruction set. 400 steps are 1,000 cases a form.
 * @programs: qemu-aarch64 qemu-arm aarch64-linux-gnu-gcc aarch64-linux-gnu-as arm-linux-gnueabihf-gcc arm-linux-gnueabihf-as
 */
import type { Soak } from '@retrap/tooling/soak'
import { compareWithQemu, machineOf } from '../support/compare-emulation.ts'
import { notCompared, type SetName } from '../support/emulation-cases.ts'
import { hasMachine } from '@retrap/tooling/arm-native'

const SETS: readonly SetName[] = ['a64', 'a32', 't32', 't16']
const PER_FORM = 10

const cases = new Map<SetName, number>()

export const soak: Soak = {
  name: 'arm-emulation',
  count: 400,
  setup() {
    for (const set of SETS)
      if (!hasMachine(machineOf(set))) throw new Error(`no cross compiler or qemu-user for ${set}`)
  },
  step(rng, index) {
    const set = SETS[index % 4] as SetName
    rng.note('set', set)
    const found = compareWithQemu(set, PER_FORM, rng.u32())
    cases.set(set, (cases.get(set) ?? 0) + found.cases)
    if (found.wrong.length > 0) return found.wrong.slice(0, 20).join('\n')
  },
  teardown() {
    console.log([...cases].map(([set, count]) => `${set}: ${count} cases`).join(', '))
    console.log('not run by qemu-user, and what stands in for it:')
    for (const line of SETS.flatMap(notCompared)) console.log(`  ${line}`)
  },
}
