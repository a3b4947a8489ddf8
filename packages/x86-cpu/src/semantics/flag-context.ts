import { I64, type I32 } from '@retrap/wasm-emitter'
import * as S from '../state/state-layout.ts'
import {
  conditionOf,
  flagBits,
  flagParts,
  flagsOf,
  type FlagParts,
  CC_B,
  CC_BE,
  CC_E,
  CC_L,
  CC_LE,
  CC_O,
  CC_S,
} from './flag-parts.ts'
import { MemoryContext } from './memory-context.ts'

/** The store of the lazy flags: locals in the interpreter's main function, memory elsewhere. */
export interface FlagStore {
  readonly kind: I32
  readonly a: I64
  readonly b: I64
  readonly result: I64
  set(kind: number | I32, a: I64, b: I64, result: I64): void
}

/** How an instruction changes some of the flags, or changes them on a condition. */
export interface FlagChange {
  /** The flags that are written, `FLAG_*`; others stay. */
  readonly written: number
  /** Nothing is written where this is 0. */
  readonly when?: I32
  /** Sign-extended: what ZF, SF and PF come from; all three are among the flags that are written. */
  readonly result?: I64
  /** The sources of {@link flags}: values that do not change any more. */
  readonly from: readonly I64[]
  /** The kind of lazy flags that hold all of it, `FLAGS_*`: the first two of {@link from} are A and B. */
  readonly kind?: number
  /**
   * Computes the other flags that are written, absent ones being clear. It may be called late or never: it takes nothing
   * but its arguments and constants.
   */
  flags(...from: readonly I64[]): Partial<FlagParts>
}

/** The arithmetic flags as a semantic function sets and reads them: lazily, from the last operation. */
export abstract class FlagContext extends MemoryContext {
  usesFlags = false
  protected abstract readonly flagStore: FlagStore

  /** After `result = a + b`; all sign-extended from the operand size. */
  flagsAdd(a: I64, b: I64, result: I64): void {
    this.usesFlags = true
    this.flagStore.set(S.FLAGS_ADD, a, b, result)
  }

  /** After `result = a - b`; all sign-extended. */
  flagsSub(a: I64, b: I64, result: I64): void {
    this.usesFlags = true
    this.flagStore.set(S.FLAGS_SUB, a, b, result)
  }

  /** CF = OF = AF = 0, the rest from the sign-extended result. */
  flagsLogic(result: I64): void {
    this.usesFlags = true
    this.flagStore.set(S.FLAGS_SUB, result, I64.of(0), result)
  }

  /** ZF, SF and PF from the sign-extended result; CF, AF and OF as given at their RFLAGS positions. */
  flagsResult(result: I64, bits: I64): void {
    this.usesFlags = true
    this.flagStore.set(S.FLAGS_RESULT, I64.of(0), bits, result)
  }

  /** All six as given at their RFLAGS positions; other bits must be clear. */
  flagsExplicit(bits: I64): void {
    this.usesFlags = true
    const known = this.let(bits)
    this.flagStore.set(S.FLAGS_EXPLICIT, I64.of(0), known, known.and(S.FLAG_ZF).eqz().toI64U())
  }

  /** Changes some flags, or on a condition. */
  changeFlags(change: FlagChange): void {
    this.usesFlags = true
    const { f } = this
    const { when, result, written, kind, from } = change
    if (kind !== undefined && result !== undefined) return this.flagStore.set(kind, from[0]!, from[1]!, result)
    const kept = S.FLAGS_ARITHMETIC & ~written
    const apply = (): void => {
      const own = flagsOf(change.flags(...change.from))
      const old = (): I32 => (kept === S.FLAG_CF ? this.carry() : this.allFlags().and(kept))
      const flags = (kept === 0 ? own : own.or(f.let(old()))).toI64U()
      if (result === undefined) this.flagsExplicit(flags)
      else this.flagsResult(result, flags)
    }
    if (when === undefined) apply()
    else f.if(when, apply)
  }

  /** The six arithmetic flags at their RFLAGS positions. */
  allFlags(): I32 {
    this.usesFlags = true
    const { kind, a, b, result } = this.flagStore
    if (kind.known !== undefined) return this.let(flagBits(kind.known, a, b, result))
    return this.f.call(this.library.flags, kind, a, b, result)
  }

  /** CF as 0 or 1. */
  carry(): I32 {
    this.usesFlags = true
    const { kind, a, b, result } = this.flagStore
    if (kind.known !== undefined) return this.let(flagParts(kind.known, a, b, result).carry)
    const { f } = this
    // As `flagParts` has it for each kind: INC and DEC, which keep CF, are too frequent for a call.
    const given = (): I32 =>
      f.ifElse(
        'i32',
        kind.eq(S.FLAGS_MULTIPLY),
        () => this.allFlags().and(S.FLAG_CF),
        () => b.toI32().and(S.FLAG_CF),
      )
    return f.ifElse(
      'i32',
      kind.eq(S.FLAGS_SUB),
      () => a.ltU(b),
      () => f.ifElse('i32', kind.eq(S.FLAGS_ADD), () => result.ltU(b), given),
    )
  }

  /** OF as 0 or 1. */
  overflow(): I32 {
    return this.condition(CC_O)
  }

  /** 1 if condition `code` (0–15, `CC_*`, odd = negated) holds, else 0. */
  condition(code: number): I32 {
    this.usesFlags = true
    const { kind, a, b, result } = this.flagStore
    const base = code & ~1
    const negate = (value: I32): I32 => ((code & 1) === 0 ? value : value.eqz())
    if (base === CC_E) return this.let(negate(result.eqz()))
    if (kind.known !== undefined && kind.known !== S.FLAGS_SUB) {
      return this.let(negate(conditionOf(base, flagParts(kind.known, a, b, result))))
    }
    const generic = (): I32 => {
      const flags = this.let(this.allFlags())
      const bit = (mask: number): I32 => flags.and(mask).ne(0)
      return conditionOf(base, {
        carry: bit(S.FLAG_CF),
        parity: bit(S.FLAG_PF),
        zero: bit(S.FLAG_ZF),
        sign: bit(S.FLAG_SF),
        overflow: bit(S.FLAG_OF),
        carryOrZero: bit(S.FLAG_CF | S.FLAG_ZF),
      })
    }
    const quick: Record<number, () => I32> = {
      [CC_B]: () => a.ltU(b),
      [CC_BE]: () => a.leU(b),
      [CC_S]: () => result.ltS(0),
      [CC_L]: () => a.ltS(b),
      [CC_LE]: () => a.leS(b),
    }
    const fast = quick[base]
    if (fast === undefined) return this.let(negate(generic()))
    return this.let(negate(this.f.ifElse('i32', kind.eq(S.FLAGS_SUB), fast, generic)))
  }
}
