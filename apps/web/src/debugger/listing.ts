import type { Machine } from '@retrap/web'
import { type CodeMode, isArm, loadDecoder } from '../inspector/disassembly.ts'

/** Bytes of code that are read at once: some hundred instructions. */
const PAGE_BYTES = 1024

/** An instruction of a listing. */
interface CodeRow {
  readonly address: bigint
  readonly text: string
}

/** Instructions that follow each other in memory. */
export interface Listing {
  readonly mode: CodeMode
  readonly rows: readonly CodeRow[]
  /** Address behind the last row. */
  readonly end: bigint
  /** Whether memory ends behind the last row. */
  readonly isWhole: boolean
}

/** A listing that nothing has been read of. */
export const emptyListing = (address: bigint, mode: CodeMode): Listing => ({
  ...{ mode, rows: [], end: address, isWhole: false },
})

/** Pages that a listing has been read by. */
export const pagesOf = ({ rows, end }: Listing): number =>
  Math.ceil(Number(end - (rows[0]?.address ?? end)) / PAGE_BYTES)

/** Returns the row of an instruction; -1 if none begins at the address. */
export const rowOf = ({ rows }: Listing, address: bigint): number => rows.findIndex((row) => row.address === address)

/** Most bytes shown before an instruction, and the longest instruction of x86. */
const [BEFORE_BYTES, LONGEST] = [96, 15]
/** A function that begins no further away is shown from its beginning. */
const FUNCTION_BYTES = 1024

/**
 * Finds where a listing begins that shows code before an instruction: at its function, where that has a name, or at an instruction from which
 * decoding leads to this one. Most ways through code meet after a few instructions, so that the first rows alone may be others.
 */
export async function beginBefore(machine: Machine, address: bigint, mode: CodeMode): Promise<bigint> {
  const [name] = await machine.debugger.names([address]).catch(() => [])
  const inside = BigInt(/\+(0x[\da-f]+)$/.exec(name ?? '')?.[1] ?? 0)
  if (inside > 0n && inside <= FUNCTION_BYTES) return address - inside
  const decode = await loadDecoder(mode)
  const step = (length: number): number => (isArm(mode) ? 4 : length > LONGEST ? LONGEST : 1)
  for (let length = BEFORE_BYTES; length > 0; length -= step(length)) {
    const from = address - BigInt(length)
    if (from < 0n) continue
    const bytes = await machine.debugger.readMemory({ address: from, length }).catch(() => new Uint8Array())
    if (bytes.length < length) continue
    let at = 0
    for (const line of decode({ bytes, mode, address: from })) {
      if (line.status !== 'decoded') break
      at += line.length
    }
    if (at === length) return from
  }
  return address
}

export async function readOn(machine: Machine, listing: Listing, pages: number): Promise<Listing> {
  const { mode } = listing
  const decode = await loadDecoder(mode)
  const rows = [...listing.rows]
  let { end, isWhole } = listing
  for (let page = 0; page < pages && !isWhole; page++) {
    const bytes = await machine.debugger.readMemory({ address: end, length: PAGE_BYTES }).catch(() => new Uint8Array())
    isWhole = bytes.length < PAGE_BYTES
    for (const { status, text, length } of decode({ bytes, mode, address: end })) {
      // The next page begins with that one.
      if (status === 'truncated') break
      rows.push({ address: end, text })
      end = BigInt.asUintN(64, end + BigInt(length))
    }
  }
  return { mode, rows, end, isWhole }
}
