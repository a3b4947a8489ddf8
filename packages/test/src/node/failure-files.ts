import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Pc } from '@retrap/machine'
import type { ArmMachine } from '@retrap/machine/arm'
import { type TestMachine, describeFailure, exploreFaults, type FaultOptions, TestError } from '../index.ts'
import type { BegunMachine } from '../instant.ts'
import type { FailureFiles } from '../failure.ts'

/** Names of the files that a failing test leaves in its folder. */
export const FILES = {
  serial: 'serial.txt',
  screen: 'screen.png',
  recording: 'run.recording',
} as const

/**
 * Writes a failed test's files, and ends its recording.
 *
 * @param test - its machine, which has been stopped permanently
 * @param folder - folder, which is emptied first
 * @param failure - the test and why it has failed, for readers of the recording
 * @throws errors of the host's file system
 */
export async function writeFailure<Machine extends Pc | ArmMachine>(
  { test, begun }: { readonly test: TestMachine<Machine>; readonly begun: Pick<BegunMachine<Machine>, 'recording'> },
  folder: string,
  failure?: string,
): Promise<FailureFiles> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const pathOf = (name: keyof typeof FILES): string => join(folder, FILES[name])
  await writeFile(pathOf('serial'), test.printed)
  const picture = await test.screenshot()
  if (picture !== undefined) await writeFile(pathOf('screen'), picture)
  const recording = await begun.recording(failure)
  if (recording !== undefined) await writeFile(pathOf('recording'), recording.bytes)
  return {
    folder,
    serial: pathOf('serial'),
    screen: picture === undefined ? undefined : pathOf('screen'),
    recording: recording === undefined ? undefined : pathOf('recording'),
    notBundled: recording?.notBundled,
  }
}

/** Options for testing a driver with faults, and the folder for a failure's files. */
interface FaultTestOptions extends FaultOptions {
  /** The folder of a failure; default `temp/retrap/faults`. It is emptied. */
  readonly outputFolder?: string | undefined
}

/**
 * Tests a driver with faults of its devices, and writes the output and recording of the first failed schedule.
 *
 * @returns number of passed schedules
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
