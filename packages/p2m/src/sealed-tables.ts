import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import type { TableFormat } from './format.ts'
import type { FrameCounts } from './frame-counts.ts'
import { noTable } from './radix-table.ts'

/*
 * Leaf tables that several maps have: see `SharedTable`. All of their 512 leaves are of counted frames.
 */

/** Entries of a table. */
const ENTRIES = 512

/**
 * Replaces a map's sealed table by a private copy with the same leaves.
 *
 * @param ma - MA of the entry that points to the table
 * @param publish - replaces the entry that points to the table
 * @throws P2mError `ERR_NO_MEMORY`; nothing has changed then
 */
export function ownTable(
  memory: MachineMemory,
  counts: FrameCounts,
  format: TableFormat,
  ma: number,
  publish: (ma: number, lo: number, hi: number) => void,
): void {
  const { u32 } = memory
  const lo = u32[ma >>> 2]!
  const sealed = lo >>> 12
  if (counts.tableHolders(sealed) === 1) {
    counts.letTable(sealed)
    memory.publishEntry(ma, lo, format.tableHi)
    return
  }
  const own = memory.frames.tryAllocate(0)
  if (own < 0) throw noTable(memory)
  u32.copyWithin(own * 1024, sealed * 1024, (sealed + 1) * 1024)
  eachRun(memory, sealed, (first, count) => counts.tryTake(first, count))
  counts.letTable(sealed)
  publish(ma, format.tableLo(own), format.tableHi)
}

/** Calls `action` with each run of consecutive frames of a sealed table. */
export function eachRun({ u32 }: MachineMemory, table: number, action: (mfn: number, count: number) => void): void {
  const word = (table * PAGE_BYTES) >>> 2
  let first = u32[word]! >>> 12
  let count = 1
  for (let i = 1; i < ENTRIES; i++) {
    const mfn = u32[word + 2 * i]! >>> 12
    if (mfn === first + count) {
      count++
      continue
    }
    action(first, count)
    first = mfn
    count = 1
  }
  action(first, count)
}
