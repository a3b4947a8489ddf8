/** What `npm test` makes of its runs: which files they have, in which order, and whether these take longer than before. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test, vi } from 'vitest'
import type { TestSpecification, Vitest } from 'vitest/node'
import { changeOf } from '../src/run/durations.ts'
import type * as durations from '../src/run/durations.ts'

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

test('parts of all files have each file once, and are about equally long', async () => {
  const project = { name: 'p', config: { isolate: true } }
  const files = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map(
    (name) => ({ moduleId: `/${name}.test.ts`, project }) as unknown as TestSpecification,
  )
  const part = (index: number): Promise<TestSpecification[]> =>
    new LongestFirst({ config: { root: '/', shard: { index, count: 3 } } } as unknown as Vitest).shard(files)
  const parts = (await Promise.all([1, 2, 3].map(part))).map((own) =>
    own.map(({ moduleId }) => moduleId.slice(1, 2)).join(''),
  )
  // b takes 50 s, d 20 s; f and g are not known, which counts 10 s each.
  expect(parts).toEqual(['b', 'da', 'fgec'])
})

const before = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`${i}`, 10]))
const times = (factor: number): [string, number][] => Object.entries(before).map(([path, s]) => [path, s * factor])

test.each([
  ['a slower host', Object.fromEntries(times(2)), 0],
  ['a new file on a slower host', { ...Object.fromEntries(times(2)), more: 60 }, 0.1],
  ['a file that has become longer', { ...before, 3: 40 }, 0.1],
  ['files that have become shorter', { ...before, 3: 1, 4: 4 }, -0.05],
  ['files that another run has', Object.fromEntries(times(1).slice(3)), 0],
])('the change of the sum: %s', (_, now, change) => expect(changeOf(before, now)).toBeCloseTo(change))

test('runs of other files cannot be compared', () => {
  expect(changeOf(before, { other: 100 })).toBeUndefined()
})

test('durations of files that a run has left out are kept, while these files are there', async () => {
  const { readDurations, writeDurations } = await vi.importActual<typeof durations>('../src/run/durations.ts')
  const root = temporaryFolder('durations')
  mkdirSync(join(root, '.config'))
  expect(readDurations(root)).toEqual({})
  for (const name of ['a', 'b', 'c']) writeFileSync(join(root, name), '')
  writeDurations(root, { c: 1.26, a: 10 })
  rmSync(join(root, 'c'))
  writeDurations(root, { b: 3, a: 4.04 })
  expect(readDurations(root)).toEqual({ a: 4, b: 3 })
  writeDurations(root, { b: 5 })
  expect(readDurations(root)).toEqual({ a: 4, b: 5 })
})
