import { numeric, type I64, type V128 } from '@retrap/wasm-emitter'
import { direct, type Semantics, type SemanticsTable } from '../../semantics/context.ts'
import { instructionSemantics } from '../../semantics/index.ts'
import { R_REG0 } from '../../state/record.ts'
import { S_OPMASK } from '../../state/state-layout.ts'
import type { EvexContext } from '../evex/context.ts'
import { elementOf, SHAPES, splatted, type Width } from './integers.ts'
import { bitsOfLanes } from './moves.ts'

/** Comparisons whose results are masks. Source: Intel SDM vol. 2, the pages of each instruction. */

/** A comparison of VEX, which fills elements: its mask has a bit for each. */
function intoMask(mnemonic: string, bits: Width): Semantics {
  const semantics = instructionSemantics[mnemonic]!
  return {
    ...semantics,
    emit: (c) => {
      const context = c as EvexContext
      const isScalar = c.form.evex!.isScalar
      context.writeLanes = (_, lanes) => {
        const found = bitsOfLanes(c, lanes, bits)
        context.writeMask(isScalar ? found.and(1n) : found)
      }
      semantics.emit(c)
    },
  }
}

const WIDTHS: Readonly<Record<string, Width>> = { B: 8, W: 16, D: 32, Q: 64 }

function comparisons(): SemanticsTable {
  const out: Record<string, Semantics> = {}
  for (const [letter, bits] of Object.entries(WIDTHS))
    for (const name of ['VPCMPEQ', 'VPCMPGT']) out[name + letter] = intoMask(name + letter, bits)
  for (const name of ['VCMPP', 'VCMPS']) {
    out[`${name}S`] = intoMask(`${name}S`, 32)
    out[`${name}D`] = intoMask(`${name}D`, 64)
  }
  return out
}

/** VP2INTERSECT: a pair of masks, of the elements of each source that the other has, too. */
function intersect(bits: 32 | 64): Semantics {
  return direct((c) => {
    const b = c.readLanes(2)
    const a = c.readLanes(1)
    const perLane = 128 / bits
    /** Elements of `lanes` that are among those of `others`. */
    const found = (lanes: readonly V128[], others: readonly V128[]): I64 => {
      const all = others.flatMap((v) =>
        Array.from({ length: perLane }, (_, i) => c.let(splatted(bits, elementOf(v, bits, i)))),
      )
      const hits = lanes.map((v) =>
        all.map((one) => numeric(`${SHAPES[bits]}.eq`, v, one)).reduce((x, y) => numeric('v128.or', x, y)),
      )
      return bitsOfLanes(c, hits, bits)
    }
    // The pair begins with an even number.
    const pair = c.let(c.state.add(c.f.loadExpression('i32.load16_u', c.record, R_REG0).sub(S_OPMASK).and(~8)))
    for (const [i, mask] of [found(a, b), found(b, a)].entries()) c.f.store('i64.store', pair, mask, S_OPMASK + 8 * i)
  })
}

/** Comparisons into masks. */
export const maskComparisons: SemanticsTable = {
  ...comparisons(),
  VP2INTERSECTD: intersect(32),
  VP2INTERSECTQ: intersect(64),
}
