import { findA64, loadStoreFormsA64 } from '@retrap/arm-decoder'
import { runSoak } from '@retrap/tooling/soak'
import { expect, test } from 'vitest'
import { ABSENT, AROUND } from './forms/cases.ts'
import { FormComparison } from './forms/compare.ts'
import { PAGES } from './forms/layout.ts'
import { FORM_COUNT, shown, soak } from '../soak/arm-devices.soak.ts'

test.each([
  ['LDR X14, [X8]', 0xf940_010e],
  ['STR X14, [X8]', 0xf900_010e],
  ['LDRSH X14, [X8]', 0x7980_010e],
])('%s may begin in RAM and end in a device', async (text, word) => {
  const comparison = new FormComparison()
  const after = PAGES.findIndex(({ kind, type }, i) => kind === 'device' && type === 1 && PAGES[i - 1]!.kind === 'ram')
  const address = PAGES[after]!.va - 1
  const found = await comparison.compare({
    form: findA64(word)!,
    text,
    code: [word],
    x: Array.from({ length: 31 }, (_, i) => (i === 8 ? BigInt(address) : 0x1122_3344_5566_7788n)),
    sp: 0n,
    v: Array.from({ length: 32 }, () => 0n),
    pstate: 0x3c5,
    sctlr: 0x30d0_1805n,
    address,
    unit: 0,
    pages: [PAGES[after - 1]!, PAGES[after]!],
    contents: Uint8Array.from({ length: 2 * AROUND }, (_, i) => 0xff & (i * 7)),
  })
  expect(found).toEqual([])
  expect(comparison.counts.accesses).toBeGreaterThan(0)
})

test('each load and store is the same to a device that answers later, and to RAM', { timeout: 60_000 }, async () => {
  const { violations, smallest } = await runSoak(soak, { count: 2 * FORM_COUNT, seed: 1 })
  expect(smallest).toBeUndefined()
  expect(violations).toBe(0)
  const { runs, accesses, reached, undefinedFeatures } = shown()
  expect([...undefinedFeatures].filter((feature) => !ABSENT.includes(feature))).toEqual([])
  const executed = new Set([...reached.keys()].map((index) => loadStoreFormsA64[index]!.feature))
  expect(ABSENT.filter((feature) => executed.has(feature))).toEqual([])
  // Forms that were executed, those of them that a device had a part in, and what it was asked.
  expect(reached.size).toBeGreaterThan(240)
  expect([...reached.values()].filter((count) => count > 0).length).toBeGreaterThan(150)
  expect(accesses).toBeGreaterThan(800)
  expect(runs).toBeGreaterThan(3000)
})
