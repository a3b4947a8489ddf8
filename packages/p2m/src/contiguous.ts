import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import type { TableFormat } from './format.ts'
import { P2mEntry, type RadixTable } from './radix-table.ts'
import { INVALID_MFN } from './types.ts'

/*
 * The contiguous bit of stage-2 entries: 16 aligned neighbours that map consecutive, aligned frames in the same way may be
 * one entry of a TLB. Either all 16 entries have the bit or none, so that it is cleared in all of them before one changes.
 *
 * Source: Arm ARM (DDI 0487), "The Contiguous bit".
 */

/** 16 entries. */
const GROUP_BYTES = 16 * 8

/** The map whose entries are marked. */
export interface ContiguousTables {
  readonly memory: MachineMemory
  readonly format: TableFormat
  readonly table: Pick<RadixTable, 'lookup' | 'entryOf'>
  /** Flushes all TLB entries of the map. */
  flushTlb(): void
}

/** Clears the contiguous bit of an entry and its neighbours, which a TLB may hold as one. */
export function endContiguous(core: ContiguousTables, ma: number): void {
  const { u32 } = core.memory
  const first = ma - (ma % GROUP_BYTES)
  const old = u32.slice(first >>> 2, (first + GROUP_BYTES) >>> 2)
  for (let at = 0; at < GROUP_BYTES; at += 8) core.memory.publishEntry(first + at, 0, 0)
  core.flushTlb()
  const { contiguous } = core.format
  for (let at = 0; at < GROUP_BYTES; at += 8) {
    core.memory.publishEntry(first + at, old[at >>> 2]!, old[(at >>> 2) + 1]! & ~contiguous)
  }
}

/** Sets the contiguous bit where 16 neighbours of a newly mapped range map consecutive, aligned frames. */
export function markContiguous(core: ContiguousTables, gfn: number, count: number): void {
  const { u32 } = core.memory
  const { format, table } = core
  if (format.contiguous === 0) return
  const groups: number[] = []
  const entry = new P2mEntry()
  for (let at = gfn; at < gfn + count;) {
    table.lookup(at, entry)
    const { order } = entry
    const size = 16 * 2 ** order
    if (entry.mfn !== INVALID_MFN && at % size === 0 && at + size <= gfn + count) {
      const ma = table.entryOf(at, order / 9 + 1)
      if (isContiguous(core, ma, order)) groups.push(ma)
      at += size
    } else at += 2 ** order - (at % 2 ** order)
  }
  if (groups.length === 0) return
  const old = groups.map((ma) => u32.slice(ma >>> 2, (ma + GROUP_BYTES) >>> 2))
  for (const ma of groups) for (let at = 0; at < GROUP_BYTES; at += 8) core.memory.publishEntry(ma + at, 0, 0)
  core.flushTlb()
  for (const [i, ma] of groups.entries()) {
    const entries = old[i]!
    for (let word = 0; word < entries.length; word += 2) {
      core.memory.publishEntry(ma + word * 4, entries[word]!, entries[word + 1]! | format.contiguous)
    }
  }
}

/**
 * Whether 16 entries qualify for the contiguous bit, and do not have it yet. Foreign frames, which must stay separate
 * entries, are mapped one by one (`insertForeign`) and never get here.
 */
function isContiguous(core: ContiguousTables, ma: number, order: number): boolean {
  const { u32 } = core.memory
  const { format } = core
  const word = ma >>> 2
  const lo = u32[word]!
  const hi = u32[word + 1]!
  if (!format.isLeaf(lo, hi, order / 9 + 1) || (hi & format.contiguous) !== 0) return false
  if ((lo & format.present) === 0 || (lo >>> 12) % (16 * 2 ** order) !== 0) return false
  for (let i = 1; i < 16; i++) {
    const same = u32[word + i * 2] === lo + i * 2 ** order * PAGE_BYTES && u32[word + i * 2 + 1] === hi
    if (!same) return false
  }
  return true
}
