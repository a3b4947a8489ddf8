import { filesLeftOut } from '@retrap/tooling/slice'
import { withMadeOnce } from '@retrap/tooling/vitest'
import { defaultExclude } from 'vitest/config'

/** Those that begin with a browser. */
const IN_TURN = [
  ...['snapshots', 'arm-board', 'worker-machine', 'standalone', 'react', 'fetched'],
  ...['outside', 'inspector', 'kept-disks', 'networks', 'hostile', 'guest-input'],
]

export default {
  ...withMadeOnce,
  test: {
    ...withMadeOnce.test,
    exclude: [...defaultExclude, ...filesLeftOut(IN_TURN, 3).map((name) => `test/${name}.test.ts`)],
  },
}
