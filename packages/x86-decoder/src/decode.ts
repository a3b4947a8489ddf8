/** Decoding for people: objects with names in them, on top of `decodeInto`. */
import type { CodeInfo, OperandAccess, OperandSpec } from './code-info.ts'
import { codeInfo } from './codes.ts'
import { decodeInto } from './decode-common.ts'
import { DecoderError, requireAddress, requireOptions, shown } from './errors.ts'
import { Instruction } from './instruction.ts'
import { DECODED, OperandKind, reasonTexts, REGISTER_RIP, TRUNCATED } from './kinds.ts'
import {
  bigintOf,
  branchTarget,
  immediateHigh,
  immediateIsSigned,
  immediateLow,
  memoryAddress,
  operandIsMemory,
  operandRegister,
} from './operands.ts'
import { decoderOptions, type ProcessorOptions } from './options.ts'
import { generalRegisterName, registerName, segmentRegisterName } from './registers.ts'

export interface RegisterOperand {
  /** Tells the operand from operands of other kinds. */
  readonly kind: 'register'
  /** Lower-case name. */
  readonly name: string
  /** Number within its class; AH to BH are `REGISTER_AH` to `REGISTER_BH`. */
  readonly register: number
  /** Bytes. */
  readonly size: number
  /** How the instruction accesses the register. */
  readonly access: OperandAccess
}

/** A memory operand. */
export interface MemoryOperand {
  /** Tells the operand from operands of other kinds. */
  readonly kind: 'memory'
  /** Register names, or undefined. RIP-relative: base is `rip` or `eip`. Gathers have a vector register as index. */
  readonly base: string | undefined
  /** Register name, or undefined. Gathers have a vector register. */
  readonly index: string | undefined
  /** 1, 2, 4 or 8. */
  readonly scale: number
  /** Signed. RIP-relative: as encoded; `address` has the sum. */
  readonly displacement: bigint
  /** Name of the segment register in force. */
  readonly segment: string
  /** The effective address where the instruction alone determines it (absolute, RIP-relative), else undefined. */
  readonly address: bigint | undefined
  /** Size in bytes; of one element for a broadcast; 0: none or varying. */
  readonly size: number
  /** How many elements a broadcast makes of the one in memory (`{1to16}`); 0 = no broadcast. */
  readonly broadcast: number
  /** How the instruction accesses the memory. */
  readonly access: OperandAccess
}

export interface ImmediateOperand {
  /** Tells the operand from operands of other kinds. */
  readonly kind: 'immediate'
  /** Signed where the form sign-extends, else unsigned. */
  readonly value: bigint
  /** Bytes in the encoding. */
  readonly size: number
  /** How the instruction accesses the operand. */
  readonly access: OperandAccess
}

/** A relative branch's target. */
export interface BranchOperand {
  /** Tells the operand from operands of other kinds. */
  readonly kind: 'branch'
  /** Offset in the code segment, from `DecodeOptions.address`. */
  readonly target: bigint
  /** Bytes in the encoding. */
  readonly size: number
  /** How the instruction accesses the operand. */
  readonly access: OperandAccess
}

/** A far pointer in the instruction. */
export interface FarPointerOperand {
  /** Tells the operand from operands of other kinds. */
  readonly kind: 'far-pointer'
  /** Selector of the code segment. */
  readonly selector: number
  /** Offset in the code segment. */
  readonly offset: number
  /** Bytes in the encoding. */
  readonly size: number
  /** How the instruction accesses the operand. */
  readonly access: OperandAccess
}

/** One operand of a decoded instruction. */
export type Operand = RegisterOperand | MemoryOperand | ImmediateOperand | BranchOperand | FarPointerOperand

/** How to decode. */
export interface DecodeOptions extends ProcessorOptions {
  /** Code segment size; 64 unless given. */
  readonly mode?: 16 | 32 | 64
  /** Offset of the first byte in its code segment (EIP, RIP); 0 unless given. It wraps at 2^64. */
  readonly address?: bigint
  /** Index of the first byte to decode; 0 unless given. */
  readonly offset?: number
}

/** Indexed by `Instruction.rounding`. */
const ROUNDINGS = [undefined, 'rn-sae', 'rd-sae', 'ru-sae', 'rz-sae', 'sae'] as const

/** An instruction, or why the bytes are none. */
export interface DecodedInstruction {
  /** `truncated`: the bytes end too early; `length` is then the least number of bytes that would let decoding go on. */
  readonly status: 'decoded' | 'invalid' | 'truncated'
  /** Why the instruction is invalid, in words; `valid` otherwise. */
  readonly reason: string
  /** Offset of its first byte in the code segment. */
  readonly address: bigint
  /** Length in bytes; for invalid instructions `status` tells its meaning. */
  readonly length: number
  /** The bytes of it: a view, not a copy. */
  readonly bytes: Uint8Array
  /** In capitals; `INVALID` if it is not decoded. */
  readonly mnemonic: string
  /** Operands in Intel's order; empty for an invalid instruction. */
  readonly operands: readonly Operand[]
  /** EVEX: the mask register that chooses elements of the destination, `k1` to `k7`; undefined = none. */
  readonly mask: string | undefined
  /** EVEX: elements that the mask leaves out become 0; otherwise they stay as they are. */
  readonly zeroing: boolean
  /** EVEX: rounding that stands in the instruction, or `sae` where exceptions alone are suppressed. */
  readonly rounding: 'rn-sae' | 'rd-sae' | 'ru-sae' | 'rz-sae' | 'sae' | undefined
  /** The table's facts about the form. */
  readonly info: CodeInfo
  /** Everything else: prefixes, sizes, offsets of the parts. */
  readonly instruction: Instruction
}

/** Whether this is MOVSS or MOVSD, which merge a register source into the destination, but clear the rest for a memory source. */
function isScalarMove({ code }: Instruction): boolean {
  const { mnemonic, map, encoding } = codeInfo(code)
  return map === 1 && encoding === 'legacy' && (mnemonic === 'MOVSS' || mnemonic === 'MOVSD')
}

/** With a merging mask, a destination keeps some elements. */
function accessOf(insn: Instruction, { access, kind, size }: OperandSpec, position: number): OperandAccess {
  if (position === 0 && insn.prefixes !== 0 && isScalarMove(insn)) return insn.isMemory === 0 ? 'rw' : 'w'
  if (position !== 0 || insn.maskRegister === 0 || insn.zeroing || !access.includes('w')) return access
  // VBLENDMPS and its like choose between the sources.
  if (codeInfo(insn.code).operation === 'VPBLENDMD') return access
  switch (kind) {
    case OperandKind.XMM_REG:
    case OperandKind.XMM_VVVV:
    case OperandKind.XMM_RM_REG:
      break
    case OperandKind.XMM_RM:
    case OperandKind.MEM:
    case OperandKind.VSIB:
      if (insn.isMemory !== 0) return 'cw'
      break
    // Of a mask register no bits are kept.
    default:
      return access
  }
  // Above a shorter vector its register is cleared.
  return size === 64 ? 'crw' : 'rw'
}

function memoryOperand(insn: Instruction, position: number, address: bigint): MemoryOperand {
  const info = codeInfo(insn.code)
  const spec = info.operands[position]!
  const registerSize = insn.addressSize >> 3
  let displacement = bigintOf(insn.dispLo, insn.dispHi)
  let { base, index } = insn
  let segment = segmentRegisterName(insn.segment)
  let isKnown = false
  switch (spec.kind) {
    case OperandKind.STRING_SOURCE:
    case OperandKind.STRING_DESTINATION:
      base = spec.kind === OperandKind.STRING_SOURCE ? 6 : 7
      index = -1
      displacement = 0n
      if (spec.kind === OperandKind.STRING_DESTINATION) segment = 'es'
      break
    default:
      isKnown = base === REGISTER_RIP || (base < 0 && index < 0)
  }
  return {
    kind: 'memory',
    base: base < 0 ? undefined : generalRegisterName(base, registerSize),
    index:
      index < 0
        ? undefined
        : spec.kind === OperandKind.VSIB
          ? registerName(spec.kind, spec.size, index)
          : generalRegisterName(index, registerSize),
    scale: 1 << insn.scale,
    displacement,
    segment,
    address: isKnown ? memoryAddress(insn, address) : undefined,
    size: insn.broadcast ? info.broadcast : spec.memorySize,
    broadcast: insn.broadcast ? spec.memorySize / info.broadcast : 0,
    access: accessOf(insn, spec, position),
  }
}

/**
 * The operands of a decoded instruction as objects.
 *
 * @param insn - filled in by `decodeInto`
 * @param address - offset of its first byte in the code segment
 */
export function operandsOf(insn: Instruction, address: bigint): Operand[] {
  if (!(insn instanceof Instruction)) throw new DecoderError('ERR_TARGET', `${shown(insn)} is no Instruction`)
  requireAddress(address)
  return readOperands(insn, codeInfo(insn.code).operands, address)
}

function readOperands(insn: Instruction, specs: readonly OperandSpec[], address: bigint): Operand[] {
  const operands: Operand[] = []
  for (let position = 0; position < specs.length; position++) {
    const spec = specs[position]!
    const access = accessOf(insn, spec, position)
    const register = operandRegister(insn, position)
    operands.push(
      register >= 0 ? registerOperand(spec, register, access) : otherOperand(insn, spec, position, access, address),
    )
  }
  return operands
}

const ACCESSES: readonly OperandAccess[] = ['n', 'r', 'w', 'rw', 'cr', 'cw', 'crw']
/** Register operands that were made, by kind, size, register and access: code has few, and most operands are such. Frozen. */
const registerOperands = new Map<number, RegisterOperand>()

function registerOperand({ kind, size }: OperandSpec, register: number, access: OperandAccess): RegisterOperand {
  const key = kind + 64 * (register + 64 * (size + 128 * ACCESSES.indexOf(access)))
  let operand = registerOperands.get(key)
  if (operand === undefined) {
    operand = Object.freeze({ kind: 'register', name: registerName(kind, size, register), register, size, access })
    registerOperands.set(key, operand)
  }
  return operand
}

/** Returns an operand that is not a register. */
function otherOperand(
  insn: Instruction,
  spec: OperandSpec,
  position: number,
  access: OperandAccess,
  address: bigint,
): Operand {
  const { kind, size } = spec
  if (operandIsMemory(insn, position)) return memoryOperand(insn, position, address)
  switch (kind) {
    case OperandKind.REL8:
    case OperandKind.REL16:
    case OperandKind.REL32:
    case OperandKind.ABS64:
      return { kind: 'branch', target: branchTarget(insn, address), size, access }
    case OperandKind.FAR_POINTER:
      return { kind: 'far-pointer', selector: insn.imm2, offset: insn.immLo >>> 0, size, access }
    default: {
      const value = bigintOf(immediateLow(insn, kind), immediateHigh(insn, kind))
      const isSigned = immediateIsSigned(kind)
      // The 1 of a shift is not encoded.
      const bytes = kind === OperandKind.ONE ? 1 : size
      return { kind: 'immediate', value: isSigned ? value : BigInt.asUintN(64, value), size: bytes, access }
    }
  }
}

/** Returns the mode with its options for `decodeInto`. */
function modeOf(options: DecodeOptions): number {
  const { mode = 64 } = options
  if (mode !== 16 && mode !== 32 && mode !== 64) {
    throw new DecoderError('ERR_MODE', `mode is ${shown(mode)}, expected 16, 32 or 64`)
  }
  return mode | decoderOptions(options)
}

/** Callers in plain JavaScript come with arrays, numbers and strings, which would fail far from here, or give nonsense. */
function requireInput(bytes: Uint8Array, options: DecodeOptions): void {
  requireOptions(options)
  // Not instanceof: arrays of another realm are as good.
  if (bytes?.[Symbol.toStringTag] !== 'Uint8Array')
    throw new DecoderError('ERR_BYTES', 'the bytes must be a Uint8Array')
  if (options.address !== undefined) requireAddress(options.address)
}

function offsetOf(bytes: Uint8Array, { offset = 0 }: DecodeOptions): number {
  if (!Number.isInteger(offset) || offset < 0 || offset > bytes.length) {
    throw new DecoderError('ERR_OFFSET', `offset is ${shown(offset)}, expected an integer from 0 to ${bytes.length}`)
  }
  return offset
}

function decodeAt(bytes: Uint8Array, offset: number, mode: number, address: bigint): DecodedInstruction {
  const instruction = new Instruction()
  const status = decodeInto(bytes, offset, bytes.length, mode, instruction)
  const { length } = instruction
  const info = codeInfo(instruction.code)
  return {
    status: status === DECODED ? 'decoded' : status === TRUNCATED ? 'truncated' : 'invalid',
    reason: status === TRUNCATED ? 'the bytes end too early' : reasonTexts[instruction.reason]!,
    address,
    length,
    bytes: bytes.subarray(offset, offset + length),
    mnemonic: info.mnemonic,
    operands: status === DECODED ? readOperands(instruction, info.operands, address) : [],
    mask: status === DECODED && instruction.maskRegister !== 0 ? `k${instruction.maskRegister}` : undefined,
    zeroing: status === DECODED && instruction.zeroing,
    rounding: status === DECODED ? ROUNDINGS[instruction.rounding] : undefined,
    info,
    instruction,
  }
}

/**
 * Decodes one instruction into an object with names.
 *
 * @param bytes - machine code
 * @throws DecoderError with any code for options that are invalid; never for what the bytes hold
 */
export function decode(bytes: Uint8Array, options: DecodeOptions = {}): DecodedInstruction {
  requireInput(bytes, options)
  return decodeAt(bytes, offsetOf(bytes, options), modeOf(options), options.address ?? 0n)
}

/**
 * Decodes instruction after instruction until the bytes end. An invalid byte is skipped alone; a truncated instruction is
 * the last one.
 *
 * @throws DecoderError as `decode` does
 */
export function decodeAll(bytes: Uint8Array, options: DecodeOptions = {}): Generator<DecodedInstruction, void> {
  requireInput(bytes, options)
  // The call throws, and not the first step of the loop.
  return sweep(bytes, offsetOf(bytes, options), modeOf(options), options.address ?? 0n)
}

/** The lengths of instructions, as what addresses are counted in. */
const LENGTHS = Array.from({ length: 16 }, (_, bytes) => BigInt(bytes))
const END = 1n << 64n

function* sweep(bytes: Uint8Array, offset: number, mode: number, address: bigint): Generator<DecodedInstruction, void> {
  let next = BigInt.asUintN(64, address)
  for (let at = offset; at < bytes.length;) {
    const decoded = decodeAt(bytes, at, mode, next)
    yield decoded
    if (decoded.status === 'truncated') return
    const length = decoded.status === 'invalid' ? 1 : decoded.length
    at += length
    next += LENGTHS[length]!
    if (next >= END) next -= END
  }
}
