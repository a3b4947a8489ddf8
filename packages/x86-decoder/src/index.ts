export type { ByteFormatOptions, ByteFormatter, ByteSink } from './byte-formatter.ts'
export { bytesAtt, bytesIntel, bytesNasm } from './byte-syntaxes.ts'
export { codeInfo, codes, codesByMnemonic } from './codes.ts'
export type { CodeInfo, OperandSpec } from './code-info.ts'
export { decode, decodeAll, operandsOf, type DecodedInstruction, type MemoryOperand, type Operand } from './decode.ts'
export { decodeInto } from './decode-common.ts'
export { DecoderError } from './errors.ts'
export { formatAtt, tokensAtt } from './format-att.ts'
export { formatIntel, tokensIntel } from './format-intel.ts'
export { formatNasm, tokensNasm } from './format-nasm.ts'
export { joinTokens, type FormatOptions, type Token, type TokenKind } from './line-writer.ts'
export { Instruction } from './instruction.ts'
export {
  DECODE_AMD,
  DECODE_NO_APX,
  DECODED,
  INVALID,
  MODE_16,
  MODE_32,
  MODE_64,
  type OperandClass,
  OperandKind,
  type OperandPlace,
  REGISTER_KINDS,
  PREFIX_ADDRESS_SIZE,
  PREFIX_EVEX,
  PREFIX_LOCK,
  PREFIX_OPERAND_SIZE,
  PREFIX_REP,
  PREFIX_REPNE,
  PREFIX_REPNE_LAST,
  PREFIX_REX,
  PREFIX_REX2,
  PREFIX_REX_W,
  PREFIX_SEGMENT,
  PREFIX_VEX,
  REASON_EVEX,
  REASON_LOCK,
  REASON_NONE,
  REASON_OPCODE,
  REASON_REGISTER,
  REASON_SAME_REGISTER,
  REASON_TOO_LONG,
  REASON_VEX_PREFIX,
  REASON_VEX_VVVV,
  reasonTexts,
  REGISTER_AH,
  REGISTER_BH,
  REGISTER_CH,
  REGISTER_DH,
  REGISTER_HIGH_BYTE,
  REGISTER_RIP,
  ROUNDING_DOWN,
  ROUNDING_NEAREST,
  ROUNDING_NONE,
  ROUNDING_SAE,
  ROUNDING_UP,
  ROUNDING_ZERO,
  SEGMENT_CS,
  SEGMENT_DS,
  SEGMENT_ES,
  SEGMENT_FS,
  SEGMENT_GS,
  SEGMENT_SS,
  TRUNCATED,
} from './kinds.ts'
export { loadLeftOut } from './left-out.ts'
export { branchTarget, operandIsMemory, operandRegister } from './operands.ts'
export { decoderOptions } from './options.ts'
export { Immediate } from './operand-column.ts'
export { generalRegisterName, registerName, segmentRegisterName } from './registers.ts'
export { usedResources } from './used.ts'
