/** The recording of a run, which is left where the run fails. */
import { randomInt } from 'node:crypto'
import { rename, rm } from 'node:fs/promises'
import { type PcRecorder, stateOnClock } from '@retrap/machine'
import type { ArmRecorder } from '@retrap/machine/arm'
import { troubled, troubleWith } from '@retrap/linux-guest/errors'
import { RecordingFile } from '../../jobs/recordings.ts'
import type { Machine, MachineOptions, MachineSnapshotSource } from '@retrap/linux-guest/machine/machine-contract'
import { recordBundled } from '../../machine/recording/recorded-run.ts'

/** A recording that is written while a machine runs. The file gets its final name when complete. */
export class FailureRecording {
  readonly #path: string
  readonly #partial: string
  readonly #arguments: readonly string[]
  readonly #file = new RecordingFile()
  #recorder: PcRecorder | ArmRecorder | undefined

  private constructor(path: string, given: readonly string[]) {
    this.#path = path
    this.#partial = `${path}.partial`
    this.#arguments = given
  }

  /** @param given - the command line @throws CliError `ERR_INPUT` for a file that cannot be written */
  static async open(path: string, given: readonly string[]): Promise<FailureRecording> {
    const recording = new FailureRecording(path, given)
    await recording.#file.open(recording.#partial)
    const { error } = recording.#file
    return error === undefined ? recording : troubled(`--record-on-failure ${path}`, 'write')(error)
  }

  /** Makes a machine whose run is recorded, on deterministic time. A second recording replaces the first. */
  async record(given: MachineOptions): Promise<Machine> {
    // Each run gets different random numbers.
    const after = randomInt(2 ** 32)
    const { snapshot } = given
    const state = snapshot && stateOnClock(snapshot.state, 'deterministic', after)
    const options: MachineOptions = {
      ...given,
      clock: 'deterministic',
      generation: { after },
      ...(snapshot && { snapshot: { ...snapshot, state } as MachineSnapshotSource }),
    }
    await this.#file.open(this.#partial)
    // The program's time does not run ahead of the user's.
    const how = { keepsPace: true }
    this.#recorder = await recordBundled(options, (bytes) => this.#file.write(bytes), this.#arguments, how)
    return this.#recorder.machine
  }

  /**
   * Leaves the recording of a run that has failed; the machine is still there, and does not run.
   *
   * @param failure - why, for people
   * @returns a line that names the recording's file
   */
  async keep(failure: string): Promise<string> {
    const recorder = this.#recorder
    this.#recorder = undefined
    try {
      recorder?.history.fail(failure)
      await recorder?.end()
      if (this.#file.error !== undefined) throw this.#file.error
      await rename(this.#partial, this.#path)
      return `the run is recorded in ${this.#path}: retrap replay ${this.#path}, or retrap web --recording ${this.#path}`
    } catch (error) {
      return `the recording ${this.#path} could not be written: ${troubleWith(error, 'write')}`
    }
  }

  /** Removes the recording unless it was kept. */
  async close(): Promise<void> {
    await this.#file.close()
    await rm(this.#partial, { force: true })
  }

  /** Ends a recording that nobody wants; the machine does not run. */
  discard(): void {
    this.#recorder?.discard()
    this.#recorder = undefined
  }
}
