import { I32, I64, V128, type FunctionBuilder } from '@retrap/wasm-emitter'
import {
  controlWord,
  FC_DAZ,
  FC_FTZ,
  finish,
  N_DENORMAL,
  slotAt,
  SLOT_R as R,
  unpack,
  type SharedFunction,
  type Slot,
  CLASS_FINITE,
} from '@retrap/soft-float'
import type { Context, Semantics } from '../../semantics/context.ts'
import {
  F_CONTROL,
  F_FLAGS,
  F_TEMPORARY,
  MXCSR_DAZ,
  MXCSR_FTZ,
  SLOT_A,
  SLOT_B,
  SLOT_C,
} from '../../semantics/float-scratch.ts'
import { S_MXCSR } from '../../state/state-layout.ts'
import { guarded } from '../../semantics/vector/mxcsr.ts'
import { callSlow, lanesLeft } from '../../semantics/vector/sse-float-operands.ts'
import { immediateByte } from '../../semantics/vector/sse-integer-operands.ts'
import { vectorParameters, vectorTypes } from '../../semantics/vector/vector-elements.ts'
import type { EvexContext } from '../evex/context.ts'
import { elementOf, replaced, type Width } from './integers.ts'

/**
 * Operations on numbers element by element, by software: AVX-512's own, and all on half precision and BF16.
 *
 * Source: Intel SDM vol. 1, "SIMD Floating-Point Exceptions", "Intel AVX512-FP16 Instructions"; Intel "Advanced Vector
 * Extensions 10.2 Architecture Specification", "BF16 Instructions".
 */

/** A format of numbers. BF16 rounds to nearest, takes denormal numbers for zero, and knows neither MXCSR nor exceptions. */
export type Format = 'half' | 'brain' | 'single' | 'double'

const BITS = { half: 16, brain: 16, single: 32, double: 64 } as const
const SLOTS: readonly number[] = [SLOT_A, SLOT_B, SLOT_C]

/** Bits of an element of a format. */
export const bitsOf = (format: Format): 16 | 32 | 64 => BITS[format]

/** The surroundings of an operation on elements, while its function is generated. */
export interface Operation {
  readonly c: Context
  readonly f: FunctionBuilder
  readonly state: I32
  /** The elements of the sources. */
  readonly values: readonly I64[]
  /** The immediate, 0–255. */
  readonly control: I32
  readonly format: Format
}

/** The number in a slot of the scratch area: 0 to 2 are A, B and C, `R` the result. */
export function slot({ c, f, state }: Operation, i: 0 | 1 | 2 | 'R'): Slot {
  return slotAt(c, f, state, i === 'R' ? R : SLOTS[i]! - c.floatScratch)
}

/** Unpacks a number into slot `i`. A denormal one of half precision is reported, as by all instructions of that format. */
export function unpackTo(o: Operation, i: 0 | 1 | 2, value: I64, format: Format = o.format): Slot {
  const { c, f, state } = o
  const at = state.add(SLOTS[i]!)
  if (format === 'brain') f.call(unpack(c, 32), state, at, value.shl(16n))
  else f.call(unpack(c, BITS[format]), state, at, value)
  if (format === 'half') {
    const isDenormal = value.and(0x7c00n).eqz().and(value.and(0x3ffn).ne(0n))
    f.store('i32.store', state, isDenormal, SLOTS[i]! + N_DENORMAL)
  }
  return slot(o, i)
}

/** R rounded to a number of a format. */
export function finished(o: Operation, format: Format = o.format): I64 {
  const { c, f, state } = o
  if (format !== 'brain') return f.call(finish(c, BITS[format]), state)
  // Rounded to eight bits first, which no other rounding follows then.
  const r = slot(o, 'R')
  f.if(r.class.eq(CLASS_FINITE), () => {
    const [high, low] = [r.significand, r.low]
    const rest = f.let(high.and((1n << 56n) - 1n))
    const half = 1n << 55n
    const isAbove = rest.gtU(half).or(rest.eq(half).and(low.ne(0n).or(high.and(1n << 56n).ne(0n))))
    const kept = f.let(high.sub(rest).add(isAbove.toI64U().shl(56n)))
    r.low = I64.of(0)
    f.if(
      kept.eqz(),
      () => {
        r.significand = I64.of(-(2n ** 63n))
        r.exponent = r.exponent.add(1)
      },
      () => {
        r.significand = kept
      },
    )
  })
  return f.let(f.call(finish(c, 32), state).shrU(16n))
}

/** A function (state, sources, immediate) → element. */
export function elementFunction(
  c: Context,
  name: string,
  format: Format,
  sources: number,
  build: (o: Operation) => I64,
): SharedFunction<'i64'> {
  const types = ['i32', ...Array.from({ length: sources }, () => 'i64' as const), 'i32'] as const
  return c.shared(`wide.${name}.${format}`, types, 'i64', (f) => {
    const values = Array.from({ length: sources }, (_, i) => f.param(1 + i, 'i64').get)
    const o = { c, f, state: f.param(0, 'i32').get, values, control: f.param(1 + sources, 'i32').get, format }
    f.return(build(o))
  })
}

/** One kind of operation. */
export interface Row {
  /** Tells its functions from those of others. */
  readonly name: string
  readonly format: Format
  /** Operand numbers of its sources, and the bits of their elements. */
  readonly sources: readonly (readonly [operand: number, bits: Width])[]
  /** Bits of its results; 1: they are bits of a mask. */
  readonly to: Width | 1
  /** Without MXCSR and exceptions: denormal numbers are zeros, results are rounded to nearest. */
  readonly isQuiet?: boolean
  /** The same, but with MXCSR's treatment of denormal numbers. */
  readonly isSilent?: boolean
  /** Elements that a mask leaves out are computed of zeros, with an immediate of zero. */
  readonly isMasked?: boolean
  /** The element of a result, from those of the sources. */
  readonly build: (o: Operation) => I64
  /** The same of elements with odd numbers, where that is another. */
  readonly odd?: ((o: Operation) => I64) | undefined
  /** Number of an operand whose elements follow those of the only source. */
  readonly upper?: number
}

/** Runs `compute` with all exceptions masked, rounding to nearest, and `modes` for denormal numbers. */
function quietly(f: FunctionBuilder, state: I32, modes: I32, compute: () => I64 | readonly V128[]): void {
  f.store('i32.store', state, I32.of(0), F_FLAGS)
  f.store('i32.store', state, modes.or(0x3f), F_CONTROL)
  const value = compute()
  if (value instanceof I64) f.store('i64.store', state, value, F_TEMPORARY)
  else value.forEach((lane, i) => f.store('v128.store', state, lane, F_TEMPORARY + 16 * i))
  f.return(0)
}

/** Rounding, masks and modes of an operation. */
export const environment = ({ c, f, state }: Operation): I32 => f.let(controlWord(c, f, state))

/** Calls of an element's function. */
type Call = (values: readonly I64[], control: I32, i: number) => I64

function run(c: Context, row: Row, f: FunctionBuilder, compute: (call: Call) => I64 | readonly V128[]): void {
  const state = f.param(0, 'i32').get
  const { name, format, sources, build, odd } = row
  const callees = [elementFunction(c, name, format, sources.length, build)]
  if (odd !== undefined) callees.push(elementFunction(c, `${name}.odd`, format, sources.length, odd))
  const call: Call = (values, control, i) => f.call(callees[i % callees.length]!, state, ...values, control)
  const mxcsr = f.loadExpression('i32.load', state, S_MXCSR)
  const daz = mxcsr.and(MXCSR_DAZ).mul(FC_DAZ / MXCSR_DAZ)
  const modes = daz.or(mxcsr.and(MXCSR_FTZ).shrU(Math.log2(MXCSR_FTZ / FC_FTZ)))
  if (row.isQuiet === true) quietly(f, state, I32.of(FC_DAZ | FC_FTZ), () => compute(call))
  else if (row.isSilent === true) quietly(f, state, modes, () => compute(call))
  else guarded(c, f, state, () => compute(call))
}

function controlOf(c: Context): I32 {
  return c.form.operands.at(-1)!.kind === 'imm' ? immediateByte(c) : I32.of(0)
}

/** Sources with their numbers, the last operand first: it may lie in memory, and fault. */
function memoryFirst(sources: Row['sources']): readonly (readonly [number, Row['sources'][number]])[] {
  return [...sources.entries()].toSorted(([, [a]], [, [b]]) => b - a)
}

/** All elements of vectors; the destination is a vector or a mask. */
export function packed(row: Row): Semantics {
  const { sources, to, name, format } = row
  return {
    emit: (c) => {
      const { elements } = c.form.evex!
      const lanes = sources.map(() => [] as readonly V128[])
      for (const [i, [operand]] of memoryFirst(sources)) lanes[i] = c.readLanes(operand)
      if (row.upper !== undefined) lanes[0] = [...lanes[0]!, ...c.readLanes(row.upper)]
      const counts = lanes.map(({ length }) => length)
      const given = lanes.flat()
      const mask = row.isMasked === true ? [(c as EvexContext).maskBits()] : []
      const types = ['i32', 'i32', ...vectorTypes(given.length), ...mask.map(() => 'i64' as const)] as const
      const slow = c.shared(`wide.${name}.${format}.${counts.join('.')}.${elements}`, types, 'i32', (f) =>
        run(c, row, f, (call) => {
          const control = f.param(1, 'i32').get
          let from = 2
          const vectors = counts.map((count) => vectorParameters(f, (from += count) - count, count))
          const element = (i: number): I64 => {
            const values = sources.map(([, bits], source) =>
              f.let(elementOf(vectors[source]![Math.floor((i * bits) / 128)]!, bits, i % (128 / bits))),
            )
            if (row.isMasked !== true) return f.let(call(values, control, i))
            const isIn = f.let(f.param(from, 'i64').get.shrU(BigInt(i)).and(1n))
            const chosen = values.map((value) => value.mul(isIn))
            return f.let(call(chosen, control.mul(isIn.toI32()), i))
          }
          if (to === 1) {
            const bits = f.local('i64')
            f.set(bits, I64.of(0))
            for (let i = 0; i < elements; i++) f.set(bits, bits.get.or(element(i).shl(BigInt(i))))
            return bits.get
          }
          return Array.from({ length: Math.ceil((elements * to) / 128) }, (_, lane) => {
            const result = f.local('v128')
            f.set(result, V128.of([]))
            const perLane = 128 / to
            for (let i = 0; i < perLane && lane * perLane + i < elements; i++)
              f.set(result, replaced(result.get, to, i, element(lane * perLane + i)))
            return result.get
          })
        }),
      )
      callSlow(c, slow, controlOf(c), ...given, ...mask)
      if (to === 1) (c as EvexContext).writeMask(c.f.load('i64.load', c.state, F_TEMPORARY))
      else c.writeLanes(0, lanesLeft(c, Math.ceil((elements * to) / 128)))
    },
  }
}

/** Element 0 of an operand, zero-extended. */
export function readElement(c: Context, i: number, bits: Width): I64 {
  if (c.kindOf(i) !== 'xmm') return c.readU(i)
  return elementOf(c.readV(i), bits, 0)
}

/** Calls the operation on the lowest elements; the result. */
function lowest(c: Context, row: Row): I64 {
  const { sources, name, format } = row
  const values = sources.map(() => I64.of(0))
  for (const [i, source] of memoryFirst(sources)) values[i] = c.let(readElement(c, ...source))
  const types = ['i32', 'i32', ...values.map(() => 'i64' as const)] as const
  const slow = c.shared(`wide.${name}.${format}.scalar`, types, 'i32', (f) =>
    run(c, row, f, (call) =>
      call(
        values.map((_, i) => f.param(2 + i, 'i64').get),
        f.param(1, 'i32').get,
        0,
      ),
    ),
  )
  callSlow(c, slow, controlOf(c), ...values)
  return c.f.load('i64.load', c.state, F_TEMPORARY)
}

/** The lowest elements; those above come from operand `above`. The destination is a vector, a mask or a general register. */
export function scalar(row: Row, above = 1): Semantics {
  return {
    emit: (c) => {
      const value = lowest(c, row)
      const kind = c.kindOf(0)
      if (kind === 'mask') (c as EvexContext).writeMask(value)
      else if (kind === 'reg') c.write(0, value)
      else c.writeV(0, replaced(c.readV(above), row.to as Width, 0, value))
    },
  }
}

/** Sets flags from the lowest elements: the result has them at their places in RFLAGS. */
export function scalarFlags(row: Row): Semantics {
  return { emit: (c) => c.flagsExplicit(lowest(c, row)) }
}
