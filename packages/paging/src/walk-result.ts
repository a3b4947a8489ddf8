import { PAGE_BYTES } from '@retrap/memory'
import { WALK_OK } from './bits.ts'

/** The result of a walk. The caller owns it and passes it in; every field is valid after `walk` as stated. */
export class WalkResult {
  /** `WALK_OK`, `WALK_FAULT` or `WALK_SECOND_LEVEL`, as returned. */
  status: number = WALK_OK
  /** OK: guest-physical address of the byte asked for. */
  gpa: number = 0
  /** OK: 4096, 2 MiB, 4 MiB or 1 GiB; 4096 without paging. */
  pageBytes: number = PAGE_BYTES
  /** OK, or a fault of rights: `MAP_` bits, enough to fill a TLB and to judge other accesses with `permission`. */
  flags: number = 0
  /** OK, or a fault of rights: the leaf's protection key, bits 62:59, in long mode; otherwise 0. */
  pkey: number = 0
  /** FAULT: the #PF error code. */
  pfec: number = 0
  /** SECOND_LEVEL: guest-physical address of the table entry. */
  tableGpa: number = -1
  /** SECOND_LEVEL: 1 if setting A or D was refused, 0 if reading the entry was. */
  tableWrite: number = 0
  /** FAULT: level of the entry that ended the walk (1 is the last), of the leaf for a fault of rights. OK: the leaf's. */
  level: number = 0
  /** Number of table entries read from memory, including restarts. */
  reads: number = 0
  /** Low word of the leaf entry as it is after the walk, for PWT, PCD and PAT. */
  leafLo: number = 0
  /** High word of the leaf entry. */
  leafHi: number = 0
  /** Guest-physical address of the leaf entry; −1 without one. */
  leafGpa: number = -1

  /** Low word of the linear address. Scratch of the walk. */
  linearLo: number = 0
  /** High word of the linear address. Scratch of the walk. */
  linearHi: number = 0
  /** `ACCESS_` bits. Scratch of the walk. */
  access: number = 0
  /** Entries by level, from 1 at index 0: lo and hi. Scratch of the walk. */
  readonly entries: Uint32Array = new Uint32Array(10)
  /** Guest-physical addresses. Scratch of the walk. */
  readonly entryGpas: Float64Array = new Float64Array(5)
  /** Scratch of the walk. */
  readonly entry: Uint32Array = new Uint32Array(2)
}
