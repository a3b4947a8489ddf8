/** What is kept of benches' runs. */
import { expect, test } from 'vitest'
import { comparisonsOf, MOST_RUNS, seriesOf, withRun, type Comparison } from '../src/bench-history.ts'

const RUN = { date: '2026-11-25T20:00:00Z', commit: '0123456789ab', host: 'a host' }

const at = (day: number, ratio: number, peer = 'QEMU'): Comparison => ({
  ...RUN,
  ...{ date: new Date(Date.UTC(2026, 0, day)).toISOString(), bench: 'jit', peer, ratio, what: '' },
})

test('the lines of comparisons are read, and others are not', () => {
  const output = [
    'preparing 3 x 4 (things)!',
    'walk: 28.9 x naive (111.7 ns against 3230 ns)',
    'mapcache: 1.40 x bounds-checked subarray (a hit in 64 MiB, 4 KiB each, 12 ns against 17 ns, twice)',
    'jit: 1.7 x QEMU 7.2 (geometric mean)',
    '  a line of a table: 7',
  ].join('\n')
  expect(comparisonsOf(output, RUN)).toEqual([
    { ...RUN, bench: 'walk', ratio: 28.9, peer: 'naive', what: '' },
    { ...RUN, bench: 'mapcache', ratio: 1.4, peer: 'bounds-checked subarray', what: 'a hit in 64 MiB, 4 KiB each' },
    { ...RUN, bench: 'jit', ratio: 1.7, peer: 'QEMU 7.2', what: 'geometric mean' },
  ])
})

test('a series is of one comparison, oldest first', () => {
  const series = [...seriesOf([at(3, 3), at(1, 1), at(2, 9, 'v86'), at(2, 2)]).values()]
  expect(series.map((list) => list.map(({ ratio }) => ratio))).toEqual([[1, 2, 3], [9]])
})

test('a history has the last year of each series', () => {
  const old = Array.from({ length: MOST_RUNS }, (_, i) => at(i + 1, i))
  const next = withRun([...old, at(1, 7, 'v86')], [at(MOST_RUNS + 1, 1000)])
  const [v86, jit] = [...seriesOf(next).values()]
  expect([jit?.length, jit?.[0]?.ratio, jit?.at(-1)?.ratio]).toEqual([MOST_RUNS, 1, 1000])
  expect(v86?.length).toBe(1)
})
