import { describe, expect, test } from 'vitest'
import { case32, case64 } from './generate.ts'
import { differences, hasQemu } from './run.ts'

/** A small generator, so that the cases are the same every time. */
function choices(seed: number): { pick<T>(list: readonly T[]): T; chance(n: number, d: number): boolean } {
  let state = seed
  const below = (bound: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * bound)
  }
  return {
    pick: <T>(list: readonly T[]) => list[below(list.length)] as T,
    chance: (n, d) => below(d) < n,
  }
}

/** Segment loads, gates, returns and task switches, ending as they do on QEMU: `npm run -s soak -- segmentation` for more. */
describe.skipIf(!hasQemu())('segmentation as on QEMU', () => {
  test('32-bit protected mode', { timeout: 60_000 }, () => {
    const c = choices(1)
    expect(
      differences(
        Array.from({ length: 1500 }, () => case32(c)),
        false,
      ),
    ).toEqual([])
  })
  test('64-bit mode', { timeout: 60_000 }, () => {
    const c = choices(2)
    expect(
      differences(
        Array.from({ length: 1500 }, () => case64(c)),
        true,
      ),
    ).toEqual([])
  })
})
