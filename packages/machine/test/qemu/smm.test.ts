/** System-management mode of both boards: one program, under SeaBIOS here and on QEMU. */
import { describe, expect, test } from 'vitest'
import { bootDisk, CAN_COMPARE, runHere, runOnQemu, SKIP_NOTE } from '../support/boot-disk.ts'
import type { Step } from './a20-program.ts'
import { type Board, MEMORY_MIB } from './smm-context.ts'
import { HLT_STEP, LOCK_STEP, SAVE_AREA_STEP, smmProgram } from './smm-program.ts'

const BOARDS: readonly Board[] = [
  { machine: 'pc', smram: 0x72 },
  { machine: 'q35', smram: 0x9d },
]

/** What QEMU does in a way of its own, as it is here: by the step, and the board where it is one board's. */
const DEPARTURES: readonly (readonly [step: string, machine: string, ours: (theirs: number[]) => number[]])[] = [
  // SDM vol. 3C, "Auto HALT Restart": the flag is set where SMI came in HLT, and RSM goes back to HLT. QEMU ends the HLT.
  [HLT_STEP, '', () => [1, 0]],
  // SDM vol. 3C, "I/O Instruction Restart": bit 16 of the revision. QEMU has no restart.
  [SAVE_AREA_STEP, '', (theirs) => theirs.with(2, theirs[2]! | 1)],
  // 82441FX data sheet, "SMRAM": D_LCK clears D_OPEN, and both stay as they are. QEMU's i440FX has no lock.
  [LOCK_STEP, 'pc', () => [0x1a, 0x3a, 1, 0x5a]],
  // The same: C_BASE_SEG is 010, and bit 7 is reserved. QEMU's keep what was written.
  ['SMRAM register', 'pc', (theirs) => [...theirs.slice(0, -1).map((value) => (value & 0x78) | 2), theirs.at(-1)!]],
  ['SMRAM register 8', 'pc', () => [0x0a]],
]

function bySteps(seen: readonly number[], steps: readonly Step[]): Record<string, number[]> {
  let at = 0
  return Object.fromEntries(steps.map(([name, bytes]) => [name, seen.slice(at, (at += bytes))]))
}

describe.skipIf(!CAN_COMPARE)(`system-management mode under SeaBIOS${SKIP_NOTE}`, () => {
  test.each(BOARDS)('$machine: as on QEMU', { timeout: 120_000 }, async (board) => {
    let steps: readonly Step[] = []
    const image = bootDisk((asm) => void (steps = smmProgram(asm, board)))
    const { machine } = board
    const more = ['-smp', '2', '-m', String(MEMORY_MIB), '-device', 'VGA,romfile=']
    const theirs = bySteps(runOnQemu(image, `${machine},smm=on`, more), steps)
    for (const [step, where, ours] of DEPARTURES) {
      if (where !== '' && where !== machine) continue
      for (const name of Object.keys(theirs)) if (name.startsWith(step)) theirs[name] = ours(theirs[name]!)
    }
    const ours = await runHere(image, { machine, smm: true, vga: 'std', cpus: 2, memoryBytes: MEMORY_MIB << 20 })
    expect(bySteps(ours, steps)).toEqual(theirs)
  })
})
