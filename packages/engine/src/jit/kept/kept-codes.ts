import type { CodeSource } from '../unit-code.ts'
import { decodeCode, encodeCode } from './code-format.ts'
import type { CodeStore } from './code-store.ts'

/** Code that was kept, ready to be executed. */
export interface LoadedCode {
  /** The code's name in its store. */
  readonly id: number
  readonly source: CodeSource
  /** The module in the binary format. */
  readonly module: Uint8Array<ArrayBuffer>
}

/** The compiler's side of a store of code: what comes from there is checked, and dropped where it is damaged. */
export class KeptCodes {
  readonly #store: CodeStore

  constructor(store: CodeStore) {
    this.#store = store
  }

  /** Returns whether there may be code with a key. */
  has(key: number): boolean {
    return this.#store.has(key)
  }

  /**
   * Loads code with a key, the newest first, each when it is asked for.
   *
   * @param isThere - whether code of a name has been loaded already
   */
  *load(key: number, isThere: (id: number) => boolean): Generator<LoadedCode> {
    for (const stored of this.#store.find(key).toReversed()) {
      const { id } = stored
      if (isThere(id)) continue
      const bytes = stored.read()
      const code = bytes && decodeCode(bytes)
      if (code?.source.key === key) yield { id, ...code }
      else this.#store.drop(id)
    }
  }

  /** Keeps code. @param instead - names the code that it is better than @returns what names it */
  add(source: CodeSource, module: Uint8Array, instead: number | undefined): number {
    return this.#store.add(source.key, encodeCode(source, module), instead)
  }

  /** Drops code that cannot be executed. */
  drop(id: number): void {
    this.#store.drop(id)
  }
}

/** Makes a module of code that was kept. @throws what `WebAssembly.Module` throws; a TypeError where it exports no unit */
export function unitModule(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  const module = new WebAssembly.Module(bytes)
  const exported = WebAssembly.Module.exports(module)
  if (exported.length !== 1 || exported[0]!.name !== 'unit' || exported[0]!.kind !== 'function')
    throw new TypeError('a module that is no unit')
  return module
}
