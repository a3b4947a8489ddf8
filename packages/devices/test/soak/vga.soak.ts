// @programs: qemu-system-x86_64
import type { Soak } from '@retrap/tooling/soak'
import { QemuVga } from '../support/qemu-vga.ts'
import { compareVga } from '../support/vga-compare.ts'
import { vgaMachine } from '../support/vga-machine.ts'

const ours = vgaMachine()
let qemu: QemuVga

/** Random sequences of accesses to a VGA here and in QEMU: the bytes read back, the frame buffer and the screen agree. */
export const soak: Soak = {
  name: 'vga',
  count: 10_000,
  async setup() {
    qemu = await QemuVga.start()
  },
  step: (rng) => compareVga(ours, qemu, (bound) => rng.below(bound)),
  teardown: () => qemu.stop(),
}
