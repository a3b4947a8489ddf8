import { inTurn, withMadeOnce } from '@retrap/tooling/vitest'

// These files begin with a browser, as `site` does, which is in each run.
export default inTurn(withMadeOnce, 4, 'firefox', 'accessibility', 'hands', 'playground', 'tools', 'offline', 'visitor')
