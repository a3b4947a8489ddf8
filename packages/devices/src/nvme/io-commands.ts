import {
  type BlockBackend,
  BlockError,
  type BlockErrorCode,
  type BlockProperties,
  type CancelSignal,
  type Dma,
  type SpareBuffers,
} from '@retrap/device'
import { NvmeCommand, DO_NOT_RETRY, STATUS } from './command.ts'
import { type DataPiece, findData, gather, PAGE_BYTES } from './data-pointer.ts'
import { MDTS, NAMESPACE } from './identify.ts'

/** Most bytes of one command's data. */
export const MOST_BYTES: number = PAGE_BYTES * 2 ** MDTS

const FLUSH = 0x00
const WRITE = 0x01
const READ = 0x02
const COMPARE = 0x05
const WRITE_ZEROES = 0x08
const DATASET_MANAGEMENT = 0x09

const ALL_NAMESPACES = 0xffff_ffff
const FORCE_UNIT_ACCESS = 0x4000_0000
const DEALLOCATE = 0x04
const RANGE_BYTES = 16

/** A part of the medium, in bytes. */
export interface MediumRange {
  readonly offset: number
  readonly bytes: number
}

/** The medium's part of a command. */
export interface NvmeJob {
  /** Null: the controller's own. */
  readonly command: NvmeCommand | null
  readonly kind: 'read' | 'write' | 'compare' | 'flush' | 'zeroes' | 'discard'
  /** Ranges of the medium: one, or several for `discard`. */
  readonly ranges: readonly MediumRange[]
  /** The bytes that are read, written, or compared with the medium. */
  readonly data: Uint8Array
  /** Destination of read data. */
  readonly pieces: readonly DataPiece[]
  /** Whether writes are durable on completion. */
  readonly durable: boolean
}

const NONE = new Uint8Array()

/** Makes all written data durable, for the controller itself. */
export const SHUTDOWN: NvmeJob = { command: null, kind: 'flush', ranges: [], data: NONE, pieces: [], durable: false }

/**
 * Reads a command of the NVM command set, and the data that it sends.
 *
 * Source: NVM Express 1.4, §6, "NVM Command Set".
 *
 * @param spare - lends a buffer for the command's data
 * @returns the request to the medium, or the status with which the command completes
 */
export function readCommand(
  command: NvmeCommand,
  properties: BlockProperties,
  dma: Dma,
  spare: SpareBuffers,
): NvmeJob | number {
  const { opcode, namespace } = command
  if (namespace !== NAMESPACE && !(opcode === FLUSH && namespace === ALL_NAMESPACES))
    return STATUS.INVALID_NAMESPACE | DO_NOT_RETRY
  if (command.isUnsupported) return STATUS.INVALID_FIELD | DO_NOT_RETRY
  if (properties.bytes === 0) return STATUS.NAMESPACE_NOT_READY | DO_NOT_RETRY
  const writes = opcode === WRITE || opcode === WRITE_ZEROES || opcode === DATASET_MANAGEMENT
  if (writes && properties.readOnly) return STATUS.WRITE_PROTECTED | DO_NOT_RETRY
  switch (opcode) {
    case FLUSH:
      return { ...SHUTDOWN, command }
    case READ:
      return transfer(command, 'read', properties, dma, spare)
    case WRITE:
      return transfer(command, 'write', properties, dma, spare)
    case COMPARE:
      return transfer(command, 'compare', properties, dma, spare)
    case WRITE_ZEROES: {
      const range = rangeOf(command, properties)
      if (range === null) return STATUS.LBA_OUT_OF_RANGE | DO_NOT_RETRY
      return { command, kind: 'zeroes', ranges: [range], data: NONE, pieces: [], durable: isDurable(command) }
    }
    case DATASET_MANAGEMENT:
      return manage(command, properties, dma)
    default:
      return STATUS.INVALID_OPCODE | DO_NOT_RETRY
  }
}

const isDurable = (command: NvmeCommand): boolean => (command.word(12) & FORCE_UNIT_ACCESS) !== 0

/** Starting block in words 10 and 11, count in word 12, from 0. @returns null behind the end */
function rangeOf(command: NvmeCommand, { bytes, blockBytes }: BlockProperties): MediumRange | null {
  const first = command.long(10)
  const count = (command.word(12) & 0xffff) + 1
  return first + count <= bytes / blockBytes ? { offset: first * blockBytes, bytes: count * blockBytes } : null
}

function transfer(
  command: NvmeCommand,
  kind: 'read' | 'write' | 'compare',
  properties: BlockProperties,
  dma: Dma,
  spare: SpareBuffers,
): NvmeJob | number {
  const range = rangeOf(command, properties)
  if (range === null) return STATUS.LBA_OUT_OF_RANGE | DO_NOT_RETRY
  if (range.bytes > MOST_BYTES) return STATUS.INVALID_FIELD | DO_NOT_RETRY
  const pieces: DataPiece[] = []
  const status = findData(dma, command.prp1, command.prp2, range.bytes, pieces)
  if (status !== STATUS.SUCCESS) return status | DO_NOT_RETRY
  const data = spare.take(range.bytes)
  if (kind !== 'read' && !gather(dma, pieces, data)) {
    spare.give(data)
    return STATUS.DATA_TRANSFER_ERROR
  }
  return { command, kind, ranges: [range], data, pieces, durable: isDurable(command) }
}

/** Dataset Management: a hint, but for ranges that may be deallocated. */
function manage(command: NvmeCommand, { bytes, blockBytes }: BlockProperties, dma: Dma): NvmeJob | number {
  const count = (command.word(10) & 0xff) + 1
  const list = new Uint8Array(count * RANGE_BYTES)
  const pieces: DataPiece[] = []
  const status = findData(dma, command.prp1, command.prp2, list.length, pieces)
  if (status !== STATUS.SUCCESS) return status | DO_NOT_RETRY
  if (!gather(dma, pieces, list)) return STATUS.DATA_TRANSFER_ERROR
  const view = new DataView(list.buffer)
  const ranges: MediumRange[] = []
  for (let at = 0; at < list.length; at += RANGE_BYTES) {
    const blocks = view.getUint32(at + 4, true)
    const first = view.getUint32(at + 8, true) + view.getUint32(at + 12, true) * 2 ** 32
    if (first + blocks > bytes / blockBytes) return STATUS.LBA_OUT_OF_RANGE | DO_NOT_RETRY
    if (blocks > 0) ranges.push({ offset: first * blockBytes, bytes: blocks * blockBytes })
  }
  const wanted = (command.word(11) & DEALLOCATE) !== 0
  return { command, kind: 'discard', ranges: wanted ? ranges : [], data: NONE, pieces: [], durable: false }
}

/** The medium's answer: an error, or whether compared data is equal (true for all else). */
export type NvmeAnswer = BlockErrorCode | boolean

/** Performs a job on the medium. Any exception counts as a failure of the medium. */
export async function perform(job: NvmeJob, medium: BlockBackend, signal: CancelSignal): Promise<NvmeAnswer> {
  try {
    return await request(job, medium, signal)
  } catch (error) {
    return codeOf(error)
  }
}

const codeOf = (error: unknown): BlockErrorCode => (error instanceof BlockError ? error.code : 'ERR_MEDIUM')

/** Moves data synchronously if the medium can. @returns undefined if {@link perform} has to do it */
export function performInPlace({ kind, ranges, data, durable }: NvmeJob, medium: BlockBackend): NvmeAnswer | undefined {
  const [range] = ranges
  if (range === undefined || range.bytes > medium.properties.maximumBytes) return undefined
  try {
    const isDone =
      kind === 'read'
        ? medium.readInPlace?.(range.offset, data)
        : kind === 'write' && !durable && medium.writeInPlace?.(range.offset, data)
    return isDone === true ? true : undefined
  } catch (error) {
    return codeOf(error)
  }
}

/** @returns whether compared data is equal; true for all other jobs */
async function request(job: NvmeJob, medium: BlockBackend, signal: CancelSignal): Promise<boolean> {
  const { kind, ranges, data, durable } = job
  if (kind === 'flush') {
    await medium.flush({ signal })
    return true
  }
  let isEqual = true
  for (const { offset, bytes } of ranges) {
    const most = largestPart(medium.properties, kind)
    for (let at = 0; at < bytes; at += most) {
      if (signal.aborted) return false
      const length = Math.min(most, bytes - at)
      const part = data.subarray(at, at + length)
      if (kind === 'read') await medium.read(offset + at, part, { signal })
      else if (kind === 'write') await medium.write(offset + at, part, { signal, durable })
      else if (kind === 'zeroes') await medium.writeZeroes(offset + at, length, { signal, durable })
      else if (kind === 'discard') await medium.discard(offset + at, length, { signal })
      else {
        const found = new Uint8Array(length)
        await medium.read(offset + at, found, { signal })
        isEqual &&= found.every((byte, i) => byte === part[i])
      }
    }
  }
  return isEqual
}

/** Ranges that carry no data are taken in larger parts, yet not as a whole: a request given up ends between two. */
const LARGEST_RANGE = 2 ** 28

function largestPart({ blockBytes, maximumBytes }: BlockProperties, kind: NvmeJob['kind']): number {
  const most = kind === 'discard' || kind === 'zeroes' ? Math.max(LARGEST_RANGE, maximumBytes) : maximumBytes
  return Math.max(1, Math.floor(most / blockBytes)) * blockBytes
}

const FAILURES: Readonly<Partial<Record<BlockErrorCode, number>>> = {
  ERR_RANGE: STATUS.LBA_OUT_OF_RANGE | DO_NOT_RETRY,
  ERR_READ_ONLY: STATUS.WRITE_PROTECTED | DO_NOT_RETRY,
  ERR_NO_SPACE: STATUS.CAPACITY_EXCEEDED | DO_NOT_RETRY,
  ERR_NO_MEDIUM: STATUS.NAMESPACE_NOT_READY | DO_NOT_RETRY,
  ERR_CANCELLED: STATUS.INTERNAL_ERROR,
}

/** The status that reports a failure of the medium. */
export function failureOf(kind: NvmeJob['kind'], code: BlockErrorCode): number {
  const known = FAILURES[code]
  if (known !== undefined) return known
  if (kind === 'read' || kind === 'compare') return STATUS.UNRECOVERED_READ
  return kind === 'flush' ? STATUS.INTERNAL_ERROR : STATUS.WRITE_FAULT
}

/** Saved form of an {@link NvmeJob}. The guest may have changed its command and its lists since they were read. */
export interface NvmeJobState extends Omit<NvmeJob, 'command'> {
  /** Submission queue and entry; null: the controller's own. */
  readonly command: { readonly queue: number; readonly bytes: readonly number[] } | null
  /** Bytes of the command's data. `data` holds the bytes only if they were read, or are still to be written or compared. */
  readonly bytes: number
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

/** Makes a job of its saved form. @param spare - lends a buffer for the data, which the state must not share */
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
