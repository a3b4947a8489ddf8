// @programs: qemu-system-x86_64
/** Accesses through random tables here and on QEMU: `npm run -s soak -- page-faults`. A step is a batch in one mode. */
import type { Soak } from '@retrap/tooling/soak'
import { compare, keyCase, pagingCase } from '../paging-differential/differences.ts'
import type { Levels } from '../paging-differential/program.ts'
import { hasQemu } from '../system/differential/run.ts'

const CASES = 2000
const LEVELS: readonly Levels[] = [2, 3, 4, 5]

/** See the file's comment. */
export const soak: Soak = {
  name: 'page-faults',
  count: 20,
  setup() {
    if (!hasQemu()) throw new Error('no qemu-system-x86_64 to compare with')
  },
  step(rng, index) {
    // The last of them with protection keys.
    const levels = LEVELS[index % (LEVELS.length + 1)]
    const cases = Array.from({ length: CASES }, () =>
      levels === undefined ? keyCase(rng, 5) : pagingCase(rng, levels),
    )
    return compare(cases, levels ?? 5).differences[0]
  },
}
