import { type BlockBackend, BlockError, type CancelSignal } from '@retrap/device'
import { SENSE, type ScsiOutcome, type ScsiSense } from './scsi-unit.ts'

/** Outcomes that are work of the medium. */
export type ScsiWork = Exclude<ScsiOutcome, { readonly kind: 'good' | 'failed' | 'data' }>

/** Ranges that carry no data are taken in larger parts, yet not as a whole: a request given up ends between two. */
const LARGEST_RANGE = 2 ** 28

/**
 * Has a medium do what a command asks for.
 *
 * @param data - what is written, or where to put what is read
 * @returns why it failed; null: it is done
 */
export async function work(
  outcome: ScsiWork,
  {
    medium,
    blockBytes,
    data,
  }: { readonly medium: BlockBackend; readonly blockBytes: number; readonly data: Uint8Array },
  signal: CancelSignal,
): Promise<ScsiSense | null> {
  try {
    if (outcome.kind === 'flush') await medium.flush({ signal })
    else await request(outcome, { medium, blockBytes, data }, signal)
    return null
  } catch (error) {
    return failure(outcome, error instanceof BlockError ? error.code : 'ERR_MEDIUM')
  }
}

async function request(
  outcome: Exclude<ScsiWork, { readonly kind: 'flush' }>,
  {
    medium,
    blockBytes,
    data,
  }: { readonly medium: BlockBackend; readonly blockBytes: number; readonly data: Uint8Array },
  signal: CancelSignal,
): Promise<void> {
  const { maximumBytes, blockBytes: unit } = medium.properties
  const carries = outcome.kind === 'blocks' || outcome.kind === 'write'
  const largest = carries ? maximumBytes : Math.max(LARGEST_RANGE, maximumBytes)
  const most = Math.max(1, Math.floor(largest / unit)) * unit
  for (const { first, count } of carries ? [outcome] : outcome.ranges) {
    const offset = first * blockBytes
    const bytes = count * blockBytes
    for (let at = 0; at < bytes; at += most) {
      if (signal.aborted) throw new BlockError('ERR_CANCELLED', 'the command was aborted')
      const length = Math.min(most, bytes - at)
      const part = data.subarray(at, at + length)
      /* oxlint-disable no-await-in-loop -- one after the other: each has the largest size that the medium takes */
      if (outcome.kind === 'blocks') await medium.read(offset + at, part, { signal })
      else if (outcome.kind === 'write') await medium.write(offset + at, part, { signal, durable: outcome.durable })
      else if (outcome.kind === 'zeroes') await medium.writeZeroes(offset + at, length, { signal })
      else await medium.discard(offset + at, length, { signal })
      /* oxlint-enable no-await-in-loop */
    }
  }
}

function failure({ kind }: ScsiWork, code: BlockError['code']): ScsiSense {
  switch (code) {
    case 'ERR_RANGE':
      return SENSE.outOfRange
    case 'ERR_READ_ONLY':
      return SENSE.readOnly
    case 'ERR_NO_SPACE':
      return SENSE.noSpace
    case 'ERR_NO_MEDIUM':
      return SENSE.noMedium
    case 'ERR_CANCELLED':
      return SENSE.aborted
    default:
      return kind === 'blocks' ? SENSE.unreadable : SENSE.writeError
  }
}
