import { numbers } from '@retrap/tooling/random'
import { describe, expect, test } from 'vitest'
import { type CrashOptions, filledImage, recordRun, replayKills } from '../support/crash.ts'

const SMALL = { sectors: 24, hasBacking: false, clusterBytes: 512 } as const

describe('a kill at any moment leaves an image that is whole and holds what a flush has promised', () => {
  test.each<CrashOptions & { name: string }>([
    { name: 'short run, every set of lost writes', ...SMALL, steps: 6 },
    { name: 'a file below', ...SMALL, steps: 30, hasBacking: true, clusterBytes: 1024 },
    { name: 'version 2', ...SMALL, steps: 30, hasBacking: true, version: 2 },
    { name: 'blocks of counts are added', ...SMALL, sectors: 200, steps: 20, refcountBits: 64 },
    { name: 'counts of one bit', ...SMALL, steps: 30, refcountBits: 1 },
    { name: 'large clusters', ...SMALL, sectors: 64, steps: 30, clusterBytes: 4096 },
  ])('$name', async (options) => {
    for (let seed = 1; seed <= 5; seed++) {
      const below = numbers(seed)
      const run = await recordRun(options, below)
      const limits = { exhaustive: options.steps < 10 ? 11 : 4, samples: 4 }
      expect([seed, await replayKills(run, below, limits)]).toEqual([seed, null])
    }
  })

  test('the table of counts grows', async () => {
    const options = { ...SMALL, sectors: 4400, steps: 3, refcountBits: 64 }
    const below = numbers(3)
    const start = await filledImage(options, 3900)
    const run = await recordRun({ ...options, start, opening: { at: 3900, count: 200 } }, below)
    const moves = run.log.filter((entry) => entry?.offset === 48 && entry.bytes.length === 12)
    expect(moves).toHaveLength(1)
    expect(await replayKills(run, below, { exhaustive: 2, samples: 2 })).toBeNull()
  })
})
