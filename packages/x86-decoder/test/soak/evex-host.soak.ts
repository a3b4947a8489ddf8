/**
 * All EVEX encodings of `support/evex-encodings.ts` on the processor under us: `npm run -s soak -- evex-host`. A step is a slice
 * of them; the default count is all. What a processor without AVX-512 says is nothing.
 * @programs: gcc as
 */
import type { Soak } from '@retrap/tooling/soak'
import { compareWithHost, EVEX_ENCODINGS, evexEncoding } from '../support/evex-encodings.ts'
import { evexHost } from '../support/host.ts'

const STEPS = 64

const host = evexHost()
let compared = 0
let valid = 0

/** See the file's comment. */
export const soak: Soak = {
  name: 'evex-host',
  count: STEPS,
  setup() {
    if (typeof host === 'string') console.warn(`NOT CHECKED: ${host}`)
  },
  step(_, index) {
    if (typeof host === 'string') return
    const first = index % STEPS
    const count = Math.floor((EVEX_ENCODINGS - first + STEPS - 1) / STEPS)
    const outcome = compareWithHost(
      host,
      Array.from({ length: count }, (_, i) => evexEncoding(first + i * STEPS)),
    )
    compared += outcome.compared
    valid += outcome.valid
    return outcome.different.length === 0 ? undefined : outcome.different.slice(0, 10).join('\n')
  },
  teardown() {
    if (typeof host === 'string') return
    console.log(`${compared} EVEX encodings compared with the processor, ${valid} of them instructions`)
  },
}
