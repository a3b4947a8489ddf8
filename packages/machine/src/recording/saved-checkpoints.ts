import { PAGE_BYTES } from '@retrap/memory'
import {
  type FileCheckpoint,
  type Recording,
  RecordingError,
  type RecordingWriter,
  type StoredCheckpoint,
} from '@retrap/recording'
import type { Checkpoints, CheckpointState, LogPosition } from './checkpoints.ts'

/** Bytes of checkpoints that a file has room for. */
const MOST_FILE_BYTES = 128 * 2 ** 20

/** Memory beside RAM that a checkpoint may have: firmware, and the ROM of devices. */
const MOST_ROM_BYTES = 256 * 2 ** 20

/** A file's facts about a checkpoint. */
interface FileState extends CheckpointState {
  readonly version: 1
  readonly round: number
  readonly piece: number
}

/** A checkpoint that a machine is made from. */
export interface StartingPoint extends CheckpointState {
  readonly instructions: number
  readonly position: LogPosition
  readonly pages: FileCheckpoint | StoredCheckpoint<unknown>
}

/**
 * Writes checkpoints to the end of a recording, after thinning them.
 *
 * @throws what writing threw
 */
export async function writeCheckpoints(writer: RecordingWriter, store: Checkpoints): Promise<void> {
  store.thin(MOST_FILE_BYTES, 1)
  await writer.addCheckpoints(store, (state, { round, piece }): FileState => ({
    version: 1,
    ...(state as CheckpointState),
    round,
    piece,
  }))
}

/**
 * Reads a checkpoint of a recording.
 *
 * @param memoryBytes - RAM of the machine
 * @throws RecordingError `ERR_DAMAGED`
 */
export async function readCheckpoint(
  recording: Recording,
  number: number,
  memoryBytes: number,
): Promise<StartingPoint> {
  const pages = await recording.checkpoint(number, (memoryBytes + MOST_ROM_BYTES) / PAGE_BYTES)
  const { state, position } = takenApart(recording, pages.state)
  const { instructions } = recording.checkpoints[number]!
  return { ...state, instructions, pages, position }
}

/** @throws RecordingError `ERR_DAMAGED` */
function takenApart(
  recording: Recording,
  state: unknown,
): { readonly state: CheckpointState; readonly position: LogPosition } {
  const { version, pc, parties, retired, round, piece, impaired = [], sent = [] } = (state ?? {}) as Partial<FileState>
  const isWhole =
    version === 1 && pc !== undefined && Array.isArray(parties) && Array.isArray(retired) && Array.isArray(impaired)
  if (
    !isWhole ||
    ![...retired, ...sent].every(isCount) ||
    !isCount(round) ||
    !isCount(piece) ||
    piece > recording.pieces
  )
    throw new RecordingError('ERR_DAMAGED', 'the recording has a checkpoint of another form')
  return { state: { pc, parties, retired, impaired, sent }, position: { round, piece, ahead: [], answers: [] } }
}

/** A checkpoint in memory that a machine is made from. */
export function storedCheckpoint(store: Checkpoints, number: number): StartingPoint {
  const pages = store.read(number)
  return { ...(pages.state as CheckpointState), instructions: pages.instructions, position: pages.extra, pages }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
