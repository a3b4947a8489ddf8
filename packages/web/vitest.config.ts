import { inTurn, withMadeOnce } from '@retrap/tooling/vitest'

// These files begin with a browser.
export default inTurn(
  withMadeOnce,
  4,
  ...['snapshots', 'arm-board', 'worker-machine', 'standalone', 'react', 'fetched'],
  ...['outside', 'inspector', 'kept-disks', 'networks', 'hostile', 'guest-input'],
)
