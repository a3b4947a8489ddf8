import type { JitOptions } from '@retrap/x86-cpu'
import type { CompiledView } from '../inspection.ts'

type Code = Parameters<NonNullable<JitOptions['onCode']>>[0]

/** Most entries kept. */
const MOST = 64

/** Remembers the code that was compiled last. */
export class CompiledCodes {
  #count = 0
  #last: { readonly number: number; readonly code: Code }[] = []

  /** A machine starts anew. */
  clear(): void {
    this.#count = 0
    this.#last = []
  }

  /** For {@link JitOptions}. */
  readonly onCode = (code: Code): void => {
    this.#last.push({ number: this.#count++, code })
    if (this.#last.length > MOST) this.#last.shift()
  }

  /** Returns the entries, newest first. */
  list(): CompiledView[] {
    return this.#last
      .map(({ number, code: { bits, instructions, module } }) => ({ number, mode: bits, instructions, module }))
      .toReversed()
  }
}
