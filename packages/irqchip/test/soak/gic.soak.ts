import type { Rng, Soak } from '@retrap/tooling/soak'
import { GenericTimers, GicV3 } from '../../src/gic/index.ts'
import { difference } from '../gic/compare.ts'
import { OurGicV3 } from '../gic/operations.ts'
import { isQemusGicV3 } from '../gic/deviations.ts'
import { hasQemu, QemuGic } from '../gic/qemu.ts'
import { RandomGicV3 } from '../gic/random-gicv3.ts'
import { timerOperations } from '../gic/random-timers.ts'
import { TimerQueue } from '../timer-queue.ts'

const CPUS = 3
let qemu: QemuGic | undefined

/** A GIC with timers, whose clock stands: QEMU's runs, but what is compared does not change with it. */
function makeBoard(): OurGicV3 {
  const clock = new TimerQueue()
  clock.time = 1e9
  return new OurGicV3(
    () => new GicV3({ cpus: CPUS, signal: () => undefined }),
    (gic) => new GenericTimers({ cpus: CPUS, clock, line: (cpu, intid, level) => gic.setPpi(cpu, intid, level) }),
  )
}

async function step(rng: Rng): Promise<string | void> {
  const operations = rng.chance(1, 8) ? timerOperations(rng, CPUS) : new RandomGicV3(rng, CPUS).operations()
  const found = await difference(makeBoard(), qemu!, operations, isQemusGicV3)
  if (found === undefined) return
  rng.note('operations, with what QEMU gives', found.before.join('\n'))
  return found.text
}

/** Random operations of processors and devices on a GICv3, and of its timers, beside QEMU's. */
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
