import { plainLine } from '@retrap/basics'

/** Reasons of a {@link SymbolsError}. */
export type SymbolsErrorCode = 'ERR_DAMAGED' | 'ERR_MISSING' | 'ERR_UNSUPPORTED'

/** Thrown for a file of symbols that cannot be read. */
export class SymbolsError extends Error {
  /** The class’s name. */
  override readonly name: string = 'SymbolsError'
  /** Stable code to switch on. */
  readonly code: SymbolsErrorCode
  /** The mistake, without the kind of file. */
  readonly reason: string

  constructor(code: SymbolsErrorCode, file: string, reason: string) {
    super(plainLine(`${file}: ${reason}`))
    this.code = code
    this.reason = reason
  }
}
