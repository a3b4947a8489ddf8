import { shownName } from '@retrap/block/node'
import { BlockError } from '@retrap/device'
import { CliError } from '../cli-error.ts'

/** Waits for what reads or writes an image file. @throws CliError `ERR_INPUT`, with the file's name, where the host's file fails */
export async function naming<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof BlockError)) throw error
    const what = error.code === 'ERR_NO_SPACE' ? 'there is no room for it: ' : ''
    throw new CliError('ERR_INPUT', `${shownName(path)}: ${what}${error.message}`)
  }
}
