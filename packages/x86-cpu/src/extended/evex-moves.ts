import { I32, V128, numeric } from '@retrap/wasm-emitter'
import type { Semantics, SemanticsTable } from '../semantics/context.ts'
import { swizzleLanes } from '../semantics/vector/avx-permute.ts'
import { instructionSemantics } from '../semantics/index.ts'

/**
 * Moves of elements that EVEX alone has, or has in other forms than VEX.
 *
 * Source: Intel SDM vol. 2, the pages of each instruction.
 */

const bytes = (value: (i: number) => number): V128 => V128.of(Array.from({ length: 16 }, (_, i) => value(i)))

/** VPERMQ, VPERMPD by a vector: all quadwords of the second source, by the low bits of those of the first. */
const permuteQuadwords: Semantics = {
  emit: (c) => {
    if (c.kindOf(2) === 'imm') {
      instructionSemantics['VPERMQ']!.emit(c)
      return
    }
    const sources = c.readLanes(2)
    const last = 2 * sources.length - 1
    const results = c.readLanes(1).map((control) => {
      const numbers = numeric(
        'v128.and',
        control,
        bytes((i) => (i % 8 === 0 ? last : 0)),
      )
      const first = numeric(
        'i8x16.swizzle',
        numbers,
        bytes((i) => i & 8),
      )
      return swizzleLanes(
        c,
        sources,
        numeric(
          'i8x16.add',
          times8(first),
          bytes((i) => i & 7),
        ),
      )
    })
    c.writeLanes(0, results)
  },
}

/** Bytes below 32 times 8. */
const times8 = (v: V128): V128 => numeric('i8x16.shl', v, I32.of(3))

export const evexMoves: SemanticsTable = { VPERMQ: permuteQuadwords }
