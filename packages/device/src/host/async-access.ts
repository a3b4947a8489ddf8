import type { AccessRequest, RangeHandler, Word64 } from '../access.ts'
import { checkWord64, cut, isPromise, isWord, merge, notNumber, pieceSize, take, type AccessedRange } from './access.ts'

async function number(handler: RangeHandler, offset: number, size: number, request: AccessRequest): Promise<number> {
  const answer = handler.read(offset, size as 1 | 2 | 4, request)
  const value: unknown = isPromise(answer) ? await answer : answer
  if (!isWord(value)) throw notNumber(value)
  return value
}

/** As `readRegion`, for models that may take their time. The pieces are made one after another. */
export async function readRegionAsync(
  region: AccessedRange,
  offset: number,
  size: number,
  into: Word64,
  request: AccessRequest,
): Promise<void> {
  const { handler, minimumAccess } = region
  let lo = 0
  let hi = 0
  for (let done = 0; done < size;) {
    const piece = pieceSize(region, offset + done, size - done)
    const at = offset + done
    if (piece === 8) {
      await handler.read64!(at, into, request)
      checkWord64(into)
      return
    }
    let value: number
    let bytes = piece
    if (piece < minimumAccess) {
      const unit = at - (at % minimumAccess)
      bytes = Math.min(piece, unit + minimumAccess - at)
      if (bytes === 3) bytes = 2
      value = (await number(handler, unit, minimumAccess, request)) >>> (8 * (at - unit))
    } else {
      value = await number(handler, at, piece, request)
    }
    value = cut(value, bytes)
    if (done < 4) {
      lo |= value << (8 * done)
      if (done + bytes > 4) hi |= value >>> (8 * (4 - done))
    } else {
      hi |= value << (8 * (done - 4))
    }
    done += bytes
  }
  into.lo = lo >>> 0
  into.hi = hi >>> 0
}

/** As `writeRegion`, for models that may take their time. */
export async function writeRegionAsync(
  region: AccessedRange,
  offset: number,
  size: number,
  lo: number,
  hi: number,
  request: AccessRequest,
): Promise<void> {
  const { handler, minimumAccess } = region
  for (let done = 0; done < size;) {
    const piece = pieceSize(region, offset + done, size - done)
    const at = offset + done
    if (piece === 8) {
      await handler.write64!(at, lo >>> 0, hi >>> 0, request)
      return
    }
    let bytes = piece
    if (piece < minimumAccess) {
      const unit = at - (at % minimumAccess)
      bytes = Math.min(piece, unit + minimumAccess - at)
      if (bytes === 3) bytes = 2
      const value = merge(await number(handler, unit, minimumAccess, request), at - unit, bytes, take(lo, hi, done))
      await handler.write(unit, minimumAccess as 2 | 4, cut(value, minimumAccess), request)
    } else {
      await handler.write(at, piece as 1 | 2 | 4, cut(take(lo, hi, done), piece), request)
    }
    done += bytes
  }
}
