import { plainLine, printable } from '@retrap/basics'
import { CliError } from '@retrap/linux-guest/errors'

/** The output of a listing: a stream of Node's, as far as used here. */
export interface ListingOutput {
  readonly isTTY?: boolean
  write(data: string | Uint8Array): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  once(event: 'drain', listener: () => void): unknown
  setMaxListeners?(count: number): unknown
}

const MESSAGE = /^([\r\n]*)(retrap: [^]*?)([\r\n]*)$/

/**
 * Makes a text of ours plain, whatever it quotes: control characters are escaped. A text that begins with `retrap: ` is one line, and no
 * line within another text begins so: that would look like a message of ours.
 */
export function plainText(text: string): string {
  const [, before, message, after] = MESSAGE.exec(text) ?? []
  if (message !== undefined) return `${before}${plainLine(message, Infinity)}${after}`
  const lines = text.split('\r\n').map(printable).join('\r\n')
  return lines.replaceAll(/(?<=[\r\n])retrap:/g, ' retrap:')
}

/** {@link plainText}; bytes, which are a guest's, stay. */
const plain = <T>(data: T): T | string => (typeof data === 'string' ? plainText(data) : data)

/** A line of a listing, whatever it quotes. */
export const plainListed = (line: string): string => `${plainLine(line, Infinity)}\n`

/** An output whose texts, which are ours, give a terminal no orders, whatever they quote. Bytes, which are a guest's, stay. */
export function plainOutput<T extends { write(data: string | Uint8Array, ...more: never[]): unknown }>(output: T): T {
  return new Proxy(output, {
    get(target, key) {
      if (key === 'write')
        return (data: string | Uint8Array, ...more: never[]): unknown => target.write(plain(data), ...more)
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

const CHUNK_LENGTH = 1 << 16

/** Writes lines as fast as the output takes them, and stops when it is closed. */
export function printLines(lines: Iterable<string>, output: ListingOutput): Promise<void> {
  return printText(joinLines(lines), output)
}

function* joinLines(lines: Iterable<string>): Generator<string, void> {
  let chunk = ''
  for (const line of lines) {
    chunk += plainListed(line)
    if (chunk.length < CHUNK_LENGTH) continue
    yield chunk
    chunk = ''
  }
  yield chunk
}

/** Prints as `printLines`, for text in pieces of any length. */
export async function printText(pieces: Iterable<string | Uint8Array>, output: ListingOutput): Promise<void> {
  const printer = new Printer(output)
  for (const piece of pieces) {
    const taken = printer.print(piece)
    if (taken !== undefined) await taken
    // The reader, such as head, has closed the pipe.
    if (printer.hasFailed) break
  }
  await printer.end()
}

/** Prints a command's messages. A failed output does not stop the work: `end` reports it. */
export class Printer {
  readonly #output: ListingOutput
  #failure: Error | undefined
  #taken: Promise<void> | undefined
  #wake: (() => void) | undefined

  constructor(output: ListingOutput) {
    this.#output = output
    // A command prints many listings, each with a listener for errors.
    output.setMaxListeners?.(0)
    output.on('error', (error) => {
      this.#failure ??= error
      this.#wake?.()
    })
  }

  /** Whether the output takes nothing more. */
  get hasFailed(): boolean {
    return this.#failure !== undefined
  }

  /** Prints a piece. @returns undefined if the output takes more at once, otherwise a promise for that moment; never rejects */
  print(piece: string | Uint8Array): Promise<void> | undefined {
    if (piece.length === 0 || this.#failure !== undefined) return this.#taken
    if (this.#output.write(plain(piece)) === false) this.#taken ??= this.#drained()
    return this.#taken
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#taken = undefined
        resolve()
      }
      this.#wake = wake
      this.#output.once('drain', wake)
    })
  }

  /**
   * Waits until the output has taken everything.
   *
   * @throws CliError `ERR_INPUT` where the output could not be written; a reader that went away is no error
   */
  async end(): Promise<void> {
    await this.#taken
    const failure = this.#failure
    if (failure === undefined || ('code' in failure && failure.code === 'EPIPE')) return
    throw new CliError('ERR_INPUT', `cannot write the output: ${failure.message}`)
  }
}
