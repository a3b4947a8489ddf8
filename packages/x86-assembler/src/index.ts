export { Assembler } from './assembler.ts'
export type { AssemblerOptions, CodeBits, SectionOptions } from './assembler-options.ts'
export { AssemblerError } from './checks.ts'
export type { AssemblerErrorCode } from './checks.ts'
export { dfv } from './flags.ts'
export type { DefaultFlag, DefaultFlags } from './flags.ts'
export { Label, LabelExpression } from './labels.ts'
export type { AddressMap } from './labels.ts'
export { rdSae, rnSae, ruSae, rzSae, sae } from './masked.ts'
export type { Masked, MaskedRegister, OperandMask, Rounding } from './masked.ts'
export type * as OperandTypes from './operand-types.ts'
export { abs, far, far16, far32, formatOperand, imm16, imm32, imm64, imm8, near, rip, short } from './operands.ts'
export { byte, dword, fword, ptr, qword, tbyte, word, xmmword, ymmword, zmmword } from './memory.ts'
export type { BranchTarget, FarPointer, Immediate, Operand, SizedImmediate, Target } from './operands.ts'
export type {
  Absolute,
  AddressRegister,
  IndexRegister,
  Broadcast,
  Memory,
  MemoryOptions,
  MemorySize,
  Place,
  RipRelative,
  VectorIndex,
} from './memory.ts'
export type { Value } from './values.ts'
export type { EncodingKind } from './prefixes.ts'
export type { FlattenOptions, ListingOptions, Program, ProgramSection, Relocation } from './program.ts'
export * from './general-registers.ts'
export * from './vector-registers.ts'
export { registerOf } from './registers.ts'
export type {
  ControlRegister,
  DebugRegister,
  Gp16,
  Gp32,
  Gp64,
  Gp8,
  MaskableClass,
  MaskableRegister,
  MaskRegister,
  MmxRegister,
  Register,
  RegisterClass,
  RegisterOf,
  SegmentRegister,
  BoundRegister,
  TileRegister,
  WriteMask,
  X87Register,
  XmmHighRegister,
  XmmRegister,
  YmmHighRegister,
  YmmRegister,
  ZmmRegister,
} from './register.ts'
