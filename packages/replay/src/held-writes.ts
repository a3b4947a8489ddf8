import { AccessKind } from './kinds.ts'
import { at, E_DATA, E_HI, E_KIND, E_LO, E_SIZE, H_CURSOR } from './layout.ts'
import type { LogStore } from './log-store.ts'

/** Called for each held write, in order; the bytes are `bytes[offset … offset + size − 1]`. `rom`: it is a ROM_WRITE. */
export type HeldWriteVisitor = (
  gpaLo: number,
  gpaHi: number,
  size: number,
  bytes: Uint8Array,
  offset: number,
  rom: boolean,
) => void

/** Visits the writes to RAM and ROM of this pass. */
export function visitHeldWrites({ words, bytes }: LogStore, visit: HeldWriteVisitor): void {
  const end = words[H_CURSOR]!
  for (let entry = 0; entry < end; entry++) {
    const kind = words[at(entry, E_KIND)]
    if (kind !== AccessKind.WRITE && kind !== AccessKind.ROM_WRITE) continue
    const lo = words[at(entry, E_LO)]! >>> 0
    const hi = words[at(entry, E_HI)]! >>> 0
    visit(lo, hi, words[at(entry, E_SIZE)]!, bytes, words[at(entry, E_DATA)]!, kind === AccessKind.ROM_WRITE)
  }
}

/**
 * Lays the bytes of this pass's writes to RAM over the contents of RAM.
 *
 * @param target - holds `size` bytes read from the guest-physical address `start`, at `targetOffset`
 * @returns whether any byte was replaced
 */
export function overlayHeldWrites(
  { words, bytes }: LogStore,
  start: number,
  size: number,
  target: Uint8Array,
  targetOffset: number,
): boolean {
  const end = words[H_CURSOR]!
  let replaced = false
  for (let entry = 0; entry < end; entry++) {
    if (words[at(entry, E_KIND)] !== AccessKind.WRITE) continue
    const first = guestPhysical(words[at(entry, E_LO)]!, words[at(entry, E_HI)]!)
    const last = first + words[at(entry, E_SIZE)]!
    const from = Math.max(first, start)
    const to = Math.min(last, start + size)
    const data = words[at(entry, E_DATA)]!
    for (let gpa = from; gpa < to; gpa++) {
      target[targetOffset + gpa - start] = bytes[data + gpa - first]!
      replaced = true
    }
  }
  return replaced
}

/** Joins the words of a guest-physical address, which fits a number. */
export function guestPhysical(lo: number, hi: number): number {
  return (hi >>> 0) * 0x1_0000_0000 + (lo >>> 0)
}
