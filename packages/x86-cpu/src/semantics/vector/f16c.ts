import { V128, extractLane, replaceLane, select, type FunctionBuilder, type I32 } from '@retrap/wasm-emitter'
import { S_MXCSR } from '../../state/state-layout.ts'
import type { Context, SemanticsTable } from '../context.ts'
import { convert, FC_ROUNDING_SHIFT, finish, unpack, type SharedFunction } from '@retrap/soft-float'
import { F_CONTROL, SLOT_A } from '../float-scratch.ts'
import { callSlow, lanesLeft } from './sse-float-operands.ts'
import { guarded } from './mxcsr.ts'
import { eachElement, element, vectorParameters, vectorTypes } from './vector-elements.ts'

/**
 * Half precision, which exists in memory and registers but not in arithmetic.
 *
 * Source: Intel SDM vol. 2C, VCVTPH2PS, VCVTPS2PH.
 */

/** (state, halves) → exception; as many singles as `lanes` have room for, in F_TEMPORARY. */
function fromHalves(c: Context, lanes: number): SharedFunction<'i32'> {
  const sources = (lanes + 1) >> 1
  return c.shared(`f16c.fromHalves.${lanes}`, ['i32', ...vectorTypes(sources)], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const a = vectorParameters(f, 1, sources)
    guarded(c, f, state, () =>
      Array.from({ length: lanes }, (_, lane) =>
        eachElement(f, 32, (i) => {
          const half = extractLane('i16x8.extract_lane_u', a[lane >> 1]!, 4 * (lane & 1) + i).toI64U()
          f.call(unpack(c, 16), state, state.add(SLOT_A), half)
          f.call(convert(c), state)
          return f.call(finish(c, 32), state)
        }),
      ),
    )
  })
}

/** (state, immediate, lanes of singles) → exception; halves in F_TEMPORARY, zeros above. */
function toHalves(c: Context, lanes: number): SharedFunction<'i32'> {
  return c.shared(`f16c.toHalves.${lanes}`, ['i32', 'i32', ...vectorTypes(lanes)], 'i32', (f) => {
    const [state, control] = [f.param(0, 'i32').get, f.param(1, 'i32').get]
    const a = vectorParameters(f, 2, lanes)
    guarded(c, f, state, () => {
      setRounding(f, state, control)
      const results = Array.from({ length: (lanes + 1) >> 1 }, () => f.local('v128'))
      for (const result of results) f.set(result, V128.of([]))
      for (let i = 0; i < 4 * lanes; i++) {
        f.call(unpack(c, 32), state, state.add(SLOT_A), element(a[i >> 2]!, 32, i & 3))
        f.call(convert(c), state)
        const half = f.call(finish(c, 16), state)
        const result = results[i >> 3]!
        f.set(result, replaceLane('i16x8.replace_lane', result.get, i & 7, half.toI32()))
      }
      return results.map(({ get }) => get)
    })
  })
}

/** The immediate's rounding, unless its bit 2 leaves it to MXCSR. */
function setRounding(f: FunctionBuilder, state: I32, control: I32): void {
  const field = 3 << FC_ROUNDING_SHIFT
  const word = f.let(f.loadExpression('i32.load', state, F_CONTROL))
  const own = word.and(~field).or(control.and(3).shl(FC_ROUNDING_SHIFT))
  f.store('i32.store', state, select(control.and(4), word, own), F_CONTROL)
}

export const f16c: SemanticsTable = {
  VCVTPH2PS: {
    emit: (c) => {
      const lanes = c.laneCount(0)
      callSlow(c, fromHalves(c, lanes), ...c.readLanes(1))
      c.writeLanes(0, lanesLeft(c, lanes))
    },
  },
  VCVTPS2PH: {
    emit: (c) => {
      const a = c.readLanes(1)
      const before = c.let(c.f.loadExpression('i32.load', c.state, S_MXCSR))
      callSlow(c, toHalves(c, a.length), c.immediate().toI32(), ...a)
      const results = lanesLeft(c, (a.length + 1) >> 1)
      if (c.kindOf(0) !== 'mem') {
        c.writeLanes(0, results)
        return
      }
      // A store that faults, or waits for a device, has raised nothing before it is made, but an exception that is not masked.
      const raised = c.let(c.f.loadExpression('i32.load', c.state, S_MXCSR))
      c.f.store('i32.store', c.state, before, S_MXCSR)
      if (a.length === 1) c.write(0, extractLane('i64x2.extract_lane', results[0]!, 0))
      else c.writeLanes(0, results)
      c.f.store('i32.store', c.state, raised, S_MXCSR)
    },
  },
}
