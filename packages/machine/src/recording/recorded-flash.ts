import { fromBase64, toBase64 } from '@retrap/basics'
import { BlockError, type BlockBackend } from '@retrap/device'
import { RecordingError } from '@retrap/recording'
import { loadFlash, type MachineFlash } from '../firmware/flash.ts'

/** A flash memory at the start of a run: plain data. */
export interface FlashFacts {
  readonly readOnly: boolean
  /** Contents, in Base64, without the last bytes where those are alike: an Arm board's flash is mostly empty. */
  readonly contents: string
  /** Bytes of all of it, which end with the last byte of `contents`. Absent: those are all. */
  readonly bytes?: number
}

const MOST_READ_BYTES = 1 << 20
/** Bytes of the largest flash memory: one of an Arm board's. */
const MOST_BYTES = 64 << 20
/** The unit of a PC's flash memories. */
const BLOCK_BYTES = 4096

/** Reads the contents of flash memories, for a recording. @throws as `loadFlash` */
export async function flashFacts(list: readonly MachineFlash[] = []): Promise<FlashFacts[]> {
  const loaded = await loadFlash(list, Infinity)
  return list.map(({ medium, readOnly }, i) => ({
    readOnly: readOnly ?? medium.properties.readOnly,
    ...shortened(loaded[i]!),
  }))
}

function shortened(all: Uint8Array): Pick<FlashFacts, 'bytes' | 'contents'> {
  let end = all.length
  while (end > 1 && all[end - 2] === all[end - 1]) end--
  return { contents: toBase64(all.subarray(0, end)), bytes: all.length }
}

/**
 * Flash memories with the contents that a recording has: their media are left alone.
 *
 * @param facts - the facts in the recording's file
 * @throws RecordingError `ERR_DAMAGED`
 */
export function recordedFlash(list: readonly MachineFlash[], facts: readonly FlashFacts[] | undefined): MachineFlash[] {
  try {
    return list.map((flash, i) => {
      const { readOnly, contents, bytes: length } = facts![i]!
      const kept = fromBase64(contents)
      if (length !== undefined && !(length >= kept.length && length <= MOST_BYTES))
        throw new TypeError(`${length} bytes`)
      const bytes = new Uint8Array(length ?? kept.length).fill(kept.at(-1) ?? 0)
      bytes.set(kept)
      // The firmware of an Arm board may have any size: the erased rest of its flash is behind it.
      const isWhole = bytes.length % BLOCK_BYTES === 0 || bytes.length === flash.medium.properties.bytes
      if (typeof readOnly !== 'boolean' || bytes.length === 0 || !isWhole)
        throw new TypeError(`flash ${i}: ${bytes.length} bytes`)
      return { ...flash, readOnly, medium: keptMedium(bytes, readOnly) }
    })
  } catch (error) {
    throw new RecordingError('ERR_DAMAGED', 'the recording has a flash memory of another form', { cause: error })
  }
}

/** A medium with the given contents, which discards writes. */
function keptMedium(bytes: Uint8Array, readOnly: boolean): BlockBackend {
  const forget = async (): Promise<void> => undefined
  return {
    properties: {
      bytes: bytes.length,
      blockBytes: 1,
      physicalBlockBytes: 1,
      maximumBytes: MOST_READ_BYTES,
      readOnly,
      discards: false,
    },
    async read(offset, into) {
      if (offset + into.length > bytes.length)
        throw new BlockError('ERR_RANGE', `${offset}: a flash of ${bytes.length}`)
      into.set(bytes.subarray(offset, offset + into.length))
    },
    write: forget,
    flush: forget,
    discard: forget,
    writeZeroes: forget,
    onChange: () => () => undefined,
  }
}
