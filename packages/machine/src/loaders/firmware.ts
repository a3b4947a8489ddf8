import { FOUR_GIB } from '@retrap/basics'
import { PAGE_BYTES } from '@retrap/memory'
import { LoaderError } from './errors.ts'
import { resetState, type InitialState } from './guest.ts'

/** A read-only mapping of part of a firmware image. */
export interface FirmwareRegion {
  /** Guest-physical address of the first byte. */
  readonly gpa: number
  /** Length in bytes. */
  readonly bytes: number
  /** Offset of the part within the image. */
  readonly offset: number
}

/** A firmware image with its load addresses. */
export interface LoadedFirmware {
  /** The whole image up to 4 GiB, and its end once more up to 1 MiB. */
  readonly regions: readonly FirmwareRegion[]
  /** Registers of the first processor. */
  readonly state: InitialState
}

const ONE_MIB = 0x10_0000
const LIMIT = 16 * ONE_MIB
const LEGACY_BYTES = 128 * 1024

/**
 * Lays out a flat firmware image as the ROM of a PC: it ends at 4 GiB, where
 * the reset vector is, and its last 128 KiB are seen below 1 MiB too.
 *
 * @param signature - CPUID leaf 1 EAX, which processors hold in EDX after reset
 * @throws LoaderError `ERR_FIELD` for a size that cannot be mapped
 */
export function loadFirmware(image: Uint8Array, signature = 0): LoadedFirmware {
  if (image.length === 0 || image.length > LIMIT || image.length % PAGE_BYTES !== 0)
    throw new LoaderError(
      'ERR_FIELD',
      'firmware size',
      `${image.length} bytes`,
      `whole 4 KiB pages, at most ${LIMIT} bytes`,
    )
  return {
    regions: [{ gpa: FOUR_GIB - image.length, bytes: image.length, offset: 0 }, belowOneMib(image.length)],
    state: resetState(signature),
  }
}

/** The region below 1 MiB that shows the end of an image of this many bytes. */
export function belowOneMib(imageBytes: number): FirmwareRegion {
  const bytes = Math.min(imageBytes, LEGACY_BYTES)
  return { gpa: ONE_MIB - bytes, bytes, offset: imageBytes - bytes }
}
