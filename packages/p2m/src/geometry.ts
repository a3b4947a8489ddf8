import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import { ControlBlock } from './control-block.ts'
import { EPT } from './ept.ts'
import { P2mError } from './errors.ts'
import type { TableFormat } from './format.ts'
import type { FrameCounts } from './frame-counts.ts'
import { LPAE } from './lpae.ts'
import { noTable, type TableShape } from './radix-table.ts'
import { takeTables } from './ram-frames.ts'
import { MAX_GFN } from './types.ts'

/** A map for an Arm guest. */
export interface Stage2Options {
  /** Bits of intermediate physical addresses: 32, 36, 40, 42, 44 or 48; default 40. */
  readonly ipaBits?: number
  /** The tag of this guest's TLB entries: 16 bits; default 0. */
  readonly vmid?: number
  /**
   * Flushes the entries of a VMID from all TLBs, on all CPUs, and returns when that is done. Called between the invalid
   * and the new value of a changed entry, and before removed frames are reused. Default: no TLBs exist.
   */
  readonly flushTlb?: (vmid: number) => void
}

/** Options of {@link P2m.create}. */
export interface P2mOptions {
  /**
   * Where references to frames are counted: one for all guests of a machine. The map then holds a reference to each frame
   * of RAM in it that anybody counts, and drops it when the frame leaves; `populate` takes frames that are the map's alone
   * and go back to the machine with the last reference. Default: frames are the caller's.
   */
  readonly counts?: FrameCounts
  /** Stage-2 tables of an Arm guest, with types from `ArmP2mType`. Default: EPT, of an x86 guest. */
  readonly stage2?: Stage2Options
}

const DEFAULT_IPA_BITS = 40
/** Shape of the tables of an x86 guest: four levels, one table at the top. */
const EPT_SHAPE: TableShape = { levels: 4, roots: 1, limit: MAX_GFN }

/**
 * Shape of stage-2 tables: as few levels as the size of addresses allows, with up to 16 tables side by side at the top, but
 * always with 1 GiB leaves (Arm ARM, "Concatenated translation tables").
 *
 * @param ipaBits - bits of intermediate physical addresses
 * @throws P2mError `ERR_RANGE` for a size that does not exist
 */
function stage2Shape(ipaBits: number): TableShape {
  if (![32, 36, 40, 42, 44, 48].includes(ipaBits)) {
    throw new P2mError('ERR_RANGE', `${ipaBits} bits of address: expected 32, 36, 40, 42, 44 or 48`, { ipaBits })
  }
  const levels = ipaBits <= 12 + 3 * 9 + 4 ? 3 : 4
  return { levels, roots: 2 ** Math.max(0, ipaBits - 12 - levels * 9), limit: 2 ** (ipaBits - 12) }
}

/** In the control block's word: stage-2 tables, whose VMID is in bits 31:16. Bits 7:0 are the bits of addresses. */
const LPAE_FLAG = 0x100

/** Makes empty tables, and the block that their views share. */
export function createTables(memory: MachineMemory, { stage2, counts }: P2mOptions): ControlBlock {
  const ipaBits = stage2?.ipaBits ?? DEFAULT_IPA_BITS
  const shape = stage2 === undefined ? EPT_SHAPE : stage2Shape(ipaBits)
  const vmid = stage2?.vmid ?? 0
  if (!(vmid >= 0 && vmid <= 0xffff)) throw new P2mError('ERR_RANGE', `VMID ${vmid}: expected 16 bits`, { vmid })
  const { frames } = memory
  const root = takeTables(memory, shape.roots)
  const block = root < 0 ? -1 : frames.tryAllocate(0)
  if (block < 0) {
    for (let i = 0; root >= 0 && i < shape.roots; i++) frames.free(root + i)
    throw noTable(memory)
  }
  const word = stage2 === undefined ? 48 : LPAE_FLAG | (vmid << 16) | ipaBits
  const control = ControlBlock.create(memory, block, root * PAGE_BYTES, word >>> 0, counts?.ma ?? 0)
  control.tables = shape.roots
  return control
}

/** Returns the geometry of a map's tables, by its control block. */
export function geometryOf(control: ControlBlock): {
  readonly format: TableFormat
  readonly shape: TableShape
  readonly ipaBits: number
  readonly vmid: number
} {
  const word = control.shape
  const ipaBits = word & 0xff
  if ((word & LPAE_FLAG) === 0) return { format: EPT, shape: EPT_SHAPE, ipaBits, vmid: 0 }
  return { format: LPAE, shape: stage2Shape(ipaBits), ipaBits, vmid: word >>> 16 }
}
