/** What units do about instructions that miss the TLB. */
import { expect, test } from 'vitest'
import { MemorySites } from '../../src/jit/memory-sites.ts'

const SITE = 0x1000
const BESIDE = 0x1020
const RARE = 0x1040

/** Counts misses. @returns how many it took until the action is to change */
function missesUntilChange(sites: MemorySites, record: number): number {
  for (let misses = 1; misses <= 1000; misses++) if (sites.count(record)) return misses
  return Infinity
}

test('an instruction that misses often fills the TLB in place, then makes its accesses by calls', () => {
  const sites = new MemorySites(1024)
  expect(sites.actionOf(SITE)).toBe('count')
  for (const action of ['fill', 'call', 'call']) {
    expect(missesUntilChange(sites, SITE)).toBe(16)
    sites.change([SITE])
    expect(sites.actionOf(SITE)).toBe(action)
  }
})

test('others of the unit that have missed a few times change with it, and those that have not do not', () => {
  const sites = new MemorySites(1024)
  for (let misses = 0; misses < 4; misses++) sites.count(BESIDE)
  for (let misses = 0; misses < 3; misses++) sites.count(RARE)
  missesUntilChange(sites, SITE)
  sites.change([SITE, BESIDE, RARE])
  expect([SITE, BESIDE, RARE].map((record) => sites.actionOf(record))).toEqual(['fill', 'fill', 'count'])
})

test('a few times are a quarter', () => {
  const sites = new MemorySites(64_000)
  for (let counts = 0; counts < 250; counts++) sites.count(BESIDE)
  for (let counts = 0; counts < 249; counts++) sites.count(RARE)
  sites.change([BESIDE, RARE])
  expect([BESIDE, RARE].map((record) => sites.actionOf(record))).toEqual(['fill', 'count'])
})

test('all is forgotten with the code', () => {
  const sites = new MemorySites(1024)
  missesUntilChange(sites, SITE)
  sites.change([SITE])
  sites.count(BESIDE)
  sites.clear()
  expect(sites.actionOf(SITE)).toBe('count')
  expect([SITE, BESIDE].map((record) => missesUntilChange(sites, record))).toEqual([16, 16])
})

test.each([
  [1, 1, 1],
  [40, 2, 20],
  [1024, 64, 16],
  [64_000, 64, 1000],
])('%d misses are %d a count, and %d counts', (misses, perCount, counts) => {
  const sites = new MemorySites(misses)
  expect([sites.missesPerCount, missesUntilChange(sites, SITE)]).toEqual([perCount, counts])
})
