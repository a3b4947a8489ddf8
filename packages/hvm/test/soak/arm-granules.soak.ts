/**
 * Random translation tables of 4, 16 and 64 KiB granules here and in QEMU: hierarchical permissions, the contiguous hint, access
 * and dirty flags by hardware, tags, addresses of all sizes. Loads, stores, fetches and AT at EL1 and EL0 end with the same
 * exceptions and results, and the tables are the same in the end. `npm run -s soak -- arm-granules`; a step is one set of tables.
 * @programs: qemu-system-aarch64 aarch64-linux-gnu-gcc aarch64-linux-gnu-as
 */
import { ARM_BOARD_LACKS, hasArmBoard } from '@retrap/tooling/arm-payload'
import type { Soak } from '@retrap/tooling/soak'
import { compareTraps } from '../arm/traps/compare.ts'
import type { Trap } from '../arm/traps/trap.ts'
import { drawTables, drawTry, GRANULES } from '../arm/traps/granules.ts'

/** Of ESR_ELx: HVC; the upper bits of the classes of aborts. */
const EC_HVC = 0x16n
const EC_ABORTS = 4n

/** What is tried through each set of tables. */
const TRIES = 1500

/** By granule: how often the tries have ended, by kind. */
let ends: Map<string, number>[] = []

/** What the last run has shown. */
export const shown = (): readonly ReadonlyMap<string, number>[] => ends

/** Whether it was done; refused by stage 2; or the status of the fault that EL1 got, without its level. */
function kindOf({ esr, esrEl1 }: Trap): string {
  if (esr >> 26n !== EC_HVC) return 'stage 2'
  if (esrEl1 === 0n) return 'done'
  return esrEl1 >> 29n === EC_ABORTS ? `status ${(esrEl1 & 0x3cn).toString(16)}` : 'executed'
}

/** See the file's comment. */
export const soak: Soak = {
  name: 'arm-granules',
  count: 30,
  setup() {
    if (!hasArmBoard) throw new Error(ARM_BOARD_LACKS)
    ends = GRANULES.map(() => new Map())
  },
  step(rng, index) {
    const which = index % GRANULES.length
    const tables = drawTables(rng, GRANULES[which]!)
    rng.note('tables', `of ${2 ** GRANULES[which]!.bits} bytes, TCR_EL1 ${tables.guest.tcr.toString(16)}`)
    const cases = Array.from({ length: TRIES }, () => drawTry(rng, tables))
    const { differences, traps } = compareTraps(cases, tables.guest)
    for (const each of traps) {
      const kind = kindOf(each)
      ends[which]!.set(kind, (ends[which]!.get(kind) ?? 0) + 1)
    }
    return differences.length === 0 ? undefined : differences.slice(0, 20).join('\n')
  },
  summary() {
    const text = (all: ReadonlyMap<string, number>): string => [...all].map(([kind, n]) => `${kind} ${n}`).join(', ')
    return ends.map((all, i) => `${2 ** (GRANULES[i]!.bits - 10)} KiB: ${text(all)}`).join('; ')
  },
}
