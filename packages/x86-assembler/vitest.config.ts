import { inTurn, together } from '@retrap/tooling/vitest'

// These files compare with other people's assemblers, or with many programs.
export default inTurn(together, 2, 'corpus', 'nasm', 'round-trip', 'gas', 'random-bytes')
