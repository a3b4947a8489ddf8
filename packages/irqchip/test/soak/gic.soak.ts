// @programs: qemu-system-aarch64 aarch64-linux-gnu-gcc aarch64-linux-gnu-as
import type { Rng, Soak } from '@retrap/tooling/soak'
import { GenericTimers, GicV2, GicV3, Its } from '../../src/gic/index.ts'
import { difference, done } from '../gic/compare.ts'
import { OurBoard, OurGicV2, Ram, type Operation } from '../gic/operations.ts'
import { isQemusGicV2, isQemusGicV3 } from '../gic/deviations.ts'
import { hasQemu, QemuGic } from '../gic/qemu.ts'
import { RandomGicV2 } from '../gic/random-gicv2.ts'
import { RandomGicV3 } from '../gic/random-gicv3.ts'
import { RandomIts } from '../gic/random-its.ts'
import { timerOperations } from '../gic/random-timers.ts'
import { TimerQueue } from '../timer-queue.ts'

const CPUS = 3
let qemu: QemuGic | undefined
let qemuV2: QemuGic | undefined
/** As ours has: QEMU's default is eight bits of priority. */
const GICV2 = 'gic-version=2 -global arm_gic_common.num-priority-bits=5'

/** Our board. Its clock stands: QEMU's runs, but what is compared does not change with it. */
function makeBoard(): OurBoard {
  const clock = new TimerQueue()
  clock.time = 1e9
  return new OurBoard(() => {
    const ram = new Ram()
    const gic = new GicV3({ cpus: CPUS, memory: ram, signal: () => undefined })
    const its = new Its({ gic, memory: ram, later: (callback) => callback() })
    const line = (cpu: number, intid: number, level: boolean): void => gic.setPpi(cpu, intid, level)
    return { gic, ram, its, timers: new GenericTimers({ cpus: CPUS, clock, line }) }
  })
}

function operationsOf(rng: Rng): Operation[] {
  switch (rng.below(5)) {
    case 0:
      return timerOperations(rng, CPUS)
    case 1:
    case 2:
      return new RandomIts(rng, CPUS).operations()
    default:
      return new RandomGicV3(rng, CPUS).operations()
  }
}

async function step(rng: Rng): Promise<string | void> {
  const found = rng.chance(1, 4)
    ? await difference(
        new OurGicV2(() => new GicV2({ cpus: CPUS, signal: () => undefined })),
        qemuV2!,
        new RandomGicV2(rng, CPUS).operations(),
        isQemusGicV2,
      )
    : await difference(makeBoard(), qemu!, operationsOf(rng), isQemusGicV3)
  if (found === undefined) return
  rng.note('operations, with what QEMU gives', found.before.join('\n'))
  return found.text
}

/** Random operations of processors and devices on a GICv3, its ITS and timers, and on a GICv2, beside QEMU's. */
export const soak: Soak = {
  name: 'gic',
  count: 300,
  async setup() {
    if (!hasQemu) throw new Error('gic needs qemu-system-aarch64 and aarch64-linux-gnu-gcc')
    qemu = await QemuGic.start('gic-version=3', CPUS)
    qemuV2 = await QemuGic.start(GICV2, CPUS)
  },
  step,
  summary: () =>
    `${done.operations} operations, ${done.acknowledged} interrupts acknowledged, ${done.lpis} of them LPIs`,
  async teardown() {
    await qemu?.stop()
    await qemuV2?.stop()
  },
}
