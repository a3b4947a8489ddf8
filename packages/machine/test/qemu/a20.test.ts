/** Address line 20 in every mode, by every way to switch it: one program, under SeaBIOS here and on QEMU. */
import { describe, expect, test } from 'vitest'
import { bootDisk, CAN_COMPARE, runHere, runOnQemu, SKIP_NOTE } from '../support/boot-disk.ts'
import { a20Program, OUTPUT_PORT, PDPTE_BITS, type Step } from './a20-program.ts'

/** IBM PS/2 reference, "Keyboard and Auxiliary Device Controller", output port: the interrupts' levels. QEMU keeps what was written. */
const OUTPUT_INTERRUPTS = 0x30
/** SDM vol. 3A, "Format of a PAE Page-Directory-Pointer-Table Entry": bits 8:5 are reserved. QEMU sets an A bit there. */
const PDPTE_ACCESSED = 0x20

/** What each step has shown, less what QEMU does in a way of its own. */
function bySteps(seen: readonly number[], steps: readonly Step[]): Record<string, string> {
  let at = 0
  return Object.fromEntries(
    steps.map(([name, bytes]) => {
      const shown = seen.slice(at, (at += bytes))
      if (name.endsWith(OUTPUT_PORT)) shown[0]! &= ~OUTPUT_INTERRUPTS
      if (name.includes(PDPTE_BITS)) shown[0]! &= ~PDPTE_ACCESSED
      return [name, shown.map((value) => value.toString(16)).join(' ')]
    }),
  )
}

describe.skipIf(!CAN_COMPARE)(`address line 20 under SeaBIOS${SKIP_NOTE}`, () => {
  test.each(['pc', 'q35'] as const)('%s: wraps as on QEMU', { timeout: 120_000 }, async (machine) => {
    let steps: readonly Step[] = []
    const image = bootDisk((asm) => void (steps = a20Program(asm)))
    const theirs = runOnQemu(image, machine)
    expect(theirs).toHaveLength(steps.reduce((sum, [, bytes]) => sum + bytes, 0))
    expect(bySteps(await runHere(image, { machine }), steps)).toEqual(bySteps(theirs, steps))
  })
})
