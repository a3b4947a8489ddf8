/** The recording of a run, which is left where the run fails. */
import { randomInt } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { bundleOptions, type PcRecorder, stateOnClock } from '@retrap/machine'
import type { ArmRecorder } from '@retrap/machine/arm'
import { troubled, troubleWith } from '../../errors.ts'
import type { Machine, MachineOptions, MachineSnapshotSource } from '../../machine/machine-contract.ts'
import { recordRun } from '../../machine/recording/recorded-run.ts'
import type { SavedRun } from '../../machine/snapshots/snapshot-file.ts'

/** A recording that is written while a machine runs. The file gets its final name when complete. */
export class FailureRecording {
  readonly #path: string
  readonly #partial: string
  readonly #arguments: readonly string[]
  readonly #file: FileHandle
  #bytes = 0
  #recorder: PcRecorder | ArmRecorder | undefined
  /** The error of the first write that has failed: the program goes on, and nothing more is written. */
  #error: unknown

  private constructor(path: string, given: readonly string[], file: FileHandle) {
    this.#path = path
    this.#partial = `${path}${PARTIAL}`
    this.#arguments = given
    this.#file = file
  }

  /** @param given - the command line @throws CliError `ERR_INPUT` for a file that cannot be written */
  static async open(path: string, given: readonly string[]): Promise<FailureRecording> {
    const file = await open(`${path}${PARTIAL}`, 'w').catch(troubled(`--record-on-failure ${path}`, 'write'))
    return new FailureRecording(path, given, file)
  }

  /** Makes a machine whose run is recorded, on deterministic time. A second recording replaces the first. */
  async record(given: MachineOptions): Promise<Machine> {
    // Each run gets different random numbers.
    const after = randomInt(2 ** 32)
    const { snapshot } = given
    const state = snapshot && stateOnClock(snapshot.state, 'deterministic', after)
    const options: MachineOptions = {
      ...{ ...given, clock: 'deterministic', generation: { after } },
      ...(snapshot && { snapshot: { ...snapshot, state } as MachineSnapshotSource }),
    }
    await this.#file.truncate(0)
    this.#bytes = 0
    const { options: bundle, images } = bundleOptions(options)
    const about: SavedRun = {
      ...{ version: 1, arguments: this.#arguments, savedAt: new Date().toISOString() },
      ...{ bundle, images: images.length },
    }
    // The program's time does not run ahead of the user's.
    const how = { about, images, keepsPace: true }
    this.#recorder = await recordRun(options, (bytes) => this.#write(bytes), how)
    return this.#recorder.machine
  }

  async #write(bytes: Uint8Array): Promise<void> {
    if (this.#error !== undefined) return
    try {
      for (let at = 0; at < bytes.length;) {
        // oxlint-disable-next-line no-await-in-loop -- the file takes a part of it
        const { bytesWritten } = await this.#file.write(bytes, at, bytes.length - at, this.#bytes)
        at += bytesWritten
        this.#bytes += bytesWritten
      }
    } catch (error) {
      this.#error = error
    }
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
      if (this.#error !== undefined) throw this.#error
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

const PARTIAL = '.partial'
