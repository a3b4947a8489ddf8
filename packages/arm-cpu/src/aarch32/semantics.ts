import type { Form as Row } from '@retrap/arm-decoder'
import type { I32, I64 } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { R_D } from '../record.ts'
import { S_R15, S_X } from '../state-layout.ts'
import { conditionOfWord } from './conditions.ts'
import type { VectorPlan } from './vfp-record.ts'

/** One way of executing A32 instructions: a row, the values of the fields that its code depends on, and a kind. */
export interface A32Form {
  readonly row: Row
  /** Values of the selectors, by letter. */
  readonly values: ReadonlyMap<string, number>
  /** What `A32Semantics.kindOf` has said. */
  readonly kind: number
}

/** What A32 instructions of a family do. */
export interface A32Semantics {
  /** Letters of the fields that the code depends on; those that a row does not have count for nothing. */
  readonly selectors: string
  /** How many kinds there are that no field tells apart; 1 unless given. */
  readonly kinds?: number
  /** The kind of an instruction. */
  readonly kindOf?: (row: Row, word: number) => number
  /** What goes to `R_IMMEDIATE`. */
  readonly immediate?: (row: Row, word: number) => bigint
  /** What goes to `R_SMALL`. */
  readonly small?: (row: Row, word: number) => number
  /** Which instructions of the row generated code executes; absent: all. The others are TypeScript's. */
  readonly suits?: (row: Row, word: number) => boolean
  /** Whether an instruction names the program counter, but in no field of a register. */
  readonly namesPc?: (word: number) => boolean
  /** It writes the program counter by its own rules, or not at all. */
  readonly keepsTarget?: boolean
  /** Forms of this name are the same for all rows that have them; absent, a row has forms of its own. */
  readonly shared?: string
  /**
   * Of instructions that a form of A64 computes in a frame: which one; undefined of what is not there. The kind is the
   * frame's.
   */
  readonly plan?: (word: number) => VectorPlan | undefined
  /** Generates the code of a form, which is executed where the condition holds. */
  readonly emit: (c: ArmContext, form: A32Form) => void
}

/**
 * Branches to an address whose lowest bit says that Thumb code is there. Thumb is absent: the fetch ends with a PC alignment
 * fault.
 */
export function interwork(c: ArmContext, target: I32): void {
  c.jump(target.toI64U())
}

/** Writes R14, the link register. */
export function writeLink(c: ArmContext, value: I64): void {
  c.f.store('i64.store', c.state, value, S_X + 8 * 14)
}

/** The name of a row's instruction: what stands before the placeholders of its mnemonic. */
export const nameOf = ({ mnemonic }: Row): string => mnemonic.replace(/(?:<.*|\.W)$/, '')

/** The low 32 bits of a 64-bit value. */
export const low = (value: I64): I64 => value.toI32().toI64U()

/**
 * Generates the code of a form.
 *
 * @param general - it may be conditional, or name the program counter
 */
export function emitA32(c: ArmContext, form: A32Form, semantics: A32Semantics, general: boolean): void {
  if (!general) {
    semantics.emit(c, form)
    return
  }
  c.jumps = true
  const { f, state } = c
  f.if(conditionOfWord(c), () => {
    f.store('i64.store', state, low(c.address().add(8)), S_R15)
    semantics.emit(c, form)
    if (semantics.keepsTarget === true) return
    const isTarget = f.loadExpression('i32.load16_u', c.record, R_D).eq(S_R15)
    f.if(isTarget, () => interwork(c, f.load('i32.load', state, S_R15)))
  })
}
