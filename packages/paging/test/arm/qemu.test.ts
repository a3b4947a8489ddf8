import { skipNote } from '@retrap/tooling/skip'
import { expect, test } from 'vitest'
import { randomOf } from '../support/guest.ts'
import { randomArmCase } from '../support/arm/cases.ts'
import { compare, kindOf } from '../support/arm/compare.ts'
import { askQemu, hasQemu } from '../support/arm/qemu.ts'

const SEED = 20_261_120
const COUNT = 30_000

test.skipIf(!hasQemu)(
  `${COUNT} random tables, registers and accesses come to what QEMU's processor makes of them${skipNote(hasQemu, 'no qemu-system-aarch64 or no cross compiler')}`,
  { timeout: 120_000 },
  () => {
    const random = randomOf(SEED)
    const cases = Array.from({ length: COUNT }, () => randomArmCase((bound) => Math.floor(random() * bound)))
    const answers = askQemu(cases)
    const seen = new Map<string, number>()
    const differences = cases.flatMap((each, index) => {
      const { ours, difference } = compare(each, answers[index] as (typeof answers)[0])
      const kind = `${each.format} ${kindOf(ours)}`
      seen.set(kind, (seen.get(kind) ?? 0) + 1)
      return difference === '' ? [] : [difference]
    })
    expect(differences).toEqual([])
    // The comparison means something only if every format both faults and translates often.
    for (const format of ['long64', 'long32', 'short']) {
      expect(seen.get(`${format} maps to`)).toBeGreaterThan(1_000)
      expect(seen.get(`${format} faults with`)).toBeGreaterThan(1_000)
      expect(seen.get(`${format} no table at`)).toBeGreaterThan(40)
    }
    expect(seen.get('short known departure')).toBeLessThan(COUNT / 50)
  },
)
