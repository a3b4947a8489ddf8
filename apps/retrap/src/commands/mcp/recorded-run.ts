import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Pc, PcRecorder, ReplayDebugger } from '@retrap/machine'
import { ToolError } from './tool-error.ts'

/** Most bytes of a recording, which contains all data that a guest reads from its disks. */
const MOST_BYTES = 2 ** 31

/** A machine's run, recorded into a file of its own that goes with the machine. */
export class RecordedRun {
  readonly #recorder: PcRecorder
  readonly #file: RecordingFile

  private constructor(recorder: PcRecorder, file: RecordingFile) {
    this.#recorder = recorder
    this.#file = file
  }

  /** @param record - makes the machine */
  static async begin(
    record: (write: (bytes: Uint8Array) => Promise<void>) => Promise<PcRecorder>,
  ): Promise<RecordedRun> {
    const file = await RecordingFile.create()
    try {
      return new RecordedRun(await record((bytes) => file.write(bytes)), file)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  get pc(): Pc {
    return this.#recorder.pc
  }

  /** Returns a debugger of the run so far. */
  debugger(): Promise<ReplayDebugger> {
    return this.#recorder.debugger({ read: (at, bytes) => this.#file.read(at, bytes) })
  }

  /** Ends the recording. The machine does not run any more. */
  async end(): Promise<void> {
    // The file is removed: what could not be written is not needed.
    await this.#recorder.end().catch(() => {})
    await this.#file.close()
  }
}

/** A file in a private folder that other users cannot read. */
class RecordingFile {
  readonly #folder: string
  readonly #file: FileHandle
  #bytes = 0

  private constructor(folder: string, file: FileHandle) {
    this.#folder = folder
    this.#file = file
  }

  static async create(): Promise<RecordingFile> {
    const folder = await mkdtemp(join(tmpdir(), 'retrap-mcp-'))
    return new RecordingFile(folder, await open(join(folder, 'run.recording'), 'wx+', 0o600))
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#bytes + bytes.length > MOST_BYTES)
      throw new ToolError(
        'ERR_LIMIT',
        `the recording has more than ${MOST_BYTES} bytes: boot without record, or record a fork`,
      )
    const at = this.#bytes
    this.#bytes += bytes.length
    for (let done = 0; done < bytes.length;) {
      // oxlint-disable-next-line no-await-in-loop -- a write may take only a part
      done += (await this.#file.write(bytes, done, bytes.length - done, at + done)).bytesWritten
    }
  }

  async read(at: number, bytes: number): Promise<Uint8Array> {
    const into = new Uint8Array(Math.max(0, Math.min(bytes, this.#bytes - at)))
    const { bytesRead } = await this.#file.read(into, 0, into.length, at)
    return into.subarray(0, bytesRead)
  }

  async close(): Promise<void> {
    await this.#file.close()
    await rm(this.#folder, { recursive: true, force: true })
  }
}
