import { inTurn, together } from '@retrap/tooling/vitest'

// These files compare with other people's decoders.
export default inTurn(together, 2, 'a32', 'a64', 'decode', 'binaries')
