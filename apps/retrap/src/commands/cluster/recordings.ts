/** The file of a cluster's run, which the recordings of its machines become. */
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type ClusterRun, type RunRecording, writeClusterRun } from '@retrap/cluster'
import { troubled, troubleWith } from '@retrap/linux-guest/errors'
import type { RecordedHow } from '../../jobs/recordings.ts'
import { fileSource } from '../../machine/recording/recorded-file.ts'

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
        // A container has the recording of its machine.
        const names = new Set(run.machines.flatMap(({ starts }) => starts.flatMap(({ recording }) => recording ?? [])))
        await writeClusterRun(run, this.#each([...names]), (bytes) => file.writeFile(bytes))
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
      const source = await fileSource(path)
      try {
        yield { name, source }
      } finally {
        await source.close()
      }
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
