import { choices } from '@retrap/tooling/random'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { case32, case64 } from './generate.ts'
import { differences, hasQemu } from './run.ts'

const CASES = slicedCount(1500, 4)

/** Segment loads, gates, returns and task switches, ending as they do on QEMU: `npm run -s soak -- segmentation` for more. */
describe.skipIf(!hasQemu())('segmentation as on QEMU', () => {
  test('32-bit protected mode', { timeout: 60_000 }, () => {
    const c = choices(slicedSeed(1))
    expect(
      differences(
        Array.from({ length: CASES }, () => case32(c)),
        false,
      ),
      SLICE_REPEAT,
    ).toEqual([])
  })
  test('64-bit mode', { timeout: 60_000 }, () => {
    const c = choices(slicedSeed(2))
    expect(
      differences(
        Array.from({ length: CASES }, () => case64(c)),
        true,
      ),
      SLICE_REPEAT,
    ).toEqual([])
  })
})
