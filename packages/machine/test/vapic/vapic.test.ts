/** The TPR patcher on the whole machine, with both option ROMs, against the same guest without it. */
import { runSoak } from '@retrap/tooling/soak'
import { SLICE_REPEAT, sliced, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { soak } from '../soak/vapic.soak.ts'
import { difference, type Setup } from './compare.ts'
import { everyForm } from './forms.ts'
import { stockRom } from './stock.ts'
import { runKernel, stormKernel } from './storm.ts'

if (stockRom === undefined) test.skip('the stock ROM (skipped: there is no apt to fetch it with)')

const setups: readonly Setup[] = [
  { name: 'our ROM', vapic: true },
  { name: 'our ROM, polling by VMMCALL', vapic: { poll: 'vmmcall' } },
  { name: 'our ROM, polling by OUT', vapic: { poll: 'port' } },
  { name: 'our ROM, reports of the next instruction', vapic: { behind: true } },
  ...(stockRom === undefined
    ? []
    : [
        { name: 'the stock ROM', vapic: { rom: stockRom } },
        { name: 'the stock ROM, polling by OUT', vapic: { rom: stockRom, poll: 'port' } } as const,
      ]),
]

describe.each([1, 4])('every form of access, nested interrupts of every priority, %i processors', (cpus) => {
  const kernel = stormKernel(everyForm(cpus))
  const trapped = runKernel(kernel, cpus)

  test.each(sliced(setups, 3))('$name: the guest sees what it sees without', async ({ name, vapic }) => {
    const expected = await trapped
    expect(expected.exit).toEqual({ reason: 'debug-exit', code: 1 })
    const actual = await runKernel(kernel, cpus, { vapic })
    expect(difference(expected, actual)).toBeUndefined()
    const statistics = actual.pc.statistics()
    // Of the sites, the stock ROM leaves `mov edi, [tpr]` alone where there are several processors.
    const edi = name.startsWith('the stock') && cpus > 1 ? cpus : 0
    const sites = cpus === 1 ? 38 : 128
    expect(statistics.vapic?.patchedSites).toBe(sites - edi)
    expect(statistics.vapic?.polls).toBeGreaterThan(0)
    expect(statistics.tprTraps).toBeLessThan(expected.pc.statistics().tprTraps / 10)
    if (name.startsWith('our'))
      expect(statistics.vapic?.helperCalls).toBeGreaterThan(expected.pc.statistics().tprTraps * 0.9)
    else expect(statistics.vapic?.helperCalls).toBeUndefined()
  })
})

test('random storms of interrupts come out the same', async () => {
  const { violations, smallest } = await runSoak(soak, { count: slicedCount(12, 3), seed: slicedSeed(6) })
  expect(smallest, SLICE_REPEAT).toBeUndefined()
  expect(violations).toBe(0)
}, 60_000)

test('two runs on the deterministic clock agree in every instruction', async () => {
  const kernel = stormKernel(everyForm(2))
  const runs = [await runKernel(kernel, 2, { vapic: true }), await runKernel(kernel, 2, { vapic: true })]
  const [first, second] = runs.map(({ pc, logs }) => ({
    logs,
    instructions: pc.domain.instructions,
    time: pc.domain.clock.now(),
    sites: pc.vapic?.patcher.sites,
    counts: pc.vapic?.patcher.counts,
  }))
  expect(second).toEqual(first)
})
