/** The recordings of a cluster's machines, and the file of a run that they become. */
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type ClusterRun,
  type MachineTime,
  type RunRecording,
  type TimedMachine,
  writeClusterRun,
} from '@retrap/cluster'
import { bundleOptions } from '@retrap/machine'
import { CliError, troubleWith } from '../../errors.ts'
import type { MachineOptions } from '../../machine/machine-contract.ts'
import { recordRun } from '../../machine/recording/recorded-run.ts'
import type { SavedRun } from '../../machine/snapshots/snapshot-file.ts'

/** A machine of either board. */
export interface ForkedMachine extends TimedMachine {
  readonly domain: TimedMachine['domain'] & { readonly guestMemory: { read(gpa: number, into: Uint8Array): boolean } }
  statistics(): { readonly instructions: number }
  fork(options: Pick<MachineOptions, 'drives' | 'virtio' | 'generation'>): Promise<ForkedMachine>
  close(): void
}

/** A machine, and the maker of timers from outside on its time. */
export interface MadeGuest {
  readonly machine: ForkedMachine
  readonly time: MachineTime
  /** Ends the machine. */
  close(): void
}

/** A file that takes bytes until a write fails: the machine goes on, and nothing more is written. */
class Written {
  readonly #file: FileHandle
  bytes = 0
  error: unknown

  constructor(file: FileHandle) {
    this.#file = file
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.error !== undefined) return
    try {
      await this.#file.writeFile(bytes)
      this.bytes += bytes.length
    } catch (error) {
      this.error = error
    }
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

/** Records a machine from power-on to its end. */
export interface GuestRecording {
  /** Makes a machine that is recorded. */
  record(options: MachineOptions): Promise<MadeGuest>
}

/** Time between two checkpoints: a recording has one of its begin, and one of its end. */
const NEVER_MS = 1e12

/** The recordings of a run's machines, in files beside the run's own until that is written. */
export class RunRecordings {
  readonly #path: string
  readonly #arguments: readonly string[]
  readonly #all = new Map<string, Written>()
  readonly #ends: Promise<void>[] = []

  private constructor(path: string, given: readonly string[]) {
    this.#path = path
    this.#arguments = given
  }

  /** @param given - the command line @throws CliError `ERR_INPUT` for a file that cannot be written */
  static async open(path: string, given: readonly string[]): Promise<RunRecordings> {
    const recordings = new RunRecordings(path, given)
    try {
      await rm(recordings.#folder, { recursive: true, force: true })
      await mkdir(recordings.#folder)
      return recordings
    } catch (error) {
      throw new CliError('ERR_INPUT', `--record ${path}: ${troubleWith(error, 'write')}`)
    }
  }

  get #folder(): string {
    return `${this.#path}.parts`
  }

  /** The recording of a machine's start. @param name - as the run's file calls it */
  of(name: string): GuestRecording {
    return { record: (options) => this.#record(name, options) }
  }

  async #record(name: string, options: MachineOptions): Promise<MadeGuest> {
    const written = new Written(await open(join(this.#folder, name), 'w'))
    this.#all.set(name, written)
    const { options: bundle, images } = bundleOptions(options)
    const about: SavedRun = {
      ...{ version: 1, arguments: this.#arguments, savedAt: new Date().toISOString() },
      ...{ bundle, images: images.length },
    }
    const how = { about, images, isTimed: true, checkpointMs: NEVER_MS }
    const recorder = await recordRun(options, (bytes) => written.write(bytes), how)
    const machine = recorder.machine as unknown as ForkedMachine
    const end = async (): Promise<void> => {
      try {
        await recorder.end()
      } catch (error) {
        written.error ??= error
      } finally {
        machine.close()
        await written.close()
      }
    }
    return { machine, time: recorder, close: () => void this.#ends.push(end()) }
  }

  /** Writes the file of a run whose machines have ended. @returns why it could not be written; undefined: it was */
  async write(run: ClusterRun): Promise<string | undefined> {
    await Promise.all(this.#ends)
    const partial = `${this.#path}.partial`
    try {
      const failed = [...this.#all.values()].find(({ error }) => error !== undefined)
      if (failed !== undefined) throw failed.error
      const file = await open(partial, 'w')
      try {
        const names = run.machines.flatMap(({ starts }) => starts.flatMap(({ recording }) => recording ?? []))
        await writeClusterRun(
          run,
          names.map((name) => this.#moved(name)),
          (bytes) => file.writeFile(bytes),
        )
      } finally {
        await file.close()
      }
      await rename(partial, this.#path)
      return undefined
    } catch (error) {
      await rm(partial, { force: true })
      return `the run could not be recorded in ${this.#path}: ${troubleWith(error, 'write')}`
    }
  }

  /** A recording for the run's file. Its own file is removed once it was read. */
  #moved(name: string): RunRecording {
    const path = join(this.#folder, name)
    const pieces = async function* (): AsyncGenerator<Uint8Array> {
      yield* createReadStream(path) as AsyncIterable<Uint8Array>
      await rm(path)
    }
    return { name, bytes: this.#all.get(name)!.bytes, pieces: pieces() }
  }

  /** Removes what is left. */
  async close(): Promise<void> {
    await Promise.all(this.#ends)
    await rm(this.#folder, { recursive: true, force: true })
  }
}
