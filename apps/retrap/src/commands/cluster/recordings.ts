/** The recordings of a cluster's machines, and the file of a run that they become. */
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type ClusterRun,
  type MachineTime,
  type RunRecording,
  type TimedMachine,
  writeClusterRun,
} from '@retrap/cluster'
import { bundleOptions, type PcForkOptions } from '@retrap/machine'
import { troubled, troubleWith } from '../../errors.ts'
import type { MachineOptions, MachineSerial } from '../../machine/machine-contract.ts'
import { fileSource } from '../../machine/recording/recorded-file.ts'
import { recordRun } from '../../machine/recording/recorded-run.ts'
import type { SavedRun } from '../../machine/snapshots/snapshot-file.ts'

/** A machine of either board. */
export interface ForkedMachine extends TimedMachine {
  readonly domain: TimedMachine['domain'] & {
    readonly guestMemory: { read(gpa: number, into: Uint8Array): boolean }
    /** The sum of all vCPUs. */
    readonly instructions: number
  }
  /** From the first one on. */
  readonly serialPorts: readonly Pick<MachineSerial, 'onTransmit'>[]
  fork(options: PcForkOptions): Promise<ForkedMachine>
  /** Moves the clocks that the guest starts with: see `Pc`. */
  moveWallClock(ns: number): void
  close(): void
}

/** A machine, and the maker of timers from outside on its time. */
export interface MadeGuest {
  readonly machine: ForkedMachine
  readonly time: MachineTime
  /** Ends the machine. */
  close(): void
}

/** A file that takes bytes until it fails: the machine goes on, and nothing more is written. */
class Written {
  #file: FileHandle | undefined
  error: unknown

  async open(path: string): Promise<void> {
    await this.#attempt(async () => (this.#file = await open(path, 'w')))
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.error === undefined) await this.#attempt(() => this.#file!.writeFile(bytes))
  }

  async close(): Promise<void> {
    await this.#attempt(() => this.#file?.close())
  }

  async #attempt(act: () => Promise<unknown> | undefined): Promise<void> {
    try {
      await act()
    } catch (error) {
      this.error ??= error
    }
  }
}

/** Records a machine from power-on to its end. */
export interface GuestRecording {
  /** Makes a machine that is recorded. */
  record(options: MachineOptions): Promise<MadeGuest>
}

/** Time between two checkpoints: a recording has one of its begin, and one of its end. */
const NEVER_MS = 1e12

/** The recordings of machines of one thread, in a folder: each machine has a file. */
export class MachineRecordings {
  readonly #folder: string
  readonly #arguments: readonly string[]
  readonly #all: Written[] = []
  readonly #ends: Promise<void>[] = []

  constructor({ folder, given }: RecordedHow) {
    this.#folder = folder
    this.#arguments = given
  }

  /** The recording of a machine's start. @param name - as the run's file calls it */
  of(name: string): GuestRecording {
    return { record: (options) => this.#record(name, options) }
  }

  async #record(name: string, options: MachineOptions): Promise<MadeGuest> {
    const written = new Written()
    this.#all.push(written)
    await written.open(join(this.#folder, name))
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

  /** Waits for the machines that have ended. @returns why the recording of one could not be written; undefined: all were */
  async ended(): Promise<string | undefined> {
    await Promise.all(this.#ends)
    const failed = this.#all.find(({ error }) => error !== undefined)
    return failed && troubleWith(failed.error, 'write')
  }
}

/** The way in which machines are recorded. */
export interface RecordedHow {
  /** The folder that gets a file for each start of a machine. */
  readonly folder: string
  /** The command line. */
  readonly given: readonly string[]
}

/** A host whose machines can be recorded. */
export interface RecordingHost {
  /** Records machines whose starts name a recording, until `recorded`. */
  record(how: RecordedHow): void
  /** Waits for the recordings of the machines that have ended. @returns why one could not be written; undefined: all were */
  recorded(): Promise<string | undefined>
}

/** The file of a run, and beside it until that is written a folder of recordings. */
export class RunRecordings {
  readonly #path: string
  readonly #host: RecordingHost
  #trouble: Promise<string | undefined> | undefined

  private constructor(path: string, host: RecordingHost) {
    this.#path = path
    this.#host = host
  }

  /** Has a host record its machines. @param given - the command line @throws CliError `ERR_INPUT` for a file that cannot be written */
  static async open(path: string, given: readonly string[], host: RecordingHost): Promise<RunRecordings> {
    const recordings = new RunRecordings(path, host)
    const folder = recordings.#folder
    const refuse = troubled(`--record ${path}`, 'write')
    await rm(folder, { recursive: true, force: true }).catch(refuse)
    await mkdir(folder).catch(refuse)
    host.record({ folder, given })
    return recordings
  }

  get #folder(): string {
    return `${this.#path}.parts`
  }

  /** Writes the file of a run whose machines have ended. @returns why it could not be written; undefined: it was */
  async write(run: ClusterRun): Promise<string | undefined> {
    const partial = `${this.#path}.partial`
    const told = (why: string): string => `the run could not be recorded in ${this.#path}: ${why}`
    const trouble = await this.#ended()
    if (trouble !== undefined) return told(trouble)
    try {
      const file = await open(partial, 'w')
      try {
        const names = run.machines.flatMap(({ starts }) => starts.flatMap(({ recording }) => recording ?? []))
        await writeClusterRun(run, this.#each(names), (bytes) => file.writeFile(bytes))
      } finally {
        await file.close()
      }
      await rename(partial, this.#path)
      return undefined
    } catch (error) {
      await rm(partial, { force: true })
      return told(troubleWith(error, 'write'))
    }
  }

  /** Recordings for the run's file. A recording's own file is removed once it was read. */
  async *#each(names: readonly string[]): AsyncGenerator<RunRecording> {
    for (const name of names) {
      const path = join(this.#folder, name)
      // oxlint-disable-next-line no-await-in-loop -- one after another
      const source = await fileSource(path)
      try {
        yield { name, source }
      } finally {
        // oxlint-disable-next-line no-await-in-loop -- as above
        await source.close()
      }
      // oxlint-disable-next-line no-await-in-loop -- as above
      await rm(path)
    }
  }

  #ended(): Promise<string | undefined> {
    return (this.#trouble ??= this.#host.recorded())
  }

  /** Removes what is left. */
  async close(): Promise<void> {
    await this.#ended().catch(() => undefined)
    await rm(this.#folder, { recursive: true, force: true })
  }
}
