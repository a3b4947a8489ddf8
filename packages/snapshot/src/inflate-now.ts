import { inflateSync } from 'fflate'

/**
 * Decompresses the output of `deflate`, and any other raw DEFLATE, without a turn of the event loop: for sources of pages in web
 * pages, which have no call of their own for that.
 *
 * @param most - most bytes of the result
 * @throws RangeError for data that are not valid, or become more
 */
export function inflateNow(data: Uint8Array, most: number): Uint8Array {
  // One byte more than allowed, to detect an excess.
  const out = new Uint8Array(most + 1)
  let found: Uint8Array
  try {
    found = data.length === 0 ? out : inflateSync(data, { out })
  } catch (error) {
    throw new RangeError(INVALID, { cause: error })
  }
  if (found.length > most) throw new RangeError(INVALID)
  return found
}

const INVALID = 'the data are no valid DEFLATE, or become more than they may'
