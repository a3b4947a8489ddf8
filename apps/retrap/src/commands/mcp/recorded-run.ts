import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Pc, ReplayDebugger } from '@retrap/machine'
import type { ArmMachine } from '@retrap/machine/arm'
import { readAt } from '../../machine/recording/recorded-file.ts'
import type { RecordedBoard, WriteRecording } from './boards.ts'
import { ToolError } from './tool-error.ts'

/** Most bytes of a recording, which contains all data that a guest reads from its disks. */
const MOST_BYTES = 2 ** 31

/** A debugger of a machine of either board that goes back. */
export type PastDebugger = ReplayDebugger<Pc> | ReplayDebugger<ArmMachine>

/** A machine's run, recorded into a file of its own that goes with the machine. */
export interface RecordedRun {
  /** The machine. */
  readonly board: RecordedBoard
  /** Returns a debugger of the run so far. */
  debugger(): Promise<PastDebugger>
  /** Ends the recording. The machine does not run any more. */
  end(): Promise<void>
}

/** @param record - makes the machine */
export async function recordRun(record: (write: WriteRecording) => Promise<RecordedBoard>): Promise<RecordedRun> {
  const file = await createFile()
  try {
    const board = await record((bytes) => file.write(bytes))
    return {
      board,
      debugger: () => board.recorder.debugger({ read: (at, bytes) => file.read(at, bytes) }),
      async end() {
        // The file is removed: bytes that could not be written are not needed.
        await board.recorder.end().catch(() => {})
        await file.close()
      },
    }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Makes a file in a private folder that other users cannot read. */
async function createFile() {
  const folder = await mkdtemp(join(tmpdir(), 'retrap-mcp-'))
  const file = await open(join(folder, 'run.recording'), 'wx+', 0o600)
  let length = 0
  return {
    async write(bytes: Uint8Array): Promise<void> {
      if (length + bytes.length > MOST_BYTES)
        throw new ToolError(
          'ERR_LIMIT',
          `the recording has more than ${MOST_BYTES} bytes: boot without record, or record a fork`,
        )
      const at = length
      length += bytes.length
      for (let done = 0; done < bytes.length;) {
        done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten
      }
    },
    read: (at: number, bytes: number): Promise<Uint8Array> =>
      readAt(file, at, Math.max(0, Math.min(bytes, length - at))),
    async close(): Promise<void> {
      await file.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
