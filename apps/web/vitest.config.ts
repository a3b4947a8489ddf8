import { inTurn, withMadeOnce } from '@retrap/tooling/vitest'

// Those that begin with a browser, beside `site`.
export default inTurn(withMadeOnce, 3, 'firefox', 'accessibility', 'hands', 'playground', 'tools', 'offline')
