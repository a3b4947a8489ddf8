/** Numbers that are the same in each run: soaks are repeated by them. */
import { expect, test } from 'vitest'
import { choices, numbers, words } from '../src/random.ts'

/** The generator as its comment says, in whole numbers: Weyl's sequence, and the last steps of MurmurHash3. */
function reference(seed: number): () => number {
  const cut = (value: bigint): bigint => BigInt.asUintN(32, value)
  let state = cut(BigInt(seed))
  return () => {
    state = cut(state + 0x9e37_79b9n)
    let mixed = cut((state ^ (state >> 16n)) * 0x85eb_ca6bn)
    mixed = cut((mixed ^ (mixed >> 13n)) * 0xc2b2_ae35n)
    return Number(mixed ^ (mixed >> 16n))
  }
}

test.each([0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, -1])('words of seed %i', (seed) => {
  const [next, wanted] = [words(seed), reference(seed)]
  for (let i = 0; i < 100; i++) expect(next()).toBe(wanted())
})

test('numbers lie below their bound, and all of them come', () => {
  const below = numbers(7)
  expect(new Set(Array.from({ length: 200 }, () => below(5)))).toEqual(new Set([0, 1, 2, 3, 4]))
  const [next, wanted] = [numbers(9), reference(9)]
  for (let i = 0; i < 20; i++) expect(next(1000)).toBe(Math.floor((wanted() * 1000) / 2 ** 32))
})

test('choices are of a list, and as likely as is asked', () => {
  const drawn = choices(3)
  expect(new Set(Array.from({ length: 100 }, () => drawn.pick(['a', 'b', 'c'])))).toEqual(new Set(['a', 'b', 'c']))
  const count = (numerator: number): number =>
    Array.from({ length: 1000 }, () => drawn.chance(numerator, 4)).filter(Boolean).length
  expect([count(0), count(4)]).toEqual([0, 1000])
  expect(Math.abs(count(1) - 250)).toBeLessThan(60)
})
