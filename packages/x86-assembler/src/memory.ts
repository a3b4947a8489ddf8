import { describeArgument } from '@retrap/basics'
import { requireOneOf, requireOptions, requireRegister, AssemblerError } from './checks.ts'
import type { LabelExpression } from './labels.ts'
import { maskedMemory, type Masked } from './masked.ts'
import { asValue, type Value } from './values.ts'
import type {
  Gp16,
  Gp32,
  Gp64,
  MaskRegister,
  SegmentRegister,
  WriteMask,
  XmmHighRegister,
  XmmRegister,
  YmmHighRegister,
  YmmRegister,
  ZmmRegister,
} from './register.ts'

/** Sizes in bytes that a memory operand can have; 0 leaves the size to the form. */
export type MemorySize = 0 | 1 | 2 | 4 | 6 | 8 | 10 | 16 | 32 | 64

/** A register that an address can be built from. */
export type AddressRegister = Gp16 | Gp32 | Gp64

/** A register that an address can have as its index: gathers have a vector register. */
export type IndexRegister = AddressRegister | VectorIndex

/** A vector register as an index. */
export type VectorIndex = XmmRegister | XmmHighRegister | YmmRegister | YmmHighRegister | ZmmRegister

/** Tells whether an index is a vector register. */
export function isVectorIndex(index: IndexRegister | undefined): index is VectorIndex {
  return index !== undefined && !index.class.startsWith('gp')
}

/** A place relative to the end of the instruction, made by {@link rip}. */
export interface RipRelative {
  /** Tells the kinds of operand apart. */
  readonly type: 'rip'
  /** The place meant. */
  readonly target: LabelExpression | bigint
}

/** A place given by its absolute address, made by {@link abs}. */
export interface Absolute {
  /** Tells the kinds of operand apart. */
  readonly type: 'absolute'
  /** The place meant. */
  readonly target: LabelExpression | bigint
}

/** The parts of a memory operand's address besides its base. */
export interface MemoryOptions {
  /** Index register; never (E/R)SP. A vector register for gathers. */
  readonly index?: IndexRegister
  /** The factor of the index: 1, 2, 4 or 8. */
  readonly scale?: 1 | 2 | 4 | 8
  /** Displacement: a number, or a label for its absolute address. */
  readonly disp?: Value
  /** Segment override. An override that names the default segment costs no prefix. */
  readonly segment?: SegmentRegister
  /** Forces a displacement of this many bits although a shorter one would do; 0 bits cannot be asked for. */
  readonly dispBits?: 8 | 16 | 32 | 64
  /** Address size of an operand without registers. */
  readonly addressBits?: 16 | 32 | 64
}

/** A memory operand. The size in bytes is a type parameter, so that forms can be told apart by the compiler. */
export interface Memory<Size extends MemorySize = MemorySize> {
  /** Tells the kinds of operand apart. */
  readonly type: 'memory'
  /** Size in bytes; 0: not stated. */
  readonly size: Size
  /** Base register. */
  readonly base: AddressRegister | undefined
  /** Index register. */
  readonly index: IndexRegister | undefined
  /** The factor of the index. */
  readonly scale: 1 | 2 | 4 | 8
  /** Displacement, or the address itself without registers. */
  readonly disp: bigint | LabelExpression
  /**
   * How a displacement without registers is meant: relative to the end of the instruction, as an address, or, for a
   * label, relative in 64-bit mode and as an address in the others.
   */
  readonly reference: 'rip' | 'absolute' | 'mode'
  /** Segment override. */
  readonly segment: SegmentRegister | undefined
  /** Width of the displacement that was asked for; 0: the shortest. */
  readonly dispBits: 0 | 8 | 16 | 32 | 64
  /** Requested address size; 0: by registers or mode. */
  readonly addressBits: 0 | 16 | 32 | 64
  /**
   * The operand as a destination under a mask: of the elements only those are stored whose bit in `mask` is set.
   *
   * @param mask - K1 to K7; K0 does not compile, or throws `ERR_OPERAND`, since it stands for no mask
   */
  k<Mask extends MaskRegister>(mask: WriteMask<Mask>): Masked<Memory<Size>>
  /**
   * One element of this size, repeated: `dword(rax).bcst(16)` is `{1to16}`.
   *
   * @param count - number of repetitions; it determines the vector's length if no register does
   */
  bcst(count: 2 | 4 | 8 | 16 | 32): Broadcast<Size>
}

/** One element in memory that is repeated to fill a vector, made by {@link Memory.bcst}. */
export interface Broadcast<Size extends MemorySize = MemorySize> {
  /** Tells the kinds of operand apart. */
  readonly type: 'broadcast'
  /** The element. */
  readonly memory: Memory<Size>
  /** Number of repetitions of the element. */
  readonly count: 2 | 4 | 8 | 16 | 32
}

/** The places that a memory constructor takes. */
export type Place = AddressRegister | RipRelative | Absolute | Value

const WIDTHS = [8, 16, 32, 64, undefined]

function requireMemoryOptions(options: MemoryOptions): void {
  requireOptions(options, 'the options of a memory operand')
  const { index, segment, dispBits, addressBits } = options
  if (index !== undefined) requireRegister(index, 'an index')
  if (segment !== undefined) requireRegister(segment, 'a segment', 'segment')
  requireOneOf(dispBits, 'dispBits', [...WIDTHS, 0])
  requireOneOf(addressBits, 'addressBits', [16, 32, 64, 0, undefined])
}

function memory<Size extends MemorySize>(size: Size, place: Place, options: MemoryOptions = {}): Memory<Size> {
  requireMemoryOptions(options)
  if (place === null) throw new AssemblerError('ERR_OPERAND', 'null is no place in memory')
  let base: AddressRegister | undefined
  let disp: bigint | LabelExpression = options.disp === undefined ? 0n : asValue(options.disp)
  let reference: 'rip' | 'absolute' | 'mode' = 'absolute'
  if (typeof place === 'object' && place.type === 'register') {
    base = place
  } else {
    if (options.disp !== undefined) {
      throw new AssemblerError('ERR_OPERAND', 'a place is its own displacement; add to it with plus()')
    }
    if (typeof place === 'object' && (place.type === 'rip' || place.type === 'absolute')) {
      reference = place.type
      disp = place.target
    } else {
      disp = asValue(place)
      if (typeof disp !== 'bigint' && options.index === undefined) reference = 'mode'
    }
    if (reference === 'rip' && options.index !== undefined) {
      throw new AssemblerError('ERR_OPERAND', 'a RIP-relative operand has no index register')
    }
  }
  const scale = options.scale ?? 1
  if (scale !== 1 && scale !== 2 && scale !== 4 && scale !== 8) {
    throw new AssemblerError('ERR_OPERAND', `an index is multiplied by 1, 2, 4 or 8, not by ${describeArgument(scale)}`)
  }
  return memoryOperand<Size>({
    size,
    base,
    index: options.index,
    scale,
    disp,
    reference,
    segment: options.segment,
    dispBits: options.dispBits ?? 0,
    addressBits: options.addressBits ?? 0,
  })
}

type MemoryParts<Size extends MemorySize> = Omit<Memory<Size>, 'type' | 'k' | 'bcst'>

/** The methods of every memory operand. */
const METHODS = {
  k<Size extends MemorySize>(this: Memory<Size>, mask: MaskRegister): Masked<Memory<Size>> {
    return maskedMemory<Memory<Size>>(this, mask)
  },
  bcst<Size extends MemorySize>(this: Memory<Size>, count: 2 | 4 | 8 | 16 | 32): Broadcast<Size> {
    requireOneOf(count, 'the count of a broadcast', [2, 4, 8, 16, 32])
    return Object.freeze({ type: 'broadcast', memory: this, count })
  },
}

function memoryOperand<Size extends MemorySize>(parts: MemoryParts<Size>): Memory<Size> {
  const operand: typeof METHODS = Object.create(METHODS)
  return Object.freeze(Object.assign(operand, { type: 'memory' as const, ...parts }))
}

/** Returns the operand with some parts changed. */
export function changedMemory<Size extends MemorySize>(
  operand: Memory<Size>,
  changes: Partial<MemoryParts<Size>>,
): Memory<Size> {
  return memoryOperand<Size>({ ...operand, ...changes })
}

/**
 * A memory operand of no stated size, for forms where a register or the instruction tells it: `asm.lea(rax, ptr(rbx))`.
 *
 * @param place - base register, address (a number, or a label, which is RIP-relative in 64-bit mode), {@link rip} or
 * {@link abs}
 * @param options - index, scale, displacement, segment and forced widths
 */
export function ptr(place: Place, options?: MemoryOptions): Memory<0> {
  return memory(0, place, options)
}
/** A memory operand of 1 byte; see {@link ptr} for the parameters. */
export function byte(place: Place, options?: MemoryOptions): Memory<1> {
  return memory(1, place, options)
}
/** A memory operand of 2 bytes; see {@link ptr} for the parameters. */
export function word(place: Place, options?: MemoryOptions): Memory<2> {
  return memory(2, place, options)
}
/** A memory operand of 4 bytes; see {@link ptr} for the parameters. */
export function dword(place: Place, options?: MemoryOptions): Memory<4> {
  return memory(4, place, options)
}
/** A memory operand of 6 bytes, as a far pointer m16:32; see {@link ptr} for the parameters. */
export function fword(place: Place, options?: MemoryOptions): Memory<6> {
  return memory(6, place, options)
}
/** A memory operand of 8 bytes; see {@link ptr} for the parameters. */
export function qword(place: Place, options?: MemoryOptions): Memory<8> {
  return memory(8, place, options)
}
/** A memory operand of 10 bytes, as an x87 extended real; see {@link ptr} for the parameters. */
export function tbyte(place: Place, options?: MemoryOptions): Memory<10> {
  return memory(10, place, options)
}
/** A memory operand of 16 bytes; see {@link ptr} for the parameters. */
export function xmmword(place: Place, options?: MemoryOptions): Memory<16> {
  return memory(16, place, options)
}
/** A memory operand of 32 bytes; see {@link ptr} for the parameters. */
export function ymmword(place: Place, options?: MemoryOptions): Memory<32> {
  return memory(32, place, options)
}
/** A memory operand of 64 bytes; see {@link ptr} for the parameters. */
export function zmmword(place: Place, options?: MemoryOptions): Memory<64> {
  return memory(64, place, options)
}
