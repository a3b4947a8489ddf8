export { Assembler } from './assembler.ts'
export { AssemblerError } from './checks.ts'
export { dfv, type DefaultFlags } from './flags.ts'
export { Label, LabelExpression } from './labels.ts'
export { rdSae, rnSae, ruSae, rzSae, sae, type Masked, type Rounding } from './masked.ts'
export type * as OperandTypes from './operand-types.ts'
export { abs, far, far16, far32, formatOperand, imm16, imm32, imm64, imm8, near, rip, short } from './operands.ts'
export { byte, dword, fword, ptr, qword, tbyte, word, xmmword, ymmword, zmmword } from './memory.ts'
export type { FarPointer, Immediate, Operand, Target } from './operands.ts'
export type {
  Absolute,
  AddressRegister,
  IndexRegister,
  Broadcast,
  Memory,
  MemoryOptions,
  Place,
  VectorIndex,
} from './memory.ts'
export type { Value } from './values.ts'
export type { ListingOptions, Program, Relocation } from './program.ts'
export * from './named-registers.ts'
export { registerOf } from './registers.ts'
export type {
  ControlRegister,
  DebugRegister,
  Gp16,
  Gp32,
  Gp64,
  Gp8,
  MaskableRegister,
  MaskRegister,
  MmxRegister,
  Register,
  RegisterClass,
  SegmentRegister,
  BoundRegister,
  TileRegister,
  X87Register,
  XmmHighRegister,
  XmmRegister,
  YmmHighRegister,
  YmmRegister,
  ZmmRegister,
} from './register.ts'
