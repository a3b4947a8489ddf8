import { choices } from '@retrap/tooling/random'
import { describe, expect, test } from 'vitest'
import { case32, case64 } from './generate.ts'
import { differences, hasQemu } from './run.ts'

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
