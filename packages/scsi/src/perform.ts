import { type BlockBackend, BlockError, type BlockErrorCode, type CancelSignal } from '@retrap/device'
import type { ScsiWork } from './scsi-unit.ts'
import { SENSE, type ScsiSense } from './sense.ts'

/** The medium of some work, and the data that moves. */
export interface ScsiTransfer {
  readonly medium: BlockBackend
  /** Bytes of the unit's blocks. */
  readonly blockBytes: number
  /** The bytes to write, or the place for the bytes that are read. */
  readonly data: Uint8Array
}

/** Bytes of one write when the same block is repeated. */
const LARGEST_SAME = 2 ** 20
/** Bytes of one request that carries no data. Ranges are cut to this size: a cancelled command ends between two requests. */
const LARGEST_RANGE = 2 ** 28

/**
 * Executes a command's requests on a medium.
 *
 * @returns why the command failed; null on success
 */
export async function performScsi(
  work: ScsiWork,
  transfer: ScsiTransfer,
  signal: CancelSignal,
): Promise<ScsiSense | null> {
  try {
    if (work.kind === 'flush') await transfer.medium.flush({ signal })
    else if (work.kind === 'same') await writeSame(work, transfer, signal)
    else await request(work, transfer, signal)
    return null
  } catch (error) {
    return senseOf(error instanceof BlockError ? error.code : 'ERR_MEDIUM', work.kind === 'blocks')
  }
}

async function writeSame(
  { first, count, block }: Extract<ScsiWork, { readonly kind: 'same' }>,
  { medium, blockBytes }: ScsiTransfer,
  signal: CancelSignal,
): Promise<void> {
  const most = Math.max(1, Math.floor(Math.min(medium.properties.maximumBytes, LARGEST_SAME) / blockBytes))
  const blocks = new Uint8Array(Math.min(most, count) * blockBytes)
  for (let at = 0; at < blocks.length; at += blockBytes) blocks.set(block, at)
  for (let done = 0; done < count; done += most) {
    if (signal.aborted) throw new BlockError('ERR_CANCELLED', 'the command was aborted')
    const part = blocks.subarray(0, Math.min(most, count - done) * blockBytes)
    await medium.write((first + done) * blockBytes, part, { signal })
  }
}

async function request(
  work: Exclude<ScsiWork, { readonly kind: 'flush' | 'same' }>,
  { medium, blockBytes, data }: ScsiTransfer,
  signal: CancelSignal,
): Promise<void> {
  const { maximumBytes, blockBytes: unit } = medium.properties
  const carries = work.kind === 'blocks' || work.kind === 'write'
  const largest = carries ? maximumBytes : Math.max(LARGEST_RANGE, maximumBytes)
  const most = Math.max(1, Math.floor(largest / unit)) * unit
  for (const { first, count } of carries ? [work] : work.ranges) {
    const offset = first * blockBytes
    const bytes = count * blockBytes
    for (let at = 0; at < bytes; at += most) {
      if (signal.aborted) throw new BlockError('ERR_CANCELLED', 'the command was aborted')
      const length = Math.min(most, bytes - at)
      const part = data.subarray(at, at + length)
      if (work.kind === 'blocks') await medium.read(offset + at, part, { signal })
      else if (work.kind === 'write') await medium.write(offset + at, part, { signal, durable: work.durable })
      else if (work.kind === 'zeroes') await medium.writeZeroes(offset + at, length, { signal })
      else await medium.discard(offset + at, length, { signal })
    }
  }
}

const SENSES: Readonly<Partial<Record<BlockErrorCode, ScsiSense>>> = {
  ERR_RANGE: SENSE.outOfRange,
  ERR_READ_ONLY: SENSE.readOnly,
  ERR_NO_SPACE: SENSE.noSpace,
  ERR_NO_MEDIUM: SENSE.noMedium,
  ERR_CANCELLED: SENSE.aborted,
}

/** Returns the sense data for a failure of the medium. */
export function senseOf(code: BlockErrorCode, isRead: boolean): ScsiSense {
  return SENSES[code] ?? (isRead ? SENSE.unreadable : SENSE.writeError)
}
