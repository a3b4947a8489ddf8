/**
 * Segment loads, gates, returns and task switches here and on QEMU: `npm run -s soak -- segmentation`. A step is a batch
 * of random cases of one mode.
 * @programs: qemu-system-x86_64
 */
import type { Soak } from '@retrap/tooling/soak'
import { case32, case64 } from '../system/differential/generate.ts'
import { differences, hasQemu } from '../system/differential/run.ts'

const CASES = 500

/** See the file's comment. */
export const soak: Soak = {
  name: 'segmentation',
  count: 20,
  setup() {
    if (!hasQemu()) throw new Error('no qemu-system-x86_64 to compare with')
  },
  step(rng, index) {
    const long = index % 2 === 1
    const [first] = differences(
      Array.from({ length: CASES }, () => (long ? case64(rng) : case32(rng))),
      long,
    )
    return first
  },
}
