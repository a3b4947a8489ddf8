import { I64, select, type I32 } from '@retrap/wasm-emitter'
import type { Semantics, SemanticsTable } from '../../semantics/context.ts'
import { flagBit, zeroExtend } from '../../semantics/integer.ts'
import { FLAG_CF, FLAG_ZF } from '../../state/state-layout.ts'

/**
 * Instructions on mask registers, of VEX encoding.
 *
 * Source: Intel SDM vol. 2A, the pages of KADDW to KXORW; vol. 2D, "Opmask Instruction Exception Specification".
 */

const move: Semantics = { direct: true, emit: (c) => c.write(0, c.readU(1)) }

const not: Semantics = { emit: (c) => c.write(0, c.readU(1).xor(-1n)) }

function binary(compute: (a: I64, b: I64) => I64): Semantics {
  return { emit: (c) => c.write(0, compute(c.readU(1), c.readU(2))) }
}

/** The low halves of two masks: the third operand's below, the second's above it. */
function unpack(size: number): Semantics {
  return binary((above, below) => zeroExtend(below, size).or(above.shl(8 * size)))
}

/** ZF and CF by two operands, zero-extended from their size; the other flags become 0. */
function test(zero: (a: I64, b: I64) => I64, carry: (a: I64, b: I64) => I64): Semantics {
  return {
    emit: (c) => {
      const [a, b] = [c.let(c.readU(0)), c.let(c.readU(1))]
      const isZero = (value: I64): I32 => zeroExtend(value, c.sizeOf(0)).eqz()
      c.flagsExplicit(flagBit(isZero(zero(a, b)), FLAG_ZF).or(flagBit(isZero(carry(a, b)), FLAG_CF)))
    },
  }
}

/** A count beyond the mask leaves nothing. */
function shift(compute: (value: I64, count: I64) => I64): Semantics {
  return {
    emit: (c) => {
      const count = c.let(c.immediate().and(0xff))
      const bits = 8 * c.sizeOf(0)
      c.write(0, select(count.ltU(bits), compute(c.readU(1), count), I64.of(0)))
    },
  }
}

const ofEachSize: Readonly<Record<string, Semantics>> = {
  KADD: binary((a, b) => a.add(b)),
  KAND: binary((a, b) => a.and(b)),
  KANDN: binary((a, b) => a.xor(-1n).and(b)),
  KMOV: move,
  KNOT: not,
  KOR: binary((a, b) => a.or(b)),
  KORTEST: test(
    (a, b) => a.or(b),
    (a, b) => a.or(b).xor(-1n),
  ),
  KSHIFTL: shift((value, count) => value.shl(count)),
  KSHIFTR: shift((value, count) => value.shrU(count)),
  KTEST: test(
    (a, b) => a.and(b),
    (a, b) => a.xor(-1n).and(b),
  ),
  KXNOR: binary((a, b) => a.xor(b).xor(-1n)),
  KXOR: binary((a, b) => a.xor(b)),
}

export const masks: SemanticsTable = {
  ...Object.fromEntries(
    Object.entries(ofEachSize).flatMap(([name, semantics]) =>
      [...'BWDQ'].map((suffix) => [name + suffix, semantics] as const),
    ),
  ),
  KUNPCKBW: unpack(1),
  KUNPCKWD: unpack(2),
  KUNPCKDQ: unpack(4),
}
