import { CliError } from './cli-error.ts'

/** Where the listing goes: a stream of Node's, as far as it matters here. */
export interface ListingOutput {
  readonly isTTY?: boolean
  write(data: string): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  once(event: 'drain', listener: () => void): unknown
}

const CHUNK_LENGTH = 1 << 16

/** Writes lines as fast as they are taken, and stops when nobody takes them any more. */
export async function printLines(text: Iterable<string>, output: ListingOutput): Promise<void> {
  let failure: Error | undefined
  let wake: (() => void) | undefined
  output.on('error', (error) => {
    failure = error
    wake?.()
  })
  const send = async (chunk: string): Promise<void> => {
    if (output.write(chunk) !== false || failure !== undefined) return
    await new Promise<void>((resolve) => {
      wake = resolve
      output.once('drain', resolve)
    })
  }
  let chunk = ''
  for (const line of text) {
    chunk += `${line}\n`
    if (chunk.length < CHUNK_LENGTH) continue
    // oxlint-disable-next-line no-await-in-loop -- one chunk after the other
    await send(chunk)
    chunk = ''
    // A reader such as head has seen enough.
    if (failure !== undefined) break
  }
  if (failure === undefined && chunk !== '') await send(chunk)
  if (failure !== undefined && (!('code' in failure) || failure.code !== 'EPIPE')) {
    throw new CliError('ERR_INPUT', `the listing could not be written: ${(failure as Error).message}`)
  }
}
