import { numbers } from '@retrap/tooling/random'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { describe, expect, test } from 'vitest'
import { QemuVga } from '../support/qemu-vga.ts'
import { compareVga } from '../support/vga-compare.ts'
import { vgaMachine } from '../support/vga-machine.ts'

const CASES = Number(process.env['CASES'] ?? 60)
const available = hasProgram('qemu-system-x86_64')
const note = skipNote(available, 'there is no qemu-system-x86_64')

describe.runIf(available)(`a VGA and QEMU's${note}`, () => {
  test('read back the same bytes and show the same picture, whatever a guest does', async () => {
    const qemu = await QemuVga.start()
    try {
      const ours = vgaMachine()
      for (let seed = 1; seed <= CASES; seed++) {
        expect(await compareVga(ours, qemu, numbers(seed * 2_654_435_761)), `case ${seed}`).toBe(undefined)
      }
    } finally {
      await qemu.stop()
    }
  }, 60_000)
})
