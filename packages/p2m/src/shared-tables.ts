import type { MachineMemory } from '@retrap/memory'
import { P2mAccess } from './access-tree.ts'
import { hex, P2mError } from './errors.ts'
import type { FrameCounts } from './frame-counts.ts'
import type { MapCore } from './map-core.ts'
import { eachRun } from './sealed-tables.ts'

/** Entries of a table. */
const ENTRIES = 512

/** Consecutive guest frames in consecutive machine frames. */
export interface SharedRun {
  /** First guest frame. */
  readonly gfn: number
  /** First machine frame. */
  readonly mfn: number
  /** Number of frames. */
  readonly count: number
}

/**
 * A leaf table of 512 shared frames (RAM_SHARED), that several maps have as their own. It holds one reference to each frame,
 * and nobody changes it: a map that changes one of the leaves gets a copy of the table first.
 */
export interface SharedTable {
  /** First guest frame, a multiple of 512. */
  readonly gfn: number
  /** The machine frame that the table is. */
  readonly mfn: number
}

/** RAM of a map that others may have too; see `P2m.offer`. */
export class SharedRam {
  /** Whole tables, from low to high. */
  readonly tables: readonly SharedTable[]
  /** Frames between the tables, each with a reference, in ascending order. */
  readonly runs: readonly SharedRun[]
  readonly #memory: MachineMemory
  readonly #counts: FrameCounts
  #isOpen = true

  /**
   * @param tables - tables, each with a holder count for this object
   * @param runs - runs of frames with a reference for this object
   */
  constructor(memory: MachineMemory, counts: FrameCounts, tables: readonly SharedTable[], runs: readonly SharedRun[]) {
    this.tables = tables
    this.runs = runs
    this.#memory = memory
    this.#counts = counts
  }

  /** Releases the frames: a frame that no map uses is freed. */
  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    for (const { mfn, count } of this.runs) this.#counts.drop(mfn, count)
    for (const { mfn } of this.tables) {
      if (this.#counts.letTable(mfn) > 0) continue
      eachRun(this.#memory, mfn, (first, count) => this.#counts.drop(first, count))
      this.#memory.frames.free(mfn)
    }
  }
}

/**
 * Seals a table for sharing: all of its leaves are shared frames with all accesses.
 *
 * @returns the table's machine frame; −1 if leaves do not qualify, with nothing changed
 */
export function seal(core: MapCore, gfn: number): number {
  const { format, memory, table } = core
  const ma = table.leafTableEntry(gfn)
  if (ma < 0) return -1
  const mfn = memory.u32[ma >>> 2]! >>> 12
  const { u32 } = memory
  for (let word = mfn * 1024; word < (mfn + 1) * 1024; word += 2) {
    const hi = u32[word + 1]!
    const lo = u32[word]!
    const isShared = format.isLeaf(lo, hi, 1) && format.typeOf(hi) === format.types.shared
    // Of an Arm map, the rights alone show an access mask, which is not in the tables.
    if (format.rightsOf(lo, hi) !== format.types.rights[format.types.shared]) return -1
    if (!isShared || format.accessOf(hi) !== P2mAccess.RWX || (hi & format.counted) === 0) return -1
  }
  core.needCounts().holdTable(mfn)
  memory.publishEntry(ma, u32[ma >>> 2]!, sealedHi(core))
  return mfn
}

/**
 * Links a sealed table into another map, replacing existing entries.
 *
 * @throws P2mError `ERR_COUNT` for a table without references, `ERR_NO_MEMORY`; nothing has changed then
 */
export function insertSealed(core: MapCore, { gfn, mfn }: SharedTable): void {
  const { control, format, table } = core
  const counts = core.needCounts()
  if (!(gfn % ENTRIES === 0) || counts.tableHolders(mfn) === 0)
    throw new P2mError('ERR_COUNT', `machine frame ${hex(mfn)} is no shared table for guest frame ${hex(gfn)}`, { mfn })
  table.path(gfn, 9, core)
  counts.holdTable(mfn)
  control.tables++
  control.addFrames(format.types.shared, ENTRIES)
  core.replace(gfn, 9, format.tableLo(mfn), sealedHi(core), 0)
}

const sealedHi = ({ format }: MapCore): number => (format.tableHi | format.sealed) >>> 0
