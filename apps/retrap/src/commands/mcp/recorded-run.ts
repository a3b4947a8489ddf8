import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Pc, ReplayDebugger } from '@retrap/machine'
import type { ArmMachine } from '@retrap/machine/arm'
import type { RecordedBoard, WriteRecording } from './boards.ts'
import { ToolError } from './tool-error.ts'

/** Most bytes of a recording, which contains all data that a guest reads from its disks. */
const MOST_BYTES = 2 ** 31

/** A debugger of a machine of either board that goes back. */
export type PastDebugger = ReplayDebugger<Pc> | ReplayDebugger<ArmMachine>

/** A machine's run, recorded into a file of its own that goes with the machine. */
export class RecordedRun {
  /** The machine. */
  readonly board: RecordedBoard
  readonly #file: RecordingFile

  private constructor(board: RecordedBoard, file: RecordingFile) {
    this.board = board
    this.#file = file
  }

  /** @param record - makes the machine */
  static async begin(record: (write: WriteRecording) => Promise<RecordedBoard>): Promise<RecordedRun> {
    const file = await RecordingFile.create()
    try {
      return new RecordedRun(await record((bytes) => file.write(bytes)), file)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** Returns a debugger of the run so far. */
  debugger(): Promise<PastDebugger> {
    return this.board.recorder.debugger({ read: (at, bytes) => this.#file.read(at, bytes) })
  }

  /** Ends the recording. The machine does not run any more. */
  async end(): Promise<void> {
    // The file is removed: bytes that could not be written are not needed.
    await this.board.recorder.end().catch(() => {})
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
