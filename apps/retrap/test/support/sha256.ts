import { createHash } from 'node:crypto'

/** The digest of some bytes in hexadecimal, as `sha256sum` prints it. */
export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex')
