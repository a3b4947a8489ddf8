/** Random operations on generic timers whose outcome does not depend on when they are performed. */
import type { Rng } from '@retrap/tooling/soak'
import * as gic from '../../src/gic/index.ts'
import { REDISTRIBUTORS, type Operation } from './operations.ts'

const CONTROLS = [gic.CNTP_CTL_EL0, gic.CNTV_CTL_EL0]
/** Counts that are past, or will not come during a test. */
const COUNTS = [0n, 1n, 2n ** 62n, 2n ** 63n, 2n ** 64n - 1n, 0xffff_ffffn * 2n ** 32n]
/** Ticks: none, half a minute, and a few that are past. */
const TICKS = [0n, 0x7fff_ffffn, 0xffff_ffffn, 0xffff_fc18n, 0x1_ffff_fc18n]

export function timerOperations(rng: Rng, cpus: number): Operation[] {
  const list: Operation[] = []
  const system = (cpu: number, encoding: number, value?: bigint): void => {
    list.push({ kind: 'system', cpu, encoding, write: value !== undefined, value: value ?? 0n })
  }
  // Compare values are UNKNOWN after a reset: QEMU's stay.
  for (let cpu = 0; cpu < cpus; cpu++) for (const each of [gic.CNTP_CVAL_EL0, gic.CNTV_CVAL_EL0]) system(cpu, each, 0n)
  for (let left = rng.between(5, 60); left > 0; left--) {
    const cpu = rng.below(cpus)
    switch (rng.below(5)) {
      case 0:
        system(cpu, rng.pick(CONTROLS), BigInt(rng.pick([0, 1, 2, 3, 7, 0xffff_ffff])))
        break
      case 1: {
        const encoding = rng.pick([gic.CNTP_CVAL_EL0, gic.CNTV_CVAL_EL0])
        system(cpu, encoding, rng.pick(COUNTS))
        system(cpu, encoding)
        break
      }
      case 2:
        system(cpu, rng.pick([gic.CNTP_TVAL_EL0, gic.CNTV_TVAL_EL0]), rng.pick(TICKS))
        break
      case 3:
        system(cpu, gic.CNTFRQ_EL0)
        break
      default:
        // QEMU's keeps RES0 bits too.
        system(cpu, gic.CNTKCTL_EL1, BigInt(rng.below(0x400)))
        system(cpu, gic.CNTKCTL_EL1)
    }
    for (const encoding of CONTROLS) system(cpu, encoding)
    const address = REDISTRIBUTORS + 0x2_0000 * cpu + 0x1_0200
    list.push({ kind: 'memory', cpu, address, size: 4, write: false, value: 0n })
  }
  return list
}
