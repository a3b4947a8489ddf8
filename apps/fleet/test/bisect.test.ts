import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { bisectPlan, firstBad } from '../src/bisect.ts'
import { PlanError } from '../src/plan/read-plan.ts'
import { embeddedQueue } from '../src/queue/queue.ts'
import type { PlanRun } from '../src/run-plan.ts'

const folder = temporaryFolder('fleet-bisect')
const retrap = [process.execPath, fileURLToPath(new URL('support/fake-retrap.mjs', import.meta.url))] as const
const going = new AbortController().signal

test('the first bad thing is found, with few tests', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 2, max: 200 }), fc.nat(), async (count, at) => {
      const bad = 1 + (at % (count - 1))
      const tested: number[] = []
      const found = await firstBad(
        count,
        (indices) => {
          tested.push(...indices)
          return Promise.resolve(indices.map((i) => i < bad))
        },
        going,
      )
      expect(found).toBe(bad)
      expect(tested.length).toBeLessThanOrEqual(2 + Math.ceil(Math.log2(count - 1)))
      expect(new Set(tested).size).toBe(tested.length)
    }),
  )
})

test('nothing is found where the first thing is bad, the last one good, or the run is ended', async () => {
  expect(await firstBad(4, (indices) => Promise.resolve(indices.map(() => true)), going)).toBe('no difference')
  expect(await firstBad(4, (indices) => Promise.resolve(indices.map(() => false)), going)).toBe('no difference')
  const ended = new AbortController()
  const stop = (indices: readonly number[]) => {
    ended.abort()
    return Promise.resolve(indices.map(() => false))
  }
  expect(await firstBad(4, stop, ended.signal)).toBe('stopped')
})

async function bisect(plan: string): Promise<{ found: boolean; printed: string; names: string[] }> {
  const out = mkdtempSync(join(folder, 'out-'))
  const printed: string[] = []
  writeFileSync(join(folder, 'plan.yaml'), plan)
  const run: PlanRun = {
    ...{ retrap, out, signal: going, progress: { write: (text) => printed.push(text) } },
    queueOf: (make) => embeddedQueue(4, make),
  }
  const found = await bisectPlan(join(folder, 'plan.yaml'), run)
  const { results } = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')) as {
    results: { job: { name: string } }[]
  }
  return { found, printed: printed.join(''), names: results.map(({ job }) => job.name) }
}

test('kernels of a plan are bisected, each by all its repetitions', { timeout: 60_000 }, async () => {
  for (const [i, text] of ['good', 'good', 'good', 'good', 'bad', 'bad'].entries())
    writeFileSync(join(folder, `k${i}`), text)
  const { found, printed, names } = await bisect(
    'machines: [{ name: k, kernel: [k0, k1, k2, k3, k4, k5], expect: kernel good, repeat: 2 }]',
  )
  expect(found).toBe(true)
  expect(printed).toContain('first bad: k kernel=k4 #1\nlast good: k kernel=k3 #1\n')
  expect(names).toEqual([0, 5, 2, 3, 4].flatMap((i) => [`k kernel=k${i} #1`, `k kernel=k${i} #2`]))
  const none = await bisect('machines: [{ kernel: [k0, k1], expect: kernel good }]')
  expect(none.found).toBe(false)
  expect(none.printed).toContain('nothing to find')
  await expect(bisect('machines: [{ kernel: k0, repeat: 3 }]')).rejects.toThrow(PlanError)
  const unmade = bisect('machines: [{ exit: [2, 74] }]')
  await expect(unmade).rejects.toThrow(/cannot be tested/)
})
