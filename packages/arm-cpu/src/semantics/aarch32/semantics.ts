import { t32Forms, type Form as Row } from '@retrap/arm-decoder'
import { R_LENGTH } from '@retrap/engine'
import { I32, select, type I64 } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import type { Semantics } from '../semantics.ts'
import { type Flags, conditionHolds as fixedConditionHolds } from '../flags.ts'
import { R_D } from '../../state/record.ts'
import { S_IT, S_LITERAL, S_R15, S_X } from '../../state/state-layout.ts'
import type { VectorPlan } from './vfp-record.ts'

/** One way of executing A32 instructions: a row, the values of the fields that its code depends on, and a kind. */
export interface A32Form {
  readonly row: Row
  /** Values of the selectors, by letter. */
  readonly values: ReadonlyMap<string, number>
  /** The result of `A32Semantics.kindOf`. */
  readonly kind: number
  /** The instruction may be conditional, name the program counter, or be Thumb's. */
  readonly general: boolean
}

/** The semantics of a family of A32 instructions. */
export interface A32Semantics extends Pick<Semantics, 'selectors' | 'immediate' | 'small' | 'suits'> {
  /** Number of kinds that no field distinguishes; default 1. */
  readonly kinds?: number
  /** The kind of an instruction. */
  readonly kindOf?: (row: Row, word: number) => number
  /** Whether an instruction names the program counter, but in no field of a register. */
  readonly namesPc?: (word: number) => boolean
  /** The instruction writes the program counter by its own rules, or not at all. */
  readonly keepsTarget?: boolean
  /** Name of forms shared by all rows with this name; absent: the row has its own forms. */
  readonly shared?: string
  /**
   * For instructions computed by an A64 form in a frame: returns its plan; undefined if unallocated. The kind is the
   * frame's.
   */
  readonly plan?: (word: number) => VectorPlan | undefined
  /** Whether bit 0 of the new program counter selects Thumb code, also in Thumb code. */
  readonly interworks?: boolean
  /** Generates the code of a form, which is executed where the condition holds. */
  readonly emit: (c: ArmContext, form: A32Form) => void
}

/** Branches to an address whose lowest bit selects Thumb code. */
export function interwork(c: ArmContext, target: I32): void {
  const wanted = c.let(target)
  // Of A32's addresses bit 1 is ignored.
  const address = c.let(wanted.and(wanted.shl(1).or(~2)))
  c.f.store('i32.store', c.state, I32.of(0), S_IT)
  c.jump(address.toI64U())
}

/** Writes R14, the link register. */
export function writeLink(c: ArmContext, value: I64): void {
  c.f.store('i64.store', c.state, value, S_X + 8 * 14)
}

/** Whether a row is one of Thumb's of 32 bits. */
export const isThumbRow = (row: Row): boolean => t32Forms()[row.index] === row

/** The low 32 bits of a 64-bit value. */
export const low = (value: I64): I64 => value.toI32().toI64U()

/** Returns whether the instruction's condition holds, from its IT block or its word. @param it - ITSTATE */
function holds(c: ArmContext, it: I32): I32 {
  const condition = c.let(select(it, it.shrU(4), c.word.shrU(28)))
  return c.f.ifElse(
    'i32',
    condition.geU(ALWAYS),
    () => I32.of(1),
    () => conditionHolds(c, condition),
  )
}

/** ITSTATE after the instruction. */
const advanced = (it: I32): I32 => select(it.and(7), it.and(0xe0).or(it.shl(1).and(0x1f)), I32.of(0))

/** The program counter as the instruction reads it: 8 further on, in Thumb 4. @returns bit 0 of its address */
function storePc({ f, state }: ArmContext, address: I32): I32 {
  const thumb = f.let(address.and(1))
  const pc = f.let(address.add(8).sub(thumb.mul(5)))
  f.store('i64.store', state, pc.toI64U(), S_R15)
  f.store('i64.store', state, pc.and(~3).toI64U(), S_LITERAL)
  return thumb
}

/** Sets flags as an instruction of 16 bits does that is no comparison: not in an IT block. */
export function setFlagsOutside(c: ArmContext, { general }: A32Form, flags: Flags): void {
  if (!general) {
    c.setFlags(flags)
    return
  }
  const { f, state, record } = c
  const isShort = f.loadExpression('i32.load8_u', record, R_LENGTH).eq(2)
  const isInside = f.loadExpression('i32.load', state, S_IT).ne(0)
  f.if(isShort.and(isInside).eqz(), () => c.setFlags(flags))
}

/** Generates the code of a form. */
export function emitA32(c: ArmContext, form: A32Form, semantics: A32Semantics): void {
  if (!form.general) {
    semantics.emit(c, form)
    return
  }
  c.jumps = true
  const { f, state } = c
  const it = f.load('i32.load', state, S_IT)
  f.if(holds(c, it), () => {
    const thumb = storePc(c, c.let(c.address().toI32()))
    semantics.emit(c, form)
    if (semantics.keepsTarget === true) return
    const isTarget = f.loadExpression('i32.load16_u', c.record, R_D).eq(S_R15)
    f.if(isTarget, () => {
      const target = f.load('i32.load', state, S_R15)
      interwork(c, semantics.interworks === true ? target : target.or(thumb))
    })
  })
  f.if(it, () => f.store('i32.store', state, advanced(it), S_IT))
}

/** The first condition that always holds. */
const ALWAYS = 14

/** Returns whether a condition that is only known at run time holds. */
function conditionHolds(c: ArmContext, number: I32): I32 {
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
