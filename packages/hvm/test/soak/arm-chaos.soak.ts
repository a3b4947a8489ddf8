/**
 * The chaos oracle's Arm programs: `npm run -s soak -- arm-chaos --count N`. A step is a random program of some hundred
 * instructions, of which a third are loads and stores of all forms at pages of a device, of RAM, and of neither. It is executed
 * twice: by the interpreter without disturbance; and compiled, in turns of few instructions, with a device that answers
 * each access now or later, interrupts between any two instructions, TLBs that are emptied, and the machine settled as for a
 * snapshot. Registers, memory and the device's log must be the same.
 */
import type { Soak } from '@retrap/tooling/soak'
import { ChaosMachine } from '../arm/chaos/machine.ts'
import { drawProgram } from '../arm/chaos/program.ts'

let calm: ChaosMachine
let wild: ChaosMachine
let instructions = 0
let accesses = 0

/** What the last run has shown. */
export const shown = (): ChaosMachine['counts'] & { instructions: number; accesses: number } => ({
  ...wild.counts,
  instructions,
  accesses,
})

/** See the file's comment. */
export const soak: Soak = {
  name: 'arm-chaos',
  count: 20_000,
  setup() {
    calm = new ChaosMachine(false)
    wild = new ChaosMachine(true)
    instructions = 0
    accesses = 0
  },
  async step(rng) {
    const program = drawProgram(rng)
    rng.note('program', () => program.map((word) => word.toString(16).padStart(8, '0')).join(' '))
    const x = Array.from({ length: 31 }, () => rng.u64())
    const v = Array.from({ length: 32 }, () => (rng.u64() << 64n) | rng.u64())
    const expected = await calm.run(program, x, v)
    const found = await wild.run(program, x, v, rng)
    instructions += expected.retired
    accesses += expected.log.length
    const differences: string[] = []
    for (const [name, value] of expected.registers) {
      const other = found.registers.get(name)!
      if (other !== value) differences.push(`${name} ${other.toString(16)}, not ${value.toString(16)}`)
    }
    const at = found.ram.findIndex((byte, i) => byte !== expected.ram[i])
    if (at >= 0) differences.push(`RAM differs at ${at.toString(16)}`)
    const access = found.log.findIndex((each, i) => each !== expected.log[i])
    if (access >= 0) differences.push(`access ${access}: ${found.log[access]}, not ${expected.log[access]}`)
    else if (found.log.length !== expected.log.length)
      differences.push(`${found.log.length} accesses, not ${expected.log.length}`)
    return differences.length === 0 ? undefined : differences.slice(0, 12).join('; ')
  },
  summary() {
    const { interrupts, late, settled, turns } = wild.counts
    return `${instructions} instructions, ${accesses} accesses to the device, ${late} of them later; ${turns} turns, ${interrupts} interrupts, ${settled} settlings`
  },
}
