import { ByteWriter } from './bytes.ts'
import { WasmEmitterError } from './errors.ts'

/** Writers of complete functions, which the next functions use: a module has thousands of functions. */
const spare: ByteWriter[] = []

/** The code of a function that is being built. */
export class FunctionBody {
  readonly #name: string
  #code: ByteWriter | undefined = spare.pop() ?? new ByteWriter()
  #codeBytes = 0
  /** Statements that belong at a position of the code. */
  #later: { readonly at: number; readonly build: () => void }[] = []

  /** @param name - the function's name, for errors */
  constructor(name: string) {
    this.#name = name
  }

  /** The writer that takes the next statement. */
  get code(): ByteWriter {
    if (this.#code === undefined) throw new WasmEmitterError('ERR_STRUCTURE', `${this.#name} is complete already`)
    return this.#code
  }

  /** Number of code bytes so far. */
  get codeBytes(): number {
    return this.#code?.length ?? this.#codeBytes
  }

  /** Has {@link FunctionBody.emitLater} insert statements here. */
  later(build: () => void): void {
    this.#later.push({ at: this.code.length, build })
  }

  /** Inserts the statements that {@link FunctionBody.later} put off. */
  emitLater(): void {
    const old = this.code
    const later = this.#later
    if (later.length === 0) return
    this.#later = []
    this.#replace()
    const whole = this.code
    let from = 0
    for (const { at, build } of later) {
      whole.appendRange(old, from, at)
      build()
      from = at
    }
    whole.appendRange(old, from, old.length)
    giveBack(old)
  }

  /** Puts statements before all others, also of {@link FunctionBody.later}. */
  prepend(build: () => void): void {
    this.emitLater()
    const old = this.#replace()
    build()
    this.code.append(old)
    giveBack(old)
  }

  /** Writes the code and its end. The function takes nothing more after that. */
  finish(out: ByteWriter): void {
    const { code } = this
    out.append(code)
    out.u8(0x0b)
    this.#codeBytes = code.length
    this.#code = undefined
    giveBack(code)
  }

  /** Goes on in an empty writer. @returns the writer until now */
  #replace(): ByteWriter {
    const old = this.code
    this.#code = spare.pop() ?? new ByteWriter()
    return old
  }
}

function giveBack(writer: ByteWriter): void {
  writer.clear()
  spare.push(writer)
}
