import { AssemblerError } from './checks.ts'
import { fitsEither, fitsScaled, fitsSignExtended } from './fixups.ts'
import type { LabelExpression } from './labels.ts'
import { formatOperand } from './operands.ts'
import { isVectorIndex, type AddressRegister, type Memory } from './memory.ts'

/** A memory operand as ModRM, SIB and displacement say it (SDM vol. 2A, "ModR/M and SIB Bytes"). */
export interface AddressEncoding {
  /** Address size in bits. */
  readonly addressBits: 16 | 32 | 64
  readonly mod: number
  readonly rm: number
  /** The SIB byte, or -1. */
  readonly sib: number
  /** Number of the index and of the base, of which the low three bits are in the SIB byte; 0 if there is none. */
  readonly index: number
  readonly base: number
  readonly isVectorIndex: boolean
  readonly disp: bigint | LabelExpression
  readonly dispBytes: 0 | 1 | 2 | 4
  /** The factor of an 8-bit displacement (SDM vol. 2A, "Compressed Displacement (disp8*N) Support in EVEX"). */
  readonly dispScale: number
  readonly ripRelative: boolean
}

const ADDRESS_BITS: { readonly [Class in AddressRegister['class']]: 16 | 32 | 64 } = {
  gp16: 16,
  gp32: 32,
  gp64: 64,
}

const NUMBER_BX = 3
const NUMBER_SP = 4
const NUMBER_BP = 5
const NUMBER_SI = 6
const NUMBER_DI = 7

const SEGMENT_SS = 2
const SEGMENT_DS = 3

function bad(memory: Memory, why: string): AssemblerError {
  return new AssemblerError('ERR_OPERAND', `${formatOperand(memory)}: ${why}`)
}

/**
 * Returns the address size of a memory operand: by its registers, an explicit size, or the mode.
 *
 * @throws AssemblerError `ERR_OPERAND` if registers differ in width or the mode has no such addresses
 */
export function addressBitsOf(memory: Memory, mode: 16 | 32 | 64): 16 | 32 | 64 {
  const general = isVectorIndex(memory.index) ? undefined : memory.index
  const told = memory.base ?? general
  let bits: 16 | 32 | 64
  if (told === undefined) {
    bits = memory.addressBits === 0 ? mode : memory.addressBits
    // An address that 16 bits cannot hold asks for 32 by itself.
    if (memory.addressBits === 0 && mode === 16 && isVectorIndex(memory.index)) bits = 32
    if (memory.addressBits === 0 && mode === 16 && typeof memory.disp === 'bigint') {
      if (memory.dispBits === 32 || !fitsEither(memory.disp, 16)) bits = 32
    }
  } else {
    bits = ADDRESS_BITS[told.class]
    if (general !== undefined && ADDRESS_BITS[general.class] !== bits) {
      throw bad(memory, 'base and index differ in width')
    }
    if (memory.addressBits !== 0 && memory.addressBits !== bits) {
      throw bad(memory, `its registers make a ${bits}-bit address`)
    }
  }
  if (bits === 16 && isVectorIndex(memory.index)) throw bad(memory, '16-bit addresses have no vector index')
  if (mode === 64 ? bits === 16 : bits === 64) {
    throw bad(memory, `there are no ${bits}-bit addresses in ${mode}-bit mode`)
  }
  for (const register of [memory.base, memory.index]) {
    if (register !== undefined && register.number > 7 && mode !== 64) {
      throw bad(memory, `${register.name} exists in 64-bit mode only`)
    }
  }
  return bits
}

/** The segment that an operand uses if no prefix says otherwise: SS for addresses based on (R/E)BP or (R/E)SP. */
export function defaultSegment(memory: Memory): number {
  const registers = memory.base?.class === 'gp16' ? [memory.base, memory.index] : [memory.base]
  const usesStack = registers.some((register) => register?.number === NUMBER_BP || register?.number === NUMBER_SP)
  return usesStack ? SEGMENT_SS : SEGMENT_DS
}

/**
 * Encodes the address of a memory operand, with the shortest displacement that does.
 *
 * @param memory - the operand
 * @param mode - mode of the code
 * @param bits - address size, from {@link addressBitsOf}
 * @param sib - the form wants a SIB byte (AMX)
 * @param dispScale - what an 8-bit displacement is multiplied by
 * @throws AssemblerError `ERR_OPERAND` or `ERR_RANGE`
 */
export function encodeAddress(
  memory: Memory,
  mode: 16 | 32 | 64,
  bits: 16 | 32 | 64,
  sib: boolean,
  dispScale: number,
): AddressEncoding {
  return bits === 16 ? encode16(memory, dispScale) : encode32(memory, mode, bits, sib, dispScale)
}

/** Table 2-1 of SDM vol. 2A: the eight address forms that 16-bit code has. */
function encode16(memory: Memory, dispScale: number): AddressEncoding {
  if (memory.scale !== 1) throw bad(memory, '16-bit addresses have no scale')
  const numbers = [memory.base, memory.index]
    .filter((register) => register !== undefined)
    .map((register) => register.number)
    .toSorted((a, b) => a - b)
    .join()
  const forms: Readonly<Record<string, number>> = {
    [`${NUMBER_BX},${NUMBER_SI}`]: 0,
    [`${NUMBER_BX},${NUMBER_DI}`]: 1,
    [`${NUMBER_BP},${NUMBER_SI}`]: 2,
    [`${NUMBER_BP},${NUMBER_DI}`]: 3,
    [`${NUMBER_SI}`]: 4,
    [`${NUMBER_DI}`]: 5,
    [`${NUMBER_BP}`]: 6,
    [`${NUMBER_BX}`]: 7,
    '': 6,
  }
  const rm = forms[numbers]
  if (rm === undefined) {
    throw bad(memory, '16-bit addresses are made of BX or BP and SI or DI')
  }
  const direct = numbers === ''
  const dispBytes = direct ? 2 : dispBytesOf(memory, rm === 6, 16, dispScale)
  return {
    addressBits: 16,
    mod: direct || dispBytes === 0 ? 0 : dispBytes === 1 ? 1 : 2,
    rm,
    sib: -1,
    index: 0,
    base: 0,
    isVectorIndex: false,
    disp: memory.disp,
    dispBytes,
    dispScale,
    ripRelative: false,
  }
}

/** Tables 2-2 and 2-3 of SDM vol. 2A, and "RIP-Relative Addressing". */
function encode32(memory: Memory, mode: 16 | 32 | 64, bits: 32 | 64, sib: boolean, dispScale: number): AddressEncoding {
  const ripRelative =
    memory.reference === 'rip' ||
    (memory.reference === 'mode' && mode === 64 && typeof memory.disp !== 'bigint' && memory.disp.isAddress)
  if (ripRelative && mode !== 64) throw bad(memory, 'RIP-relative addresses need 64-bit mode')
  if (ripRelative && sib) throw bad(memory, 'the instruction has no RIP-relative operand: no such form')
  let { base, index, scale } = memory
  // An index without a base always has a 32-bit displacement, so use the register as base instead. Not for (R/E)BP and
  // (R/E)SP, which imply another segment, and not if the long displacement was requested.
  if (base === undefined && index !== undefined && !isVectorIndex(index) && memory.dispBits !== 32) {
    if (index.number !== NUMBER_BP && index.number !== NUMBER_SP) {
      if (scale === 1) [base, index] = [index, undefined]
      else if (scale === 2) [base, scale] = [index, 1]
    }
  }
  if (index?.number === NUMBER_SP && !isVectorIndex(index)) {
    throw bad(memory, `${index.name} cannot be an index; make it the base`)
  }
  const common = { addressBits: bits, disp: memory.disp, dispScale, isVectorIndex: isVectorIndex(memory.index) }
  if (base === undefined) {
    checkDisp(memory, 32, bits)
    if (memory.dispBits !== 0 && memory.dispBits !== 32) {
      throw bad(memory, 'an address without a base has a 32-bit displacement')
    }
    const plain = index === undefined && (ripRelative || mode !== 64)
    return {
      ...common,
      mod: 0,
      rm: plain ? 5 : 4,
      sib: plain ? -1 : (scaleBits(scale) << 6) | ((index === undefined ? 4 : index.number & 7) << 3) | 5,
      index: index?.number ?? 0,
      base: 0,
      dispBytes: 4,
      ripRelative,
    }
  }
  // Base 5 with mod 0 means a lone displacement, so (R/E)BP and R13 always have one.
  const dispBytes = dispBytesOf(memory, (base.number & 7) === 5, bits, dispScale)
  const needsSib = sib || index !== undefined || (base.number & 7) === 4
  return {
    ...common,
    mod: dispBytes === 0 ? 0 : dispBytes === 1 ? 1 : 2,
    rm: needsSib ? 4 : base.number & 7,
    sib: needsSib
      ? (scaleBits(scale) << 6) | ((index === undefined ? 4 : index.number & 7) << 3) | (base.number & 7)
      : -1,
    index: index?.number ?? 0,
    base: base.number,
    dispBytes,
    ripRelative: false,
  }
}

function scaleBits(scale: 1 | 2 | 4 | 8): number {
  return scale === 8 ? 3 : scale >> 1
}

function checkDisp(memory: Memory, from: number, to: number): void {
  if (typeof memory.disp !== 'bigint') return
  const ripRelative = memory.reference === 'rip'
  if (!ripRelative && !fitsSignExtended(memory.disp, Math.min(from, to), to)) {
    throw new AssemblerError('ERR_RANGE', `${formatOperand(memory)}: the displacement does not fit in ${from} bits`)
  }
}

function dispBytesOf(memory: Memory, required: boolean, bits: 16 | 32 | 64, scale: number): 0 | 1 | 2 | 4 {
  const full = bits === 16 ? 2 : 4
  checkDisp(memory, full * 8, bits)
  const { disp, dispBits } = memory
  if (dispBits !== 0 && dispBits !== 8 && dispBits !== full * 8) {
    throw bad(memory, `a ${bits}-bit address has no ${dispBits}-bit displacement`)
  }
  if (typeof disp !== 'bigint') return dispBits === 8 ? 1 : full
  if (dispBits === full * 8) return full
  const fits = fitsScaled(disp, 8, bits, scale)
  if (dispBits === 8 && !fits) {
    const times = scale === 1 ? '' : ` times ${scale}`
    throw new AssemblerError('ERR_RANGE', `${formatOperand(memory)}: it does not fit in 8 bits${times}`)
  }
  if (dispBits === 0 && disp === 0n && !required) return 0
  return fits ? 1 : full
}
