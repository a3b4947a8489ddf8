import { rm } from 'node:fs/promises'
import { describeFailure, exploreFaults, type FaultOptions, TestError } from '../index.ts'
import { writeFailure } from './failure-files.ts'

/** How a driver is tested with faults, and where a failure leaves its files. */
export interface FaultTestOptions extends FaultOptions {
  /** The folder of a failure; default `temp/retrap/faults`. It is emptied. */
  readonly outputFolder?: string | undefined
}

/**
 * Tests a driver with faults of its devices, and leaves behind what the first schedule that fails has printed, and its recording.
 *
 * @returns how many schedules have passed
 * @throws TestError `ERR_FAULT`: it names the seed, the schedule, the faults and the files; as `exploreFaults`
 */
export async function testFaults(options: FaultTestOptions): Promise<number> {
  const { outputFolder = 'temp/retrap/faults' } = options
  const { schedules, failure } = await exploreFaults(options)
  if (failure === undefined) {
    await rm(outputFolder, { recursive: true, force: true })
    return schedules
  }
  const { begun, test, message, error } = failure
  try {
    const files = await writeFailure(failure, outputFolder, message)
    const command = `replayFailure('${outputFolder}', { pc }, { onListening }) of @retrap/test/node; no device’s program is needed`
    const left = describeFailure(test.printed, files, command, undefined)
    throw new TestError('ERR_FAULT', `${message}\n${left}`, { cause: error })
  } finally {
    begun.end()
  }
}
