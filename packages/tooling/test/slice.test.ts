import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { TEST_LONG } from '../src/long.ts'
import { sliceNumber } from '../src/run/slice-number.ts'
import type * as slices from '../src/slice.ts'

beforeEach(() => {
  vi.resetModules()
  vi.stubEnv('RETRAP_TEST_LONG', '')
})
afterEach(() => {
  vi.unstubAllEnvs()
  vi.resetModules()
})

const CASES = Array.from({ length: 10 }, (_, i) => i)

async function module(slice: string): Promise<typeof slices> {
  vi.resetModules()
  vi.stubEnv('RETRAP_SLICE', slice)
  return import('../src/slice.ts')
}

test('each case is in one of as many neighbouring slices as there are parts', async () => {
  const taken: number[] = []
  for (const slice of ['7', '8', '9', '10']) {
    const { sliced } = await module(slice)
    taken.push(...sliced(CASES, 4))
  }
  expect(taken.toSorted((a, b) => a - b)).toEqual(CASES)
})

test('a slice has a case at least', async () => {
  const { sliced, slicedCount } = await module('5')
  expect(sliced(['only'], 100)).toEqual(['only'])
  expect(slicedCount(3, 100)).toBe(1)
})

test('a long run has all cases, and the seed of the suite', async () => {
  vi.stubEnv('RETRAP_TEST_LONG', '1')
  const { sliced, slicedCount, slicedSeed } = await module('5')
  expect([sliced(CASES, 4), slicedCount(100, 10), slicedSeed(9)]).toEqual([CASES, 100, 9])
})

test('the slice is the commit without a number', async () => {
  const { SLICE, SLICE_REPEAT, slicedSeed } = await module('')
  expect(SLICE).toBeGreaterThanOrEqual(0)
  expect(SLICE_REPEAT).toBe(`again: RETRAP_SLICE=${SLICE}`)
  expect(slicedSeed(0)).toBe(SLICE)
})

test.skipIf(TEST_LONG)('properties without a seed draw the cases of the slice', () => {
  expect(fc.readConfigureGlobal()).toEqual({ seed: sliceNumber() | 0 })
})

test('a batch of cases is followed by others until there is enough, and by so many at most', async () => {
  const { seedsUntil } = await module('5')
  const batchesOf = (needed: number): number[] => {
    const seeds: number[] = []
    for (const seed of seedsUntil(7, () => seeds.length >= needed)) seeds.push(seed)
    return seeds
  }
  expect(batchesOf(0)).toEqual([7])
  expect(batchesOf(3)).toEqual([7, ...batchesOf(Infinity).slice(1, 3)])
  expect(new Set(batchesOf(Infinity)).size).toBe(10)
})

const registered: string[] = []
// Whatever this run itself takes.
for (const name of ['RETRAP_TEST_LONG', 'RETRAP_EVERY_TEST']) vi.stubEnv(name, '')
const { sliceTests, sliceGroups } = await module('1')

const some = sliceTests(3)
for (const name of ['a', 'b', 'c', 'd']) some(`of four by name, ${name}`, () => void registered.push(name))
some.each(['e', 'f', 'g'])('of three by row, %s', (name) => void registered.push(name))
some.skipIf(false)('one with a condition', () => void registered.push('h'))
sliceGroups(2).each([1, 2, 3])('group %i', (group) => {
  test('has all of its tests', () => void registered.push(`group ${group}`))
})

vi.stubEnv('RETRAP_EVERY_TEST', '1')
const { sliceTests: everyTest } = await module('1')
const all: string[] = []
everyTest(3).each(['x', 'y', 'z'])('of three where every test is wanted, %s', (name) => void all.push(name))
vi.unstubAllEnvs()

test('all tests are registered where every test is wanted', () => {
  expect(all).toEqual(['x', 'y', 'z'])
})

test('tests and groups are registered where they are in the slice', () => {
  // The numbers begin at 1300, by the name of this file: the third of three, and the first of two, are the first that are taken.
  expect(registered).toEqual(['c', 'f', 'group 1', 'group 3'])
})

test('where every test is wanted, a suite has as many cases as in any run', async () => {
  vi.stubEnv('RETRAP_EVERY_TEST', '1')
  const { EVERY_TEST, sliced, slicedCount } = await module('1')
  expect([EVERY_TEST, sliced(CASES, 4), slicedCount(100, 10)]).toEqual([true, [0, 4, 8], 10])
})
