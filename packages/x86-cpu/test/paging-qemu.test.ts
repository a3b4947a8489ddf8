import { choices } from '@retrap/tooling/random'
import { describe, expect, test } from 'vitest'
import { compare, keyCase, pagingCase } from './paging-differential/differences.ts'
import type { Levels } from './paging-differential/program.ts'
import { hasQemu } from './system/differential/run.ts'

const available = hasQemu()
if (!available) console.warn('SKIPPED: comparing page faults with QEMU needs qemu-system-x86_64')

/** Random tables, rights and control registers, ending as they do on QEMU: `npm run -s soak -- page-faults` for more. */
describe.skipIf(!available)('page faults, and A and D bits, as on QEMU', () => {
  test.each([2, 3, 4, 5] as const)('%s levels', { timeout: 60_000 }, (levels: Levels) => {
    const c = choices(levels)
    const cases = Array.from({ length: 1500 }, () => pagingCase(c, levels))
    const { differences, outcomes } = compare(cases, levels)
    expect(differences).toEqual([])
    expect(outcomes.get('vector 80')).toBeGreaterThan(150)
    expect([...outcomes.keys()].filter((key) => key.startsWith('#PF')).length).toBeGreaterThan(8)
  })

  test('protection keys of user and supervisor pages', { timeout: 60_000 }, () => {
    const c = choices(6)
    const cases = Array.from({ length: 1500 }, () => keyCase(c, 4))
    const { differences, outcomes } = compare(cases, 4)
    expect(differences).toEqual([])
    // Of reads and writes, by user and supervisor.
    for (const error of ['21', '23', '25', '27']) expect(outcomes.get(`#PF(${error})`), error).toBeGreaterThan(8)
  })
})
