import { TEST_LONG } from '@retrap/tooling/long'
import { choices } from '@retrap/tooling/random'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { compare, eachKeyFault, eachPageFault, keyCase, pagingCase } from './paging-differential/differences.ts'
import type { Levels } from './paging-differential/program.ts'
import { hasQemu } from './system/differential/run.ts'

/** Accesses of a kind of tables. */
const CASES = slicedCount(1500, 4)

const available = hasQemu()
if (!available) console.warn('SKIPPED: comparing page faults with QEMU needs qemu-system-x86_64')

/** Random tables, rights and control registers, ending as they do on QEMU: `npm run -s soak -- page-faults` for more. */
describe.skipIf(!available)('page faults, and A and D bits, as on QEMU', () => {
  test.each([2, 3, 4, 5] as const)('%s levels', { timeout: 60_000 }, (levels: Levels) => {
    const c = choices(slicedSeed(levels))
    const cases = eachPageFault(levels)
    while (cases.length < CASES) cases.push(pagingCase(c, levels))
    const { differences, outcomes } = compare(cases, levels)
    expect(differences, SLICE_REPEAT).toEqual([])
    expect(outcomes.get('vector 80')).toBeGreaterThan(CASES / 10)
    expect([...outcomes.keys()].filter((key) => key.startsWith('#PF')).length).toBeGreaterThan(8)
  })

  test('protection keys of user and supervisor pages', { timeout: 60_000 }, () => {
    const c = choices(slicedSeed(6))
    const cases = eachKeyFault(4)
    while (cases.length < CASES) cases.push(keyCase(c, 4))
    const { differences, outcomes } = compare(cases, 4)
    expect(differences, SLICE_REPEAT).toEqual([])
    // Of reads and writes, by user and supervisor.
    for (const error of ['21', '23', '25', '27'])
      expect(outcomes.get(`#PF(${error})`), error).toBeGreaterThan(TEST_LONG ? 8 : 0)
  })
})
