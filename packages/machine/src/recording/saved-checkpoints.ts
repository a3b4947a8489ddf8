import type { GuestPages, GuestPageSource } from '@retrap/hvm'
import { CheckpointStore, type Recording, RecordingError, type RecordingWriter } from '@retrap/recording'
import type { Checkpoints, CheckpointState, LogPosition } from './checkpoints.ts'

/** Bytes of checkpoints that a file has room for, before they are compressed: of the last one's state, and of the others. */
const MOST_FILE_BYTES = 192 * 2 ** 20

/** Memory beside RAM that a checkpoint may have: firmware, and the ROM of devices. */
const MOST_ROM_BYTES = 256 * 2 ** 20

/** What a file says of a checkpoint. */
interface FileState extends CheckpointState {
  readonly version: 1
  readonly round: number
  readonly piece: number
}

/** A checkpoint that a machine is made from. */
export interface StartingPoint extends CheckpointState {
  readonly instructions: number
  readonly position: LogPosition
  readonly pages: GuestPages | GuestPageSource
}

/**
 * Writes checkpoints to the end of a recording, the last one first. The checkpoints are thinned for it.
 *
 * @throws what writing threw
 */
export async function writeCheckpoints(writer: RecordingWriter, store: Checkpoints): Promise<void> {
  store.thin(MOST_FILE_BYTES, 1)
  const stateOf = (state: unknown, { round, piece }: LogPosition): FileState => ({
    version: 1,
    ...(state as CheckpointState),
    round,
    piece,
  })
  for (const [at, checkpoint] of store.fromLast(stateOf)) {
    writer.checkpoint(at, checkpoint)
    // One after the other: the copies of all would take as much memory again.
    // oxlint-disable-next-line no-await-in-loop
    await writer.settled()
  }
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
  const { state, pages } = await recording.checkpoint(number, mostPages(memoryBytes))
  const { state: found, extra } = takenApart(recording, state)
  const { instructions } = recording.checkpoints[number]!
  return { ...found, instructions, pages, position: extra }
}

/** Reads all checkpoints of a recording into memory, as far as there is room; none where one of them is damaged. */
export async function loadCheckpoints(recording: Recording, memoryBytes: number): Promise<Checkpoints> {
  const store: Checkpoints = new CheckpointStore()
  try {
    await recording.loadCheckpoints(store, (state) => takenApart(recording, state), mostPages(memoryBytes))
    return store
  } catch {
    // It shows where it is needed: questions that do without it have their answers.
    return new CheckpointStore()
  }
}

const mostPages = (memoryBytes: number): number => (memoryBytes + MOST_ROM_BYTES) / 4096

/** @throws RecordingError `ERR_DAMAGED` */
function takenApart(
  recording: Recording,
  state: unknown,
): { readonly state: CheckpointState; readonly extra: LogPosition } {
  const { version, pc, parties, retired, round, piece } = (state ?? {}) as Partial<FileState>
  const isWhole = version === 1 && pc !== undefined && Array.isArray(parties) && Array.isArray(retired)
  if (!isWhole || !retired.every(isCount) || !isCount(round) || !isCount(piece) || piece > recording.pieces)
    throw new RecordingError('ERR_DAMAGED', 'the recording has a checkpoint of another form')
  return { state: { pc, parties, retired }, extra: { round, piece, ahead: [], answers: [] } }
}

/** A checkpoint in memory that a machine is made from. */
export function storedCheckpoint(store: Checkpoints, number: number): StartingPoint {
  const pages = store.read(number)
  return { ...(pages.state as CheckpointState), instructions: pages.instructions, position: pages.extra, pages }
}

/** Puts a checkpoint of a file into memory, behind nothing else: the ones that are taken next follow it. */
export function keepCheckpoint(
  store: Checkpoints,
  { instructions, pc, parties, retired, position, pages }: StartingPoint,
): void {
  const contents = new Map<number, Uint8Array>()
  for (const [i, gfn] of pages.gfns.entries())
    contents.set(gfn, 'contents' in pages ? pages.contents(i) : pages.bytes.subarray(4096 * i, 4096 * (i + 1)))
  store.clear()
  store.add({ round: position.round, instructions }, { pc, parties, retired }, contents, position)
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
