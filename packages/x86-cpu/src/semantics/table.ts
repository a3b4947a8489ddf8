import type { Context } from './context.ts'

/** What an operation does, over the emitter; one for all operand kinds and sizes. */
export interface Semantics {
  readonly emit: (c: Context) => void
  /**
   * The form makes one memory access at most, and nothing can fail after it: a synchronous device may be called straight
   * through (design.md, instruction contract, rule 3). Forms that modify memory are never direct, whatever stands here.
   */
  readonly direct?: boolean
  /** The simple cases are here, all others are left to the TypeScript handler of the same mnemonic (`Context.useHandler`). */
  readonly partial?: boolean
  /** It sets the flags in code that runs only sometimes; `changeFlags` with a condition does not count. */
  readonly conditionalFlags?: boolean
  /** With `partial`: units may hold the simple cases, which go on to the next instruction. */
  readonly compiled?: boolean
  /** With `partial`: units call the interpreter's function for the simple cases, which go on to the next instruction. */
  readonly called?: boolean
  /** With `partial`: the simple cases jump, perhaps to another privilege level. Units end with them. */
  readonly far?: boolean
  /** With `partial`: the simple cases follow Intel's rules; AMD's processors always use the handler. */
  readonly intel?: boolean
  /** With `partial`: processors without this feature always use the handler. */
  readonly feature?: string
}

/** Semantics by mnemonic, as x86-decoder spells it. */
export type SemanticsTable = Readonly<Record<string, Semantics>>
