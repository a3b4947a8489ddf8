import type { CodeSource } from '../unit-code.ts'
import { decodeCode, encodeCode } from './code-format.ts'

/** Compiled code in a {@link CodeStore}. */
export interface StoredCode {
  /** Identity of the code in its store. */
  readonly id: number
  /** Reads the stored code; undefined if it is gone. The bytes come from outside, and may be damaged. */
  read(): Uint8Array | undefined
}

/**
 * Compiled code that is kept between runs. All of it is for the same instruction set and {@link CodeKeeper.open}'s
 * configuration. Its methods do not throw, and take no more time than reading a few KiB.
 */
export interface CodeStore {
  /** Returns whether there may be code with a key: called for each instruction that is decoded. */
  has(key: number): boolean
  /** Returns the code with a key, the newest last. */
  find(key: number): readonly StoredCode[]
  /**
   * Adds code.
   *
   * @param code - the store's from now on
   * @param instead - the code that it is better than, which may go
   * @returns the code's identity
   */
  add(key: number, code: Uint8Array, instead: number | undefined): number
  /** Drops code that is damaged, or not usable. */
  drop(id: number): void
}

/** Opens stores of compiled code. Machines of one process may share one keeper. */
export interface CodeKeeper {
  /**
   * Opens the store of code for an instruction set. The keeper tells apart the versions of the packages that generate code; the
   * configuration has a hash of the interpreter that they generate, not of all that compiles.
   *
   * @param instructionSet - its name: `x86`, `arm64`
   * @param configuration - all else that code depends on beside the guest's bytes: only code of the same may be found
   * @returns undefined if no store is available
   */
  open(instructionSet: string, configuration: string): CodeStore | undefined
}

/** Code that was kept, ready to be executed. */
export interface LoadedCode {
  /** Identity of the code in its store. */
  readonly id: number
  readonly source: CodeSource
  /** The module in the binary format. */
  readonly module: Uint8Array<ArrayBuffer>
}

/** The compiler's interface to a store of code: stored code is checked, and dropped if damaged. */
export class KeptCodes {
  readonly store: CodeStore

  constructor(store: CodeStore) {
    this.store = store
  }

  /**
   * Loads code with a key, the newest first, each when it is asked for.
   *
   * @param isThere - whether code of a name has been loaded already
   */
  *load(key: number, isThere: (id: number) => boolean): Generator<LoadedCode> {
    for (const stored of this.store.find(key).toReversed()) {
      const { id } = stored
      if (isThere(id)) continue
      const bytes = stored.read()
      const code = bytes && decodeCode(bytes)
      if (code?.source.key === key) yield { id, ...code }
      else this.store.drop(id)
    }
  }

  /** Stores code. @param instead - identity of the worse code to replace @returns identity of the stored code */
  add(source: CodeSource, module: Uint8Array, instead: number | undefined): number {
    return this.store.add(source.key, encodeCode(source, module), instead)
  }
}

/** Makes a module of stored code. @throws errors of `WebAssembly.Module`; a TypeError if the module exports no unit */
export function unitModule(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  const module = new WebAssembly.Module(bytes)
  const exported = WebAssembly.Module.exports(module)
  if (exported.length !== 1 || exported[0]!.name !== 'unit' || exported[0]!.kind !== 'function')
    throw new TypeError('a module that is no unit')
  return module
}
