import { CliError } from './cli-error.ts'

/** Where the listing goes: a stream of Node's, as far as it matters here. */
export interface ListingOutput {
  readonly isTTY?: boolean
  write(data: string | Uint8Array): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  once(event: 'drain', listener: () => void): unknown
}

const CHUNK_LENGTH = 1 << 16

/** Writes lines as fast as they are taken, and stops when nobody takes them any more. */
export function printLines(lines: Iterable<string>, output: ListingOutput): Promise<void> {
  return printText(joinLines(lines), output)
}

function* joinLines(lines: Iterable<string>): Generator<string, void> {
  let chunk = ''
  for (const line of lines) {
    chunk += `${line}\n`
    if (chunk.length < CHUNK_LENGTH) continue
    yield chunk
    chunk = ''
  }
  yield chunk
}

/** As `printLines`, for text in pieces of any length. */
export async function printText(pieces: Iterable<string | Uint8Array>, output: ListingOutput): Promise<void> {
  let failure: Error | undefined
  let wake: (() => void) | undefined
  output.on('error', (error) => {
    failure = error
    wake?.()
  })
  for (const piece of pieces) {
    if (piece.length > 0 && output.write(piece) === false && failure === undefined) {
      // oxlint-disable-next-line no-await-in-loop -- one piece after the other
      await new Promise<void>((resolve) => {
        wake = resolve
        output.once('drain', resolve)
      })
    }
    // A reader such as head has seen enough.
    if (failure !== undefined) break
  }
  if (failure !== undefined && (!('code' in failure) || failure.code !== 'EPIPE')) {
    throw new CliError('ERR_INPUT', `cannot write the output: ${(failure as Error).message}`)
  }
}
