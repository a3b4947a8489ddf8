import { I32, select } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { conditionHolds as fixedConditionHolds } from '../flags.ts'

/** The first condition that always holds. */
export const ALWAYS = 14

/** Whether a condition that is known when the code runs holds. */
export function conditionHolds(c: ArmContext, number: I32): I32 {
  const { n, z, c: carry, v } = c.flags
  const holds = c.library.function(
    'a32-condition',
    ['i32', 'i64', 'i64', 'i32', 'i32'],
    'i32',
    (f, condition, ...[sign, zero, carryIn, overflow]) => {
      const flags = { n: sign, z: zero, c: carryIn, v: overflow }
      const pair = f.let(condition.shrU(1))
      const result = f.local('i32')
      f.set(result, I32.of(1))
      for (let i = 0; i < 7; i++) f.set(result, select(pair.eq(i), fixedConditionHolds(flags, 2 * i), result.get))
      // Always has no opposite: 1111 is no condition either.
      return result.get.xor(condition.and(pair.ne(7)))
    },
  )
  return c.f.call(holds, number, n, z, carry, v)
}
