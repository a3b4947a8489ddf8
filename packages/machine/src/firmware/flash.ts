import type { BlockBackend } from '@retrap/device'
import { MachineError } from '../errors.ts'

/** A flash memory that firmware is in. */
export interface MachineFlash {
  /** Medium with the contents, in whole blocks of 4 KiB. The guest's changes are written to it, in order. */
  readonly medium: BlockBackend
  /** Default: whether the medium is. */
  readonly readOnly?: boolean | undefined
  /** Only processors in system-management mode write to it; needs `smm`. Default false. */
  readonly secure?: boolean | undefined
}

const MOST = 2
const LARGEST_BYTES = 8 << 20
/** The alignment of large device memory in the machine's. */
const ALIGNMENT = 2 << 20
const LEGACY_BYTES = 128 << 10

/**
 * Reads the contents of flash memories.
 *
 * @throws MachineError `ERR_OPTION` for too many flash memories; `BlockError` of a medium
 */
export async function loadFlash(list: readonly MachineFlash[], largest: number = LARGEST_BYTES): Promise<Uint8Array[]> {
  const bytes = list.reduce((sum, { medium }) => sum + medium.properties.bytes, 0)
  if (list.length > MOST || bytes > largest) {
    const found = `${list.length} of ${bytes} bytes together`
    throw new MachineError('ERR_OPTION', `flash: ${found}: expected at most ${MOST}, of ${largest} bytes`)
  }
  return Promise.all(
    list.map(async ({ medium }) => {
      const contents = new Uint8Array(medium.properties.bytes)
      const { maximumBytes } = medium.properties
      for (let at = 0; at < contents.length; at += maximumBytes) {
        await medium.read(at, contents.subarray(at, at + maximumBytes))
      }
      return contents
    }),
  )
}

/** Machine memory that flash memories take at most. */
export const flashRoom = (loaded: readonly Uint8Array[]): number =>
  loaded.reduce((sum, { length }) => sum + length + ALIGNMENT, 0)

/** The end of the first flash, which is seen below 1 MiB too. */
export const flashBelowOneMib = ([first]: readonly Uint8Array[]): Uint8Array | undefined =>
  first?.subarray(-LEGACY_BYTES)
