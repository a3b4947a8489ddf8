import { TWO_32 } from '@retrap/basics'
import {
  type BlockBackend,
  type BlockErrorCode,
  type DeviceContext,
  type Dma,
  LateAnswers,
  SpareBuffers,
  type Word64,
} from '@retrap/device'
import { performOn } from '../ata/medium-requests.ts'
import type { Taskfile } from '../ata/taskfile.ts'

const READ_FPDMA_QUEUED = 0x60
const WRITE_FPDMA_QUEUED = 0x61
const READ_DMA_EXT = 0x25
const WRITE_DMA_EXT = 0x35
const WRITE_DMA_FUA_EXT = 0x3d
export const READ_LOG_EXT = 0x2f
export const READ_LOG_DMA_EXT = 0x47
const FUA = 0x80
const LBA = 0x40
const ERROR_LOG = 0x10
const LOG_BYTES = 512

/**
 * Converts the registers of a queued command to the registers of the plain command for the same sectors.
 *
 * @returns the plain command's opcode; null for a command that is not queued
 *
 * Source: ATA8-ACS (T13/1699-D), "READ FPDMA QUEUED".
 */
export function queuedAsPlain(opcode: number, registers: Taskfile): number | null {
  if (opcode !== READ_FPDMA_QUEUED && opcode !== WRITE_FPDMA_QUEUED) return null
  // Queued commands hold the count in the feature field, and the tag, which equals the slot, in the count field.
  registers.count = registers.feature
  registers.previousCount = registers.previousFeature
  const durable = (registers.device & FUA) !== 0
  registers.device = LBA
  if (opcode === READ_FPDMA_QUEUED) return READ_DMA_EXT
  return durable ? WRITE_DMA_FUA_EXT : WRITE_DMA_EXT
}

/** Whether a frame has a queued command. */
const isQueued = ([, , opcode]: Uint8Array): boolean => opcode === READ_FPDMA_QUEUED || opcode === WRITE_FPDMA_QUEUED

/** Decodes a queued command's request. @param frame - a register frame to the device */
function queuedFlags(frame: Uint8Array): { write: boolean; durable: boolean; lba: number; sectors: number } {
  const low = frame[4]! | (frame[5]! << 8) | (frame[6]! << 16)
  const high = frame[8]! | (frame[9]! << 8) | (frame[10]! << 16)
  const count = frame[3]! | (frame[11]! << 8)
  return {
    write: frame[2] === WRITE_FPDMA_QUEUED,
    durable: (frame[7]! & FUA) !== 0,
    lba: high * 2 ** 24 + low,
    // 0 stands for the largest count.
    sectors: count === 0 ? 0x1_0000 : count,
  }
}

/** Whether READ LOG EXT asks for the page of queued commands that have failed. */
export const asksForQueuedError = ({ low, mid, count }: Taskfile): boolean =>
  low === ERROR_LOG && mid === 0 && count === 1

/**
 * The log page that says which queued command has failed.
 *
 * @param slot - slot of the command that failed; −1: none has failed
 *
 * Source: ATA8-ACS (T13/1699-D), "NCQ Command Error".
 */
export function queuedErrorLog(registers: Taskfile, slot: number): Uint8Array {
  const page = new Uint8Array(LOG_BYTES)
  // Bit 7: the command was not queued.
  page[0] = slot < 0 ? 0x80 : slot
  page.set([registers.status, registers.error, registers.low, registers.mid, registers.high, registers.device], 2)
  page.set([registers.previousLow, registers.previousMid, registers.previousHigh], 8)
  page.set([registers.count, registers.previousCount], 12)
  page[LOG_BYTES - 1] = -page.reduce((sum, byte) => sum + byte, 0)
  return page
}

const SECTOR = 512
/** Bytes of a command; a larger one is executed alone, in parts. 32 commands bound the host memory that a guest occupies. */
const MOST_BYTES = 2 << 20
const ENTRY_BYTES = 16
const COUNT_BITS = 0x3f_ffff
/** Entries of a data table that are read at a time. */
const ENTRIES = 64
/** Entries of a data table. A command with a longer one is executed alone: reading it takes the host's time. */
const MOST_ENTRIES = 2048

/** A queued command, whose data is moved at once. */
export interface QueuedTransfer {
  readonly slot: number
  /** Guest-physical address of the command's header. */
  readonly header: number
  readonly write: boolean
  /** A write is to be durable before it is answered. */
  readonly durable: boolean
  /** Offset on the medium, in bytes. */
  readonly offset: number
  /** Guest-physical address and bytes of each part of the data, in turn. */
  readonly pieces: readonly number[]
  readonly data: Uint8Array
}

/** The result of a request; null: success. */
type Result = BlockErrorCode | null

/** Saved form of one transfer of {@link QueuedTransfers}. */
export interface QueuedTransferState {
  readonly transfer: QueuedTransfer
  readonly result?: Result
  readonly deadline: Word64
}

/** The place of a slot's command in guest memory. */
export interface QueuedPlace {
  readonly slot: number
  readonly header: number
  /** Guest-physical address of the table that says where the data is. */
  readonly table: number
  readonly entries: number
}

/**
 * Queued commands at the medium, which end in any order.
 *
 * Source: Serial ATA 3.0, "Native Command Queuing".
 */
export class QueuedTransfers {
  readonly #dma: Dma
  readonly #medium: BlockBackend
  /** Pending transfers, which complete later. */
  readonly late: LateAnswers<QueuedTransfer, Result>
  readonly #spare = new SpareBuffers()
  readonly #list = new Uint8Array(ENTRIES * ENTRY_BYTES)
  readonly #words = new DataView(this.#list.buffer)

  /** @param answered - takes the end of a command, in virtual time */
  constructor(
    context: DeviceContext,
    medium: BlockBackend,
    mayMaster: () => boolean,
    answered: (transfer: QueuedTransfer, error: Result) => void,
  ) {
    this.#dma = context.dma
    this.#medium = medium
    this.late = new LateAnswers(context, {
      ask: ({ data, write, ...where }, signal) =>
        performOn(medium, data, { ...where, kind: write ? 'write' : 'read' }, signal),
      answer: (transfer, error) => {
        answered(transfer, error)
        // Not after a failure, because the medium may still access the buffer.
        if (error === null) this.#spare.give(transfer.data)
      },
      mayAnswer: mayMaster,
    })
  }

  /** Commands under way. */
  get count(): number {
    return this.late.count
  }

  /** Whether a slot's command is pending. */
  has(slot: number): boolean {
    return this.late.some((transfer) => transfer.slot === slot)
  }

  /**
   * Begins a command.
   *
   * @param frame - the frame that the command came in
   * @param writesThrough - every write is to be durable
   * @returns false for a command that must execute alone: it is not queued, cannot succeed, or has an unusual table
   */
  begin({ slot, header, table, entries }: QueuedPlace, frame: Uint8Array, writesThrough: boolean): boolean {
    if (!isQueued(frame)) return false
    const { write, durable, lba, sectors } = queuedFlags(frame)
    const { bytes: end, readOnly } = this.#medium.properties
    const bytes = sectors * SECTOR
    if (bytes > MOST_BYTES || lba + sectors > Math.floor(end / SECTOR) || (write && readOnly)) return false
    const pieces = this.#findData(table, entries, bytes)
    if (pieces === null) return false
    const data = this.#spare.take(bytes)
    if (write && !this.#move(pieces, data, false)) return false
    this.late.start({ slot, header, write, durable: durable || writesThrough, offset: lba * SECTOR, pieces, data })
    return true
  }

  /** Finds the data's places. @returns null if the table is too short, or an entry requests an interrupt */
  #findData(table: number, entries: number, bytes: number): number[] | null {
    const pieces: number[] = []
    let left = bytes
    for (let i = 0; i < Math.min(entries, MOST_ENTRIES) && left > 0; i++) {
      const at = i % ENTRIES
      if (at === 0) {
        const some = this.#list.subarray(0, Math.min(ENTRIES, entries - i) * ENTRY_BYTES)
        if (!this.#dma.read(table + i * ENTRY_BYTES, some)) return null
      }
      const control = this.#words.getUint32(at * ENTRY_BYTES + 12, true)
      if (control >>> 31 !== 0) return null
      const low = (this.#words.getUint32(at * ENTRY_BYTES, true) & ~1) >>> 0
      // Counts are even: bit 0 of the field is set.
      const length = Math.min(left, ((control & COUNT_BITS) | 1) + 1)
      pieces.push(this.#words.getUint32(at * ENTRY_BYTES + 4, true) * TWO_32 + low, length)
      left -= length
    }
    return left === 0 ? pieces : null
  }

  /** Copies read data into guest memory. @returns false if any byte is not RAM */
  deliver({ pieces, data }: QueuedTransfer): boolean {
    return this.#move(pieces, data, true)
  }

  #move(pieces: readonly number[], data: Uint8Array, toMemory: boolean): boolean {
    let done = 0
    for (let i = 0; i < pieces.length; i += 2) {
      const part = data.subarray(done, done + pieces[i + 1]!)
      if (!(toMemory ? this.#dma.write(pieces[i]!, part) : this.#dma.read(pieces[i]!, part))) return false
      done += part.length
    }
    return true
  }

  /** Cancels all commands. @param before - work of the host that later commands wait for, too */
  cancel(before: Promise<void> | null): void {
    if (before !== null) this.late.hold(before)
    this.late.cancel()
  }

  /** Resolves when the host has finished the present requests; null: none. */
  get pending(): Promise<void> | null {
    return this.late.busy ? this.late.ended() : null
  }

  /** Returns the pending commands as plain data. */
  save(): QueuedTransferState[] {
    return this.late.save().map(({ request, answer, deadline }) => ({
      transfer: { ...request, data: request.data.slice() },
      ...(answer !== undefined && { result: answer }),
      deadline,
    }))
  }

  /** Restores the transfers that `save` returned. */
  restore(state: readonly QueuedTransferState[]): void {
    // Buffers are used again later: the state keeps its own.
    const own = (transfer: QueuedTransfer): QueuedTransfer => {
      const data = this.#spare.take(transfer.data.length)
      data.set(transfer.data)
      return { ...transfer, data }
    }
    this.late.restore(
      state.map(({ transfer, result, deadline }) => ({ request: own(transfer), answer: result, deadline })),
    )
  }
}
