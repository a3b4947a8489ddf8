/** What `npm test` makes of its runs: the order of files, and whether they take longer than before. */
import { fileURLToPath } from 'node:url'
import { expect, test, vi } from 'vitest'
import type { TestSpecification, Vitest } from 'vitest/node'
import { changeOf } from '../src/run/durations.ts'

const SECONDS = { 'a.test.ts': 3, 'b.test.ts': 50, 'c.test.ts': 1, 'd.test.ts': 20, 'e.test.ts': 2 }

vi.mock('../src/run/durations.ts', async (original) => ({ ...(await original()), readDurations: () => SECONDS }))
const { LongestFirst } = await import('../src/run/longest-first.ts')

test('the longest file comes first, and files that share a process come together', async () => {
  const root = fileURLToPath(new URL('.', import.meta.url)).replace(/\/$/, '')
  const [together, alone] = [{ config: { isolate: false } }, { config: { isolate: true } }]
  const file = (name: string, project: object): TestSpecification =>
    ({ moduleId: `${root}/${name}.test.ts`, project }) as unknown as TestSpecification
  const files = [
    file('a', alone),
    file('c', together),
    file('unknown', alone),
    file('d', alone),
    file('b', together),
    file('e', together),
  ]
  const sorted = await new LongestFirst({ config: { root } } as unknown as Vitest).sort(files)
  expect(sorted.map(({ moduleId }) => /(\w+)\.test/.exec(moduleId)?.[1])).toEqual(['b', 'e', 'c', 'd', 'unknown', 'a'])
})

const before = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`${i}`, 10]))
const times = (factor: number): [string, number][] => Object.entries(before).map(([path, s]) => [path, s * factor])

test.each([
  ['a slower host', Object.fromEntries(times(2)), 0],
  ['a new file on a slower host', { ...Object.fromEntries(times(2)), more: 60 }, 0.1],
  ['a file that has become longer', { ...before, 3: 40 }, 0.1],
  ['files that are gone', Object.fromEntries(times(1).slice(3)), -0.1],
])('the change of the sum: %s', (_, now, change) => expect(changeOf(before, now)).toBeCloseTo(change))

test('runs of other files cannot be compared', () => {
  expect(changeOf(before, { other: 100 })).toBeUndefined()
})
