import type { BlockErrorCode, BlockProperties } from '@retrap/device'

/** The properties of a drive without a medium. */
export const NO_MEDIUM: BlockProperties = {
  bytes: 0,
  blockBytes: 512,
  physicalBlockBytes: 512,
  maximumBytes: 1 << 20,
  readOnly: true,
  discards: false,
}

/** Failures of media, in the order of their numbers in answers, from 1 on; 0 is success. */
export const BLOCK_ERRORS: readonly BlockErrorCode[] = [
  'ERR_RANGE',
  'ERR_READ_ONLY',
  'ERR_NO_SPACE',
  'ERR_MEDIUM',
  'ERR_NO_MEDIUM',
  'ERR_CANCELLED',
]
