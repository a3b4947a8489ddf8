import { expect, test } from 'vitest'
import { type RunStatistics, formatStatistics } from '../../src/machine/session/statistics.ts'

const JIT = {
  units: 3,
  live: 2,
  liveBytes: 1024,
  ...{ revived: 4, helped: 1 },
  loaded: 6,
  keptBytes: 5000,
  evictions: 1,
  instructions: 40,
  distinct: 30,
  bytes: 2048,
  milliseconds: 1.5,
  longestMilliseconds: 0.7,
  medianMilliseconds: 0.4,
  executed: 1_000_000,
  compiledMilliseconds: 1234,
  interpretedMilliseconds: 567,
  exits: { miss: 5, system: 1200, fault: 0 },
  failures: 0,
  firstFailure: undefined,
}

function statistics(counts: RunStatistics['counts']): RunStatistics {
  return {
    reason: 'power-off',
    exitCode: 0,
    instructions: 1_234_567,
    wallSeconds: 2,
    cpuSeconds: 1.5,
    mips: 0.617,
    tlbMisses: 42,
    exits: { hlt: 3, budget: 1000 },
    counts,
    taskPriority: { traps: 7 },
    memory: { guestBytes: 64 << 20, residentBytes: 1500 << 20, peakResidentBytes: 1528 << 20 },
    p2m: { format: 'ept', tableBytes: 4096, leaves: { '4K': 1, '2M': 0, '1G': 0 }, frames: { 0: 1 } },
    resets: 0,
  }
}

test('statistics are lines of a name and its value, the most frequent exit first', () => {
  const lines = formatStatistics(statistics({})).split('\n')
  expect(lines).toContain('instructions  1,234,567')
  expect(lines).toContain('TLB misses    42')
  expect(lines).toContain('exits         budget 1,000, hlt 3')
  expect(lines).toContain('memory        1500 MiB resident (at most 1528 MiB), guest RAM 64 MiB')
  expect(lines.join()).not.toMatch(/JIT|TPR|resets/)
})

test('compiled code has lines, and errors of its compiler another one', () => {
  const text = formatStatistics(statistics({ jit: JIT }))
  expect(text).toContain(
    [
      'JIT           3 units of 40 instructions (30 distinct), 2 KiB, compiled in 2 ms, and 1 of them by another thread; 2 live, 1 KiB; 4 revived, 6 from the cache, 5 KiB kept; 1 given up for room\n',
      'JIT waits     median 0.4 ms, longest 0.7 ms, from hot to installed\n',
      'executed      1,000,000 instructions compiled (81.0 %), 234,567 interpreted\n',
      'time          compiled code 1.23 s, interpreter 0.57 s, compiler 0.00 s\n',
      'JIT exits     system 1,200, miss 5\n',
    ].join(''),
  )
  expect(text).not.toContain('JIT errors')
  const failed = formatStatistics(statistics({ jit: { ...JIT, failures: 2, firstFailure: 'TypeError: no such form' } }))
  expect(failed).toContain('JIT errors    2, interpreted instead; the first: TypeError: no such form\n')
})

test('a TPR patcher has a line, which says what an option ROM that is not ours does not count', () => {
  const patched = { traps: 7, patchedSites: 3, polls: 2 }
  const format = (helperCalls: number | null): string =>
    formatStatistics({ ...statistics({}), taskPriority: { ...patched, helperCalls } })
  expect(format(1000)).toContain('TPR           7 traps, 3 patched sites, 1,000 helper calls, 2 polls\n')
  expect(format(null)).toContain('TPR           7 traps, 3 patched sites, helper calls not counted, 2 polls\n')
})

test('resets of the machine have a line', () => {
  expect(formatStatistics({ ...statistics({}), resets: 2 })).toContain('resets        2\n')
})
