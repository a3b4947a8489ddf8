import { I32, I64, V128, numeric, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import type { SharedFunction } from '@retrap/soft-float'
import type { Context, Semantics, SemanticsTable } from '../../semantics/context.ts'
import { swizzleLanes } from '../../semantics/vector/avx-permute.ts'
import { instructionSemantics } from '../../semantics/index.ts'
import { S_SCRATCH } from '../../state/state-layout.ts'
import type { EvexContext } from '../evex/context.ts'

/**
 * Moves of elements that EVEX alone has, or has in other forms than VEX: blends by a mask, compressed vectors, parts of vectors.
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
    c.mapLanes(1, (control) => {
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
      const indices = numeric(
        'i8x16.add',
        numeric('i8x16.shl', first, I32.of(3)),
        bytes((i) => i & 7),
      )
      return swizzleLanes(c, sources, indices)
    })
  },
}

/** VPBLENDMD and its like: the second source under the mask, the first elsewhere. */
const blend: Semantics = {
  emit: (c) => {
    const { mask } = c as EvexContext
    const b = c.readLanes(2)
    ;(c as EvexContext).writeUnder(0, b, mask, c.readLanes(1))
  },
}

/** VBROADCASTF32X4 and its like: one lane of the source or two, all over the destination. */
const broadcastLanes: Semantics = {
  emit: (c) => {
    const part = c.readLanes(1)
    c.writeLanes(
      0,
      Array.from({ length: c.laneCount(0) }, (_, lane) => part[lane % part.length]!),
    )
  },
}

/** The number of a part of a vector, by the low bits of the immediate. */
const partNumber = (c: Context, parts: number): I32 =>
  c.let(
    c
      .immediate()
      .toI32()
      .and(parts - 1),
  )

/** VINSERTF32X4 and its like. */
const insertPart: Semantics = {
  emit: (c) => {
    const part = c.readLanes(2)
    const lanes = c.readLanes(1)
    const number = partNumber(c, lanes.length / part.length)
    const results = lanes.map((lane, i) =>
      c.let(select(number.eq(Math.floor(i / part.length)), part[i % part.length]!, lane)),
    )
    c.writeLanes(0, results)
  },
}

/** VEXTRACTF32X4 and its like. */
const extractPart: Semantics = {
  emit: (c) => {
    const lanes = c.readLanes(1)
    const count = c.laneCount(0)
    const number = partNumber(c, lanes.length / count)
    const results = lanes.slice(0, count).map((first, i) => {
      let chosen = first
      for (let at = count + i; at < lanes.length; at += count)
        chosen = c.let(select(number.eq((at - i) / count), lanes[at]!, chosen))
      return chosen
    })
    c.writeLanes(0, results)
  },
}

/** Where elements come from and go to, in the scratch area. */
const FROM: number = S_SCRATCH
const TO: number = S_SCRATCH + 64

/** (state, mask, bytes of an element): elements of FROM, moved to TO; zeros between and above them. */
function moveElements(c: Context, isExpansion: boolean): SharedFunction {
  return c.shared(
    isExpansion ? 'evex.expand' : 'evex.compress',
    ['i32', 'i64', 'i32'],
    undefined,
    (f: FunctionBuilder) => {
      const [state, size] = [f.param(0, 'i32').get, f.param(2, 'i32').get]
      const [left, packed] = [f.local('i64'), f.local('i32')]
      f.set(left, f.param(1, 'i64').get)
      f.set(packed, I32.of(0))
      for (let at = 0; at < 64; at += 8) f.store('i64.store', state, I64.of(0), TO + at)
      const kept = f.let(I64.of(-1).shrU(I32.of(64).sub(size.shl(3)).toI64U()))
      f.block((done) => {
        f.loop((again) => {
          f.brIf(left.get.eqz(), done)
          const spread = f.let(numeric('i64.ctz', left.get).toI32().mul(size))
          const [from, to] = isExpansion ? [packed.get, spread] : [spread, packed.get]
          // Later elements overwrite the bytes above each one.
          f.store('i64.store', state.add(to), f.loadExpression('i64.load', state.add(from), FROM).and(kept), TO)
          f.set(packed, packed.get.add(size))
          f.set(left, left.get.and(left.get.sub(1)))
          f.br(again)
        })
      })
    },
  )
}

/** VPCOMPRESSD, VPEXPANDD and their like: the elements under the mask, without those between them in the packed vector. */
function packing(isExpansion: boolean): Semantics {
  return {
    emit: (context) => {
      const c = context as EvexContext
      const { mask } = c
      const bits = c.let(c.maskBits())
      const packed = c.let(I64.of(1).shl(numeric('i64.popcnt', bits)).sub(1))
      // A shift by 64 is one by 0.
      const whole = c.let(select(numeric('i64.popcnt', bits).eq(64), I64.of(-1), packed))
      if (mask === undefined) {
        c.writeLanes(0, c.readLanes(1))
        return
      }
      if (isExpansion) c.mask = whole
      const lanes = c.readLanes(1)
      c.mask = mask
      const state = c.f.param(0, 'i32').get
      for (const [i, lane] of lanes.entries()) c.f.store('v128.store', state, lane, FROM + 16 * i)
      c.f.call(moveElements(c, isExpansion), state, bits, I32.of(c.form.evex!.elementBytes[0]!))
      if (!isExpansion) c.mask = whole
      c.writeLanes(
        0,
        lanes.map((_, i) => c.f.load('v128.load', state, TO + 16 * i)),
      )
    },
  }
}

export const evexMoves: SemanticsTable = {
  VPERMQ: permuteQuadwords,
  VPBLENDMD: blend,
  VPCOMPRESSD: packing(false),
  VPEXPANDD: packing(true),
  VBROADCASTF128: broadcastLanes,
  VINSERTF128: insertPart,
  VEXTRACTF128: extractPart,
}
