import type { SpareBuffers } from '@retrap/device'
import { NvmeCommand } from './command.ts'
import type { DataPiece } from './data-pointer.ts'
import type { MediumRange, NvmeAnswer, NvmeJob } from './io-commands.ts'

/** Saved form of an {@link NvmeJob}. The guest may have changed its command and its lists since they were read. */
export interface NvmeJobState {
  /** Submission queue and entry; null: the controller's own. */
  readonly command: { readonly queue: number; readonly bytes: readonly number[] } | null
  readonly kind: NvmeJob['kind']
  readonly ranges: readonly MediumRange[]
  readonly pieces: readonly Readonly<DataPiece>[]
  readonly durable: boolean
  /** Bytes of its data. */
  readonly bytes: number
  /** The bytes that were read, or are still to be written or compared. */
  readonly data: Uint8Array
}

/** Saves a job. @param answer - the medium's, if it has answered */
export function savedJob(job: NvmeJob, answer: NvmeAnswer | undefined): NvmeJobState {
  const { command, kind, ranges, pieces, durable, data } = job
  const isNeeded = kind === 'read' ? answer === true : answer === undefined
  return {
    command: command === null ? null : { queue: command.queue, bytes: [...command.bytes] },
    kind,
    ranges,
    pieces: pieces.map((piece) => ({ ...piece })),
    durable,
    bytes: data.length,
    data: isNeeded ? data.slice() : data.slice(0, 0),
  }
}

/** The job of a saved one. @param spare - lends the buffer for its data, which is not the state's */
export function restoredJob(state: NvmeJobState, spare: SpareBuffers): NvmeJob {
  const { command, kind, ranges, pieces, durable, bytes } = state
  const data = bytes === 0 ? new Uint8Array() : spare.take(bytes)
  data.set(state.data)
  return {
    command: command === null ? null : new NvmeCommand(command.queue, Uint8Array.from(command.bytes)),
    kind,
    ranges,
    data,
    pieces: pieces.map((piece) => ({ ...piece })),
    durable,
  }
}
