import { filesLeftOut } from '@retrap/tooling/slice'
import { withMadeOnce } from '@retrap/tooling/vitest'
import { defaultExclude } from 'vitest/config'

/** Those that begin with a browser, beside `site`. */
const IN_TURN = ['firefox', 'accessibility', 'hands', 'playground', 'tools', 'offline']

export default {
  ...withMadeOnce,
  test: {
    ...withMadeOnce.test,
    exclude: [...defaultExclude, ...filesLeftOut(IN_TURN, 3).map((name) => `test/${name}.test.ts`)],
  },
}
