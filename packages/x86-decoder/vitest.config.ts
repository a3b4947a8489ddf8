import { inTurn, together } from '@retrap/tooling/vitest'

// Most of these files compare with other people's decoders, or go through all opcodes.
export default inTurn(
  together,
  4,
  ...['opcode-maps', 'corpora', 'format-intel', 'evex', 'objdump-att', 'evex-llvm'],
  ...['info', 'byte-formatter', 'apx-llvm', 'evex-host', 'evex-format', 'used'],
)
