import type { Rng, Soak } from '@retrap/tooling/soak'
import { GicV3 } from '../../src/gic/index.ts'
import { difference } from '../gic/compare.ts'
import { OurGicV3 } from '../gic/operations.ts'
import { isQemusGicV3 } from '../gic/deviations.ts'
import { hasQemu, QemuGic } from '../gic/qemu.ts'
import { RandomGicV3 } from '../gic/random-gicv3.ts'

const CPUS = 3
let qemu: QemuGic | undefined

async function step(rng: Rng): Promise<string | void> {
  const ours = new OurGicV3(() => new GicV3({ cpus: CPUS, signal: () => undefined }))
  const operations = new RandomGicV3(rng, CPUS).operations()
  const found = await difference(ours, qemu!, operations, isQemusGicV3)
  if (found === undefined) return
  rng.note('operations, with what QEMU gives', found.before.join('\n'))
  return found.text
}

/** Random operations of processors and devices on a GICv3, beside QEMU's. */
export const soak: Soak = {
  name: 'gic',
  count: 300,
  async setup() {
    if (!hasQemu) throw new Error('gic needs qemu-system-aarch64 and aarch64-linux-gnu-gcc')
    qemu = await QemuGic.start('gic-version=3', CPUS)
  },
  step,
  async teardown() {
    await qemu?.stop()
  },
}
