import type { Dma } from '@retrap/device'
import { STATUS } from './command.ts'

/** Bytes of a page of host memory: the only size that CAP offers. */
export const PAGE_BYTES = 4096
const ENTRY_BYTES = 8

/** A piece of guest memory that a command's data goes to or comes from. */
export interface DataPiece {
  readonly address: number
  length: number
}

/** A page of a list, while it is read. */
const LIST = new Uint8Array(PAGE_BYTES)
const LIST_WORDS = new DataView(LIST.buffer)

/** Appends guest memory; memory that follows the last piece joins it. */
function add(into: DataPiece[], address: number, length: number): void {
  const last = into.at(-1)
  if (last !== undefined && last.address + last.length === address) last.length += length
  else into.push({ address, length })
}

/**
 * Finds the guest memory that two PRP entries describe. The work is bounded by `bytes`.
 *
 * Source: NVM Express 1.4, §4.3, "Physical Region Page Entry and List".
 *
 * @param into - gets the pieces in order
 * @returns a status: success, or the error in the entries
 */
export function findData(dma: Dma, prp1: number, prp2: number, bytes: number, into: DataPiece[]): number {
  if (prp1 % 4 !== 0) return STATUS.INVALID_PRP_OFFSET
  const first = Math.min(bytes, PAGE_BYTES - (prp1 % PAGE_BYTES))
  into.push({ address: prp1, length: first })
  const left = bytes - first
  if (left === 0) return STATUS.SUCCESS
  if (left <= PAGE_BYTES) {
    add(into, prp2, left)
    return prp2 % PAGE_BYTES === 0 ? STATUS.SUCCESS : STATUS.INVALID_PRP_OFFSET
  }
  return followList(dma, prp2, left, into)
}

function followList(dma: Dma, list: number, bytes: number, into: DataPiece[]): number {
  let left = bytes
  for (let at = list; left > 0;) {
    if (at % ENTRY_BYTES !== 0 || (at !== list && at % PAGE_BYTES !== 0)) return STATUS.INVALID_PRP_OFFSET
    const pages = Math.ceil(left / PAGE_BYTES)
    const room = (PAGE_BYTES - (at % PAGE_BYTES)) / ENTRY_BYTES
    // If the list continues, the last entry of its page points to the next page.
    const here = pages > room ? room - 1 : pages
    const entries = LIST.subarray(0, Math.min(pages, room) * ENTRY_BYTES)
    if (!dma.read(at, entries)) return STATUS.DATA_TRANSFER_ERROR
    for (let i = 0; i < here; i++) {
      const address = listEntry(i)
      if (address % PAGE_BYTES !== 0) return STATUS.INVALID_PRP_OFFSET
      const length = Math.min(left, PAGE_BYTES)
      add(into, address, length)
      left -= length
    }
    if (left > 0) at = listEntry(here)
  }
  return STATUS.SUCCESS
}

const listEntry = (i: number): number =>
  LIST_WORDS.getUint32(ENTRY_BYTES * i, true) + LIST_WORDS.getUint32(ENTRY_BYTES * i + 4, true) * 2 ** 32

/** Copies a command's data out of guest memory. @returns false where a piece is not RAM */
export function gather(dma: Dma, pieces: readonly DataPiece[], into: Uint8Array): boolean {
  let at = 0
  return pieces.every(({ address, length }) => dma.read(address, into.subarray(at, (at += length))))
}

/** Copies a command's data into guest memory. @returns false if a piece is not RAM; earlier pieces were written */
export function scatter(dma: Dma, pieces: readonly DataPiece[], from: Uint8Array): boolean {
  let at = 0
  return pieces.every(({ address, length }) => dma.write(address, from.subarray(at, (at += length))))
}
