import { I32, I64 } from '@retrap/wasm-emitter'
import { FLAG_AF, FLAG_CF } from '../state/state-layout.ts'
import { VECTOR_DE } from '../state/vectors.ts'
import { flagBit } from './integer.ts'
import type { Context, SemanticsTable } from './context.ts'

/** Decimal adjustment, absent from 64-bit mode. Source: Intel SDM vol. 2A, AAA, AAD, AAM, AAS, DAA, DAS. */

const RAX = 0

/** AAA and AAS: the low digit of AL, and AX as a whole moved by 106h. */
function asciiAdjust(c: Context, subtract: boolean): void {
  const ax = c.gprU(RAX, 2)
  const adjust = c.let(ax.and(15).gtU(9).or(c.allFlags().and(FLAG_AF).ne(0)))
  const moved = c.f.local('i64')
  c.f.set(moved, ax)
  c.f.if(adjust, () => c.f.set(moved, subtract ? ax.sub(0x106) : ax.add(0x106)))
  c.setGpr(RAX, 2, moved.get.and(0xff0f))
  // SF, ZF and PF are undefined; processors derive them from AL before the high digit is cut off.
  const result = c.let(moved.get.and(0xf).extend8S())
  c.flagsResult(result, adjust.toI64U().or(flagBit(adjust, FLAG_AF)))
}

/** DAA and DAS. */
function decimalAdjust(c: Context, subtract: boolean): void {
  const f = c.f
  const old = c.gprU(RAX, 1)
  const flags = c.let(c.allFlags())
  const oldCarry = c.let(flags.and(FLAG_CF))
  const al = f.local('i64')
  const carry = f.local('i32')
  f.set(al, old)
  f.set(carry, I32.of(0))
  const move = (by: number): I64 => (subtract ? al.get.sub(by) : al.get.add(by)).and(0xff)
  const low = c.let(old.and(15).gtU(9).or(flags.and(FLAG_AF).ne(0)))
  f.if(low, () => {
    f.set(carry, oldCarry.or(subtract ? old.ltU(6) : old.gtU(0xf9)))
    f.set(al, move(6))
  })
  const high = c.let(old.gtU(0x99).or(oldCarry))
  f.if(
    high,
    () => {
      f.set(al, move(0x60))
      f.set(carry, I32.of(1))
    },
    () => {
      if (!subtract) f.set(carry, I32.of(0))
    },
  )
  c.setGpr(RAX, 1, al.get)
  c.flagsResult(c.let(al.get.extend8S()), carry.get.toI64U().or(flagBit(low, FLAG_AF)))
}

export const decimal: SemanticsTable = {
  AAA: { emit: (c) => asciiAdjust(c, false) },
  AAS: { emit: (c) => asciiAdjust(c, true) },
  DAA: { emit: (c) => decimalAdjust(c, false) },
  DAS: { emit: (c) => decimalAdjust(c, true) },
  AAM: {
    emit: (c) => {
      const base = c.readU(0)
      c.f.if(base.eqz(), () => c.raise(VECTOR_DE))
      const al = c.gprU(RAX, 1)
      const digit = c.let(al.remU(base))
      c.setGpr(RAX, 1, digit)
      c.setGpr(RAX, 1, al.divU(base), true)
      c.flagsResult(c.let(digit.extend8S()), I64.of(0))
    },
  },
  AAD: {
    emit: (c) => {
      const base = c.readU(0)
      const ax = c.gprU(RAX, 2)
      const al = c.let(ax.and(0xff).add(ax.shrU(8).mul(base)).and(0xff))
      c.setGpr(RAX, 2, al)
      c.flagsResult(c.let(al.extend8S()), I64.of(0))
    },
  },
}
