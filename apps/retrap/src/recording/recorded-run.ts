import { openRecording } from '@retrap/recording'
import { CliError } from '../cli-error.ts'
import type { SavedRun } from '../snapshots/snapshot-file.ts'
import { fileSource } from './session-recording.ts'

/** Reads what a recording says of its run. @throws CliError `ERR_INPUT`; RecordingError */
export async function readRecordedRun(path: string): Promise<SavedRun> {
  const file = await fileSource(path)
  let description: unknown
  try {
    ;({ description } = await openRecording(file))
  } finally {
    await file.close()
  }
  const { about } = (description ?? {}) as { readonly about?: Partial<SavedRun> | null }
  if (
    about?.version !== 1 ||
    !Array.isArray(about.arguments) ||
    !about.arguments.every((one) => typeof one === 'string')
  )
    throw new CliError('ERR_INPUT', `${path}: this recording is of no run of retrap; its program replays it`)
  return about as SavedRun
}
