/** EVEX against the processor under us, if it has AVX-512: what is an instruction, and how long it is. */
import { skipNote } from '@retrap/tooling/skip'
import { expect, test } from 'vitest'
import { compareWithHost, EVEX_ENCODINGS, evexEncoding } from './support/evex-encodings.ts'
import { evexHost } from './support/host.ts'

/** One encoding in so many; `npm run -s soak -- evex-host` takes all. */
const STRIDE = 53

const host = evexHost()
const lack = typeof host === 'string' ? host : ''

test.skipIf(lack !== '')(
  `the processor agrees on validity and length${skipNote(lack === '', lack)}`,
  { timeout: 60_000 },
  () => {
    if (typeof host === 'string') return
    const sample = Array.from({ length: Math.floor(EVEX_ENCODINGS / STRIDE) }, (_, i) => evexEncoding(i * STRIDE))
    const { compared, valid, different } = compareWithHost(host, sample)
    console.log(`the processor: ${compared} EVEX encodings, ${valid} of them instructions`)
    expect(different.slice(0, 20)).toEqual([])
    expect(valid).toBeGreaterThan(300)
  },
)
