import { TWO_32 } from '@retrap/basics'
import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'

/* public/grant_table.h: `GTF_*`. */
export const GTF_TYPE_MASK = 3
export const GTF_PERMIT_ACCESS = 1
export const GTF_TRANSITIVE = 3
export const GTF_READ_ONLY: number = 1 << 2
export const GTF_READING: number = 1 << 3
export const GTF_WRITING: number = 1 << 4
const GTF_SUB_PAGE = 1 << 8

/** One grant entry, as its owner has written it. */
export interface GrantEntry {
  /** `GTF_*`. */
  readonly flags: number
  /** The domain that receives the grant. */
  readonly domid: number
  /** Guest frame; of a transitive grant, the other grant's number. */
  readonly frame: number
  /** First byte that may be used, and the byte behind the last. */
  readonly from: number
  readonly to: number
  /** The domain whose grant a transitive grant passes on; −1: not transitive. */
  readonly through: number
}

/** The layout of entries in one version of the table. */
export interface GrantFormat {
  readonly version: 1 | 2
  /** Of an entry. */
  readonly bytes: number
  /** Reads the entry at a machine address. */
  read(memory: MachineMemory, ma: number): GrantEntry
  /** The words of an entry that grants a whole page or nothing; null for what this version cannot say. */
  encode(entry: GrantEntry): readonly number[] | null
}

/** `struct grant_entry_v1`: flags, domain, frame. The flags say how the grant is used. */
const V1: GrantFormat = {
  version: 1,
  bytes: 8,
  read(memory, ma) {
    const word = Atomics.load(memory.u32, ma >>> 2)
    const frame = Atomics.load(memory.u32, (ma >>> 2) + 1)
    return { flags: word & 0xffff, domid: word >>> 16, frame, from: 0, to: PAGE_BYTES, through: -1 }
  },
  encode: ({ flags, domid, frame }) => (frame < TWO_32 ? [flags | (domid << 16), frame] : null),
}

/**
 * `union grant_entry_v2`: flags and domain as in version 1; a page and which of its bytes, or another grant. The status
 * frames say how the grant is used.
 */
const V2: GrantFormat = {
  version: 2,
  bytes: 16,
  read(memory, ma) {
    const at = (index: number): number => Atomics.load(memory.u32, (ma >>> 2) + index)
    const word = at(0)
    const part = at(1)
    const flags = word & 0xffff
    const domid = word >>> 16
    if ((flags & GTF_TYPE_MASK) === GTF_TRANSITIVE) {
      return { flags, domid, frame: at(2), from: 0, to: PAGE_BYTES, through: part & 0xffff }
    }
    const frame = at(3) * TWO_32 + at(2)
    if ((flags & GTF_SUB_PAGE) === 0) return { flags, domid, frame, from: 0, to: PAGE_BYTES, through: -1 }
    const from = part & 0xffff
    return { flags, domid, frame, from, to: from + (part >>> 16), through: -1 }
  },
  encode: ({ flags, domid, frame }) => [flags | (domid << 16), 0, frame >>> 0, Math.floor(frame / TWO_32)],
}

/** By version. */
export const GRANT_FORMATS: Readonly<Record<1 | 2, GrantFormat>> = { 1: V1, 2: V2 }

/** Whether an entry grants a whole page: what each version can say. */
export function isWholePage({ flags, from, to }: GrantEntry): boolean {
  return (
    (flags & GTF_TYPE_MASK) === GTF_PERMIT_ACCESS && from === 0 && to === PAGE_BYTES && (flags & GTF_SUB_PAGE) === 0
  )
}
