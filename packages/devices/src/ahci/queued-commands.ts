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
export const isQueued = ([, , opcode]: Uint8Array): boolean =>
  opcode === READ_FPDMA_QUEUED || opcode === WRITE_FPDMA_QUEUED

/** Decodes a queued command's request. @param frame - a register frame to the device */
export function queuedFlags(frame: Uint8Array): { write: boolean; durable: boolean; lba: number; sectors: number } {
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
