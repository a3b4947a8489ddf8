import { tableOf } from './format.ts'
import { LO_VALID } from './lpae.ts'
import type { MapCore } from './map-core.ts'

/** The registers of hardware for a stage-2 map (Arm ARM, "VTTBR_EL2", "VTCR_EL2"). */
export interface Stage2Registers {
  /** VMID and machine address of the first table. */
  readonly vttbrLo: number
  /** See {@link Stage2Registers.vttbrLo}. */
  readonly vttbrHi: number
  /** Size and start level of the tables; inner-shareable, write-back walks, 4 KiB granules, 16-bit VMIDs. */
  readonly vtcr: number
}

/** The part of maps of Arm guests alone. */
export interface Stage2 {
  /** The tag of the guest's TLB entries. */
  readonly vmid: number
  /** Bits of intermediate physical addresses. */
  readonly ipaBits: number
  /** Tables side by side at the top: 1, or up to 16 where that spares a level. */
  readonly rootTables: number
  /** The registers of hardware. */
  readonly registers: Stage2Registers
  /**
   * Takes the valid bits of the top tables' entries away: each next access of a part of the map faults, and
   * {@link Stage2.resolveFault} notes that by giving them back step by step. Nothing is released, and nothing changes for
   * `P2m.lookup`.
   */
  invalidate(): void
  /**
   * Handles a translation fault of stage 2, in the first place: where a frame is mapped, its entry's valid bits are put
   * back, its neighbours' in the table are taken instead, and the access is to be tried again. A walk that came between
   * the invalid and the new entry of a change faults as well, and finds the new entry here, after the writer.
   *
   * @returns false if nothing is mapped: the access is a device's, or an abort for the guest
   */
  resolveFault(gfn: number): boolean
}

/** Numbers of VTCR_EL2.PS, by bits of address. */
const PHYSICAL_SIZES = [32, 36, 40, 42, 44, 48] as const

/** Implementation over a map. */
export class Stage2Map implements Stage2 {
  readonly vmid: number
  readonly ipaBits: number
  readonly rootTables: number
  readonly registers: Stage2Registers
  readonly #core: MapCore

  constructor(core: MapCore, vmid: number, ipaBits: number, rootTables: number) {
    this.#core = core
    this.vmid = vmid
    this.ipaBits = ipaBits
    this.rootTables = rootTables
    const startLevel = 4 - core.table.levels
    const size = PHYSICAL_SIZES.findIndex((bits) => bits >= ipaBits)
    this.registers = {
      vttbrLo: core.control.root,
      vttbrHi: (vmid << 16) >>> 0,
      // RES1, VS, PS, TG0 = 4 KiB, SH0 inner, ORGN0 and IRGN0 write-back, SL0, T0SZ.
      vtcr:
        (2 ** 31 + ((1 << 19) | (size << 16) | (3 << 12) | (5 << 8) | ((2 - startLevel) << 6) | (64 - ipaBits))) >>> 0,
    }
  }

  invalidate(): void {
    const core = this.#core
    core.change(() => {
      let cleared = false
      for (let i = 0; i < core.table.topEntries; i++) cleared = this.#clearValid(core.control.root + i * 8) || cleared
      if (cleared) core.flushTlb()
    })
  }

  resolveFault(gfn: number): boolean {
    const core = this.#core
    return core.change(() => {
      const { format, table } = core
      const { u32 } = core.memory
      if (!(gfn >= 0 && gfn < table.limit)) return false
      // Entries of a table that other maps have are not touched.
      if (table.sealedTable(gfn) >= 0) core.own(table.leafTableEntry(gfn))
      for (let level = table.levels; level >= 1; level--) {
        const ma = table.entryOf(gfn, level)
        if (ma < 0) return false
        const lo = u32[ma >>> 2]!
        const hi = u32[(ma >>> 2) + 1]!
        if (format.isLeaf(lo, hi, level)) {
          // A TLB may hold 16 entries as one, so they must be invalidated together.
          const group = (hi & format.contiguous) === 0 ? 1 : 16
          const first = ma - (ma % (group * 8))
          for (let at = first; at < first + group * 8; at += 8) {
            this.#setValid(at, u32[at >>> 2]!, u32[(at >>> 2) + 1]!)
          }
          return true
        }
        if (!format.isTable(lo, hi, level)) return false
        if ((lo & LO_VALID) !== 0) continue
        // Handle the level below before the table becomes reachable.
        const below = tableOf(lo)
        for (let i = 0; i < 512; i++) this.#clearValid(below + i * 8)
        this.#setValid(ma, lo, hi)
      }
      return false
    })
  }

  /** @returns whether the entry was valid */
  #clearValid(ma: number): boolean {
    const { memory } = this.#core
    const lo = memory.u32[ma >>> 2]!
    if ((lo & LO_VALID) === 0) return false
    memory.publishEntry(ma, lo & ~LO_VALID, memory.u32[(ma >>> 2) + 1]!)
    return true
  }

  #setValid(ma: number, lo: number, hi: number): void {
    // The entry changes from invalid to valid, when no TLB holds it.
    if ((lo & LO_VALID) === 0) this.#core.memory.publishEntry(ma, (lo | LO_VALID) >>> 0, hi)
  }
}
