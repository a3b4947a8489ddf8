import { inTurn, together } from '@retrap/tooling/vitest'

// These files compare with other people's decoders.
export default inTurn(together, 3, 'opcode-maps', 'corpora', 'format-intel', 'evex', 'objdump-att', 'evex-llvm')
