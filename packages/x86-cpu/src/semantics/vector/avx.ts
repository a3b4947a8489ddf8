import { I64, select } from '@retrap/wasm-emitter'
import { MODE_64, S_MODE, S_XMM } from '../../state/state-layout.ts'
import { avxPermutations } from './avx-permute.ts'
import { aes } from './aes.ts'
import { carryless } from './carryless.ts'
import type { Context, Semantics, SemanticsTable } from '../context.ts'
import { sseFloat } from './sse-float.ts'
import { zeroVector } from './sse-integer-operands.ts'
import { element, withElement, type Bits } from './vector-elements.ts'
import { integerArithmetic } from './sse-integer-arithmetic.ts'
import { integerMoves } from './sse-integer-move.ts'
import { integerShifts } from './sse-integer-shift.ts'
import { integerShuffles } from './sse-integer-shuffle.ts'
import { integerStrings } from './sse-integer-string.ts'

/** Integer instructions of MMX and of SSE to SSE4.2, by mnemonic. */
export const sseInteger: SemanticsTable = {
  ...integerArithmetic,
  ...integerMoves,
  ...integerShifts,
  ...integerShuffles,
  ...integerStrings,
}

/**
 * AVX and AVX2. Most of it is SSE with a destination of its own, twice as wide: the same functions, which see from the form
 * how many lanes there are.
 *
 * Source: Intel SDM vol. 2, the pages of each instruction; vol. 1, "Programming with Intel AVX".
 */

/** VPSLLVD and its like: each element by the count in its partner; counts beyond the element shift everything out. */
function shiftVariable(bits: Bits, shift: (value: I64, count: I64) => I64, arithmetic = false): Semantics {
  return {
    direct: true,
    emit: (c) =>
      c.combineLanes(1, (x, counts) => {
        const result = c.f.local('v128')
        c.f.set(result, zeroVector())
        for (let i = 0; i < 128 / bits; i++) {
          const count = c.let(element(counts, bits, i))
          const value = element(x, bits, i)
          const within = count.ltU(bits)
          const shifted = arithmetic
            ? shift(value.extend32S(), select(within, count, I64.of(31)))
            : select(within, shift(value, count), I64.of(0))
          c.f.set(result, withElement(result.get, bits, i, shifted))
        }
        return result.get
      }),
  }
}

/** VZEROALL, VZEROUPPER: of the registers that the mode has. */
function zeroRegisters(all: boolean): Semantics {
  const clear = (c: Context, first: number): void => {
    for (let at = S_XMM + 64 * first; at < S_XMM + 64 * (first + 8); at += 64) c.zeroAbove(c.state, all ? 0 : 1, at)
  }
  return {
    emit: (c) => {
      clear(c, 0)
      c.f.if(c.f.loadExpression('i32.load', c.state, S_MODE).eq(MODE_64), () => clear(c, 8))
    },
  }
}

/** The same operations under the names that VEX gives them. */
function renamed(table: SemanticsTable): SemanticsTable {
  return Object.fromEntries(Object.entries(table).map(([name, semantics]) => [`V${name}`, semantics]))
}

export const avx: SemanticsTable = {
  ...renamed(aes),
  ...renamed(carryless),
  ...renamed(sseFloat),
  ...renamed(sseInteger),
  ...avxPermutations,
  VPSLLVD: shiftVariable(32, (value, count) => value.shl(count)),
  VPSLLVQ: shiftVariable(64, (value, count) => value.shl(count)),
  VPSRLVD: shiftVariable(32, (value, count) => value.shrU(count)),
  VPSRLVQ: shiftVariable(64, (value, count) => value.shrU(count)),
  VPSRAVD: shiftVariable(32, (value, count) => value.shrS(count), true),
  VZEROALL: zeroRegisters(true),
  VZEROUPPER: zeroRegisters(false),
}
