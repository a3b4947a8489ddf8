import { describeArgument } from '@retrap/basics'
import { requireRegister, AssemblerError } from './checks.ts'
import { formatFlags, type DefaultFlags } from './flags.ts'
import { asWhole, type LabelExpression } from './labels.ts'
import type { Masked, Rounding } from './masked.ts'
import type { Absolute, Broadcast, Memory, MemorySize, RipRelative } from './memory.ts'
import type { MaskableRegister, Register } from './register.ts'
import { asValue, type Value } from './values.ts'

/** An immediate whose width is dictated, made by {@link imm8} to {@link imm64}. */
export interface SizedImmediate {
  /** Tells the kinds of operand apart. */
  readonly type: 'immediate'
  /** Width in bits. */
  readonly bits: 8 | 16 | 32 | 64
  readonly value: bigint | LabelExpression
}

/** A branch target whose distance class is dictated, made by {@link short} or {@link near}. */
export interface BranchTarget {
  /** Tells the kinds of operand apart. */
  readonly type: 'target'
  /** Size of the displacement: `short` 8 bits; `near` 16 or 32. */
  readonly reach: 'short' | 'near'
  /** The place meant. */
  readonly target: bigint | LabelExpression
}

/** A direct far pointer, made by {@link far}, {@link far16} or {@link far32}. */
export interface FarPointer {
  /** Tells the kinds of operand apart. */
  readonly type: 'far'
  /** Selector, or segment number in real mode. */
  readonly selector: bigint | LabelExpression
  /** Offset in the segment. */
  readonly offset: bigint | LabelExpression
  /** Width of the offset; 0 takes the operand size of the mode. */
  readonly bits: 0 | 16 | 32
}

/** A number, a label or a sized immediate. */
export type Immediate = Value | SizedImmediate

/** A target that a near branch can reach by displacement. A number is an address. */
export type Target = Value | BranchTarget

/** An operand of an instruction method. */
export type Operand =
  | Register
  | Memory
  | Masked<MaskableRegister | Memory>
  | Broadcast
  | Rounding
  | DefaultFlags
  | Immediate
  | BranchTarget
  | FarPointer

/**
 * A place addressed relative to the instruction pointer: `qword(rip(table))`. 64-bit mode only.
 *
 * @param target - the place itself, not the distance to it
 */
export function rip(target: Value): RipRelative {
  return { type: 'rip', target: asValue(target) }
}

/** A place by its absolute address, in 64-bit mode too: `qword(abs(table), { index: rcx, scale: 8 })`. */
export function abs(target: Value): Absolute {
  return { type: 'absolute', target: asValue(target) }
}

/** An immediate that must be encoded in 8 bits. */
export function imm8(value: Value): SizedImmediate {
  return { type: 'immediate', bits: 8, value: asValue(value) }
}
/** An immediate that must be encoded in 16 bits. */
export function imm16(value: Value): SizedImmediate {
  return { type: 'immediate', bits: 16, value: asValue(value) }
}
/** An immediate that must be encoded in 32 bits. */
export function imm32(value: Value): SizedImmediate {
  return { type: 'immediate', bits: 32, value: asValue(value) }
}
/** An immediate that must be encoded in 64 bits. */
export function imm64(value: Value): SizedImmediate {
  return { type: 'immediate', bits: 64, value: asValue(value) }
}

/** A branch target that must be reached by an 8-bit displacement. */
export function short(target: Value): BranchTarget {
  return { type: 'target', reach: 'short', target: asValue(target) }
}
/** A branch target that gets a 16- or 32-bit displacement even where 8 bits would do. */
export function near(target: Value): BranchTarget {
  return { type: 'target', reach: 'near', target: asValue(target) }
}

/**
 * A direct far pointer with the offset width of the current mode: `asm.jmp(far(0x08, entry))`.
 *
 * @param selector - segment selector, or segment number in real mode
 * @param offset - offset in that segment
 */
export function far(selector: Value, offset: Value): FarPointer {
  return { type: 'far', selector: asValue(selector), offset: asValue(offset), bits: 0 }
}
/** A direct far pointer ptr16:16, whatever the mode. */
export function far16(selector: Value, offset: Value): FarPointer {
  return { type: 'far', selector: asValue(selector), offset: asValue(offset), bits: 16 }
}
/** A direct far pointer ptr16:32, whatever the mode, by which real mode is left for 32-bit code. */
export function far32(selector: Value, offset: Value): FarPointer {
  return { type: 'far', selector: asValue(selector), offset: asValue(offset), bits: 32 }
}

const SIZE_NAMES: { readonly [Size in MemorySize]: string } = {
  0: 'ptr',
  1: 'byte',
  2: 'word',
  4: 'dword',
  6: 'fword',
  8: 'qword',
  10: 'tbyte',
  16: 'xmmword',
  32: 'ymmword',
  64: 'zmmword',
}

function formatNumber(value: bigint): string {
  const size = value < 0n ? -value : value
  const digits = size < 10n ? size.toString() : `0x${size.toString(16)}`
  return value < 0n ? `-${digits}` : digits
}

function formatValue(value: bigint | LabelExpression): string {
  return typeof value === 'bigint' ? formatNumber(value) : value.toString()
}

/** An operand as listings and messages show it: `qword [rbx + rcx*8 + 0x10]`. */
export function formatOperand(operand: Operand): string {
  requireOperand(operand, 0)
  if (typeof operand === 'number' || typeof operand === 'bigint') {
    return formatNumber(BigInt(operand))
  }
  switch (operand.type) {
    case 'register':
      return operand.name
    case 'label':
    case 'expression':
      return operand.toString()
    case 'immediate':
      return formatValue(operand.value)
    case 'target':
      return `${operand.reach} ${formatValue(operand.target)}`
    case 'far':
      return `${formatValue(operand.selector)}:${formatValue(operand.offset)}`
    case 'masked':
      return `${formatOperand(operand.operand)} {${operand.mask.name}}${operand.zeroing ? '{z}' : ''}`
    case 'broadcast':
      return `${formatOperand(operand.memory)}{1to${operand.count}}`
    case 'dfv':
      return formatFlags(operand)
    case 'rounding':
      return operand.mode === 'sae' ? '{sae}' : `{${operand.mode}-sae}`
    case 'memory': {
      const parts: string[] = []
      if (operand.reference === 'rip') parts.push('rip')
      if (operand.base !== undefined) parts.push(operand.base.name)
      if (operand.index !== undefined) {
        parts.push(operand.scale === 1 ? operand.index.name : `${operand.index.name}*${operand.scale}`)
      }
      if (operand.disp !== 0n || parts.length === 0) parts.push(formatValue(operand.disp))
      const segment = operand.segment === undefined ? '' : `${operand.segment.name}:`
      return `${SIZE_NAMES[operand.size]} ${segment}[${parts.join(' + ').replace('+ -', '- ')}]`
    }
  }
}

/** Throws `ERR_OPERAND` on a value that is no operand: callers in plain JavaScript come with anything. */
export function requireOperand(operand: Operand, index: number): void {
  if (typeof operand === 'number') asWhole(operand)
  if (typeof operand === 'number' || typeof operand === 'bigint') return
  if (typeof operand === 'object' && operand !== null && 'type' in operand) {
    if (operand.type === 'register') requireRegister(operand, `operand ${index + 1}`)
    return
  }
  throw new AssemblerError(
    'ERR_OPERAND',
    `operand ${index + 1} is ${describeArgument(operand)}: no register, memory, label or number`,
  )
}
