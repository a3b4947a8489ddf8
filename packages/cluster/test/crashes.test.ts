// A disk whose power goes, and the search for crash states, against a model that knows sectors only.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { crashIntervals, crashStates } from '../src/crash-states.ts'
import { Disk, type DiskLog, type DiskPages, pagesAfter } from '../src/disk.ts'
import type { LostSectors } from '../src/faults.ts'
import { exploreCrashes } from '../src/explore-crashes.ts'
import type { CheckRun, CrashLane, WorkRun } from '../src/lanes/lane.ts'

const [SECTOR, PAGE, SECTORS] = [512, 4096, 64]
type Request = 'flush' | readonly [first: number, count: number]
const requests = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.tuple(fc.nat(SECTORS - 20), fc.integer({ min: 1, max: 20 })) },
    { weight: 1, arbitrary: fc.constant('flush' as const) },
  ),
  { maxLength: 30 },
)

/** Writes numbers to sectors, each write another one. */
async function worked(all: readonly Request[]): Promise<{ disk: Disk; log: DiskLog }> {
  const disk = new Disk(SECTORS * SECTOR, 1, 'disk')
  let ns = 0
  disk.attach({ now: () => ns })
  const log = disk.startLog()
  for (const [i, request] of all.entries()) {
    ns += 10
    await (request === 'flush'
      ? disk.flush()
      : disk.write(request[0] * SECTOR, new Uint8Array(request[1] * SECTOR).fill(i + 1)))
  }
  return { disk, log }
}

/** The first byte of each sector. */
const sectorsOf = (pages: DiskPages): number[] =>
  Array.from(
    { length: SECTORS },
    (_, i) => pages.get((i * SECTOR) / PAGE - ((i * SECTOR) % PAGE) / PAGE)?.[(i * SECTOR) % PAGE] ?? 0,
  )

/** What the disk has: writes in their order, but for sectors that are lost. */
function expected(all: readonly Request[], lost: readonly LostSectors[]): number[] {
  const found = Array.from({ length: SECTORS }, () => 0)
  let write = 0
  for (const [i, request] of all.entries()) {
    if (request === 'flush') continue
    for (let k = 0; k < request[1]; k++)
      if (!lost.some((one) => one.write === write && k >= one.first && k < one.first + one.count))
        found[request[0] + k] = i + 1
    write++
  }
  return found
}

/** A lane whose machine has worked, and checks a disk by a function. */
function laneOf(
  log: DiskLog,
  check: (sectors: readonly number[]) => Partial<CheckRun>,
  reports: WorkRun['reports'] = [],
): CrashLane & { readonly checked: string[] } {
  const checked: string[] = []
  return {
    ...{ checked, close: () => undefined },
    work: () =>
      Promise.resolve({ log, reports, begin: 0, result: { failure: undefined, ns: 1000, faults: [], properties: [] } }),
    check(pages) {
      checked.push(sectorsOf(pages).join())
      const found = check(sectorsOf(pages))
      return Promise.resolve<CheckRun>({ code: 0, reports: [], output: [], ...found })
    },
  }
}

const explored = (lanes: readonly CrashLane[], states = Infinity) => {
  let left = states
  return exploreCrashes(lanes, {
    ...{ check: { machine: 'm', words: [], limit: 1 }, seed: 1, tearBytes: PAGE, signal: new AbortController().signal },
    ...{ goesOn: () => left-- > 0, onWork: () => undefined, onState: () => undefined },
  })
}

describe('crashes of a disk', () => {
  test('a power loss keeps all but the sectors that are named, as each state of the log does', async () => {
    await fc.assert(
      fc.asyncProperty(requests, fc.nat(), fc.constantFrom(512, 4096), async (all, seed, tearBytes) => {
        const { disk, log } = await worked(all)
        const intervals = crashIntervals(log, 1000)
        expect(intervals.map(({ until, from }) => until - from).reduce((sum, one) => sum + one)).toBe(log.writes.length)
        const last = intervals.at(-1)!
        for (const { interval, lost } of crashStates(log, intervals, seed, tearBytes)) {
          const { from, until, ns } = interval
          for (const { write, first, count } of lost) {
            expect(write).toSatisfy((number: number) => number >= from && number < until)
            expect(first + count).toBeLessThanOrEqual(log.writes[write]!.bytes / SECTOR)
          }
          // The power goes behind the writes of the interval, and before those of the next one.
          expect(ns).toBeGreaterThanOrEqual(log.writes[until - 1]?.ns ?? 0)
          expect(ns).toBeLessThan(log.writes[until]?.ns ?? Infinity)
          const until_ = all.filter((one) => one !== 'flush').length === until ? all : prefixOf(all, until)
          expect(sectorsOf(pagesAfter(log, from, until, lost))).toEqual(expected(until_, lost))
          if (interval !== last) continue
          const copy = disk.copy()
          copy.losePower(lost)
          expect(sectorsOf(copy.pages)).toEqual(expected(all, lost))
        }
      }),
      { numRuns: 40 },
    )
  })

  test('all subsets of up to two lost writes are states, where an interval has twelve', async () => {
    const { log } = await worked(Array.from({ length: 12 }, (_, i): Request => [i, 1]))
    const sets = new Set(
      [...crashStates(log, crashIntervals(log, 1000), 1, PAGE)].map(({ lost }) =>
        lost.map(({ write }) => write).join(),
      ),
    )
    for (let one = 0; one < 12; one++)
      for (let other = one; other < 12; other++) expect(sets).toContain(one === other ? `${one}` : `${one},${other}`)
    expect([...sets].slice(0, 3)).toEqual([[...Array(12).keys()].join(), '', '0'])
    const many = await worked(Array.from({ length: 40 }, (_, i): Request => [i, 1]))
    expect([...crashStates(many.log, crashIntervals(many.log, 1000), 1, PAGE)].length).toBeGreaterThan(60)
  })

  test('a loss needs as few writes as possible, equal disks are checked once, and lanes change nothing', async () => {
    // Sector 30 says that sector 3 is written.
    const all: Request[] = [
      [0, 1],
      'flush',
      ...Array.from({ length: 20 }, (_, i): Request => [i + 1, 1]),
      [30, 1],
      'flush',
      [40, 2],
      [42, 1],
    ]
    const { log } = await worked(all)
    const check = (sectors: readonly number[]) => ({ code: sectors[30] !== 0 && sectors[3] === 0 ? 1 : 0 })
    const [one, two] = [laneOf(log, check), laneOf(log, check)]
    const report = await explored([one])
    expect(report.intervals.map(({ loss }) => loss?.lost)).toEqual([
      undefined,
      [{ write: 3, first: 0, count: 1 }],
      undefined,
    ])
    expect(report.intervals[1]!.loss!.failure).toBe('check ended with 1')
    expect(new Set(one.checked).size).toBe(one.checked.length)
    expect(report).toMatchObject({ disks: one.checked.length, leftOut: 0 })
    const shared = await explored([two, laneOf(log, check)])
    expect(shared.intervals.map(({ loss }) => loss?.lost)).toEqual(report.intervals.map(({ loss }) => loss?.lost))
    const cut = await explored([laneOf(log, () => ({}))], 5)
    expect(cut.states).toBe(5)
    expect(cut.leftOut).toBeGreaterThan(20)
  })

  test('promises count until the power goes', async () => {
    const { log } = await worked([[0, 1], 'flush', [1, 1], 'flush'])
    const reports = [15, 25].map((ns, i) => ({ ns, text: `promised n ${i + 1}` }))
    const check = (sectors: readonly number[]) => ({ reports: [`found n ${sectors.filter(Boolean).length}`] })
    const { intervals } = await explored([laneOf(log, check, reports)])
    const failures = ['{"promised":1,"found":0}', '{"promised":2,"found":1}'].map(
      (one) => `always n failed on m: ${one}`,
    )
    expect(intervals.map(({ loss }) => loss?.failure)).toEqual([...failures, undefined])
  })
})

/** The requests before the write with a number. */
function prefixOf(all: readonly Request[], writes: number): readonly Request[] {
  let write = 0
  return all.slice(
    0,
    all.findIndex((one) => one !== 'flush' && write++ === writes),
  )
}
