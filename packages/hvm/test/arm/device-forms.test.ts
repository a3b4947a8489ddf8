import { runSoak } from '@retrap/tooling/soak'
import { expect, test } from 'vitest'
import { FORM_COUNT, shown, soak } from '../soak/arm-devices.soak.ts'

/** Features that the processor says it does not have: their loads and stores are undefined instructions. */
const ABSENT: readonly string[] = [
  // DC IVAC and DC ISW of EL0.
  'DC',
  'DPB2',
  'GCS',
  'LRCPC3',
  'LS64',
  'LS64_ACCDATA',
  'LS64_V',
  'LSCP',
  'LSE128',
  'LSFE',
  'LSUI',
  'MOPS',
  'MOPS_GO',
  'MTE',
  'MTE2',
  'SME',
  'SME2',
  'SVE',
  'THE',
]

test('each load and store is the same to a device that answers later, and to RAM', { timeout: 60_000 }, async () => {
  const { violations, smallest } = await runSoak(soak, { count: 2 * FORM_COUNT, seed: 1 })
  expect(smallest).toBeUndefined()
  expect(violations).toBe(0)
  const { runs, accesses, reached, undefinedFeatures } = shown()
  expect([...undefinedFeatures].toSorted()).toEqual(ABSENT)
  // Forms that were executed, those of them that a device had a part in, and what it was asked.
  expect(reached.size).toBeGreaterThan(240)
  expect([...reached.values()].filter((count) => count > 0).length).toBeGreaterThan(150)
  expect(accesses).toBeGreaterThan(800)
  expect(runs).toBeGreaterThan(3000)
})
