import { describeArgument } from '@retrap/basics'
import { PAGE_BYTES } from '@retrap/memory'
import { ADDRESS_HI, PDPTE_RESERVED_LO, PTE_G, PTE_P } from './bits.ts'
import * as C from './control-registers.ts'
import { check, checkReader } from './arguments.ts'
import { PagingError } from './errors.ts'
import type { TableReader } from './table-reader.ts'

/** How linear addresses become guest-physical ones; the number of levels that a walk reads from memory or registers. */
export const PagingMode = {
  /** CR0.PG = 0: guest-physical is linear, 32 bits. */
  NONE: 0,
  /** 32-bit paging. */
  TWO_LEVEL: 2,
  PAE: 3,
  FOUR_LEVEL: 4,
  FIVE_LEVEL: 5,
} as const

/** A value of `PagingMode`. */
export type PagingMode = (typeof PagingMode)[keyof typeof PagingMode]

/** The features of the processor model (CPUID) that concern paging. */
export interface PagingCpu {
  /** CPUID 8000_0008H EAX[7:0]: 32 to 52. */
  readonly maxPhysicalBits: number
  /** CPUID 8000_0001H EDX[26], 1 GiB pages. */
  readonly pages1G: boolean
  /** CPUID 1 EDX[17], PSE-36: 4 MiB pages may lie above 4 GiB. */
  readonly pse36: boolean
  /**
   * AMD's rules: bit 8 of the upper levels' entries is reserved, and PAE's PDPTEs are read from memory in each walk.
   * Otherwise Intel's.
   */
  readonly amd: boolean
}

/**
 * The inputs of a walk beside the tables: a vCPU's control registers, digested. One object per vCPU, brought up to
 * date by `configure` whenever CR0, CR3, CR4 or EFER change. Plain numbers throughout; booleans are 0 or 1.
 */
export class PagingContext {
  /** Processor model. */
  readonly cpu: PagingCpu

  /** One of `PagingMode`. */
  mode: number = PagingMode.NONE
  /** Guest-physical address of the first table. */
  root: number = 0
  /** CR0.WP. */
  wp: number = 0
  /** CR4.SMEP. */
  smep: number = 0
  /** CR4.SMAP. */
  smap: number = 0
  /** CR4.PSE. */
  pse: number = 0
  /** EFER.NXE. */
  nxe: number = 0
  /** CR4.PKE in long mode. */
  pke: number = 0
  /** CR4.PKS in long mode. */
  pks: number = 0
  /** CR4.CET: read-only, dirty pages are shadow stacks. */
  cet: number = 0
  /** The current process-context identifier, 0 without CR4.PCIDE. */
  pcid: number = 0
  /** `PFEC_I` if the error code shows fetches, otherwise 0. */
  fetchBit: number = 0
  /** The G bit if CR4.PGE, else 0. */
  globalMask: number = 0
  /** Reserved in every 64-bit entry, bits 63:32. */
  reservedHi: number = 0
  /** Reserved in entries of levels 4 and 5, bits 31:0. */
  reservedUpperLo: number = 0
  /** Reserved in an L3 entry in long mode that has bit 7 set. */
  reservedLarge1G: number = 0
  /** Reserved in a 4 MiB entry of two-level tables. */
  reservedLarge4M: number = 0
  /** Reserved in a PDPTE of PAE tables, bits 63:32. */
  reservedPdpteHi: number = 0

  /** PKRU, which the caller keeps current: access-disable bit 2n, write-disable bit 2n + 1, for user pages. */
  pkru: number = 0
  /** IA32_PKRS, likewise for supervisor pages. */
  pkrs: number = 0
  /**
   * PAE: the four PDPTE registers as lo, hi pairs, part of the vCPU's state. `loadPdptes` sets them; editing tables in
   * memory does not. Not used under AMD's rules.
   */
  readonly pdptes: Uint32Array = new Uint32Array(8)

  /** @throws PagingError `ERR_MODE` for a processor that cannot be */
  constructor(cpu: PagingCpu) {
    check.object('cpu', cpu)
    check.number('maxPhysicalBits', cpu.maxPhysicalBits)
    if (!(Number.isInteger(cpu.maxPhysicalBits) && cpu.maxPhysicalBits >= 32 && cpu.maxPhysicalBits <= 52)) {
      throw new PagingError('ERR_MODE', `MAXPHYADDR of ${cpu.maxPhysicalBits}: expected 32 to 52`, {
        maxPhysicalBits: cpu.maxPhysicalBits,
      })
    }
    this.cpu = cpu
  }

  /**
   * Digests the control registers.
   *
   * @param efer - low word of IA32_EFER
   * @throws PagingError `ERR_MODE` if EFER.LMA is set without CR0.PG or CR4.PAE; nothing has changed then
   */
  configure(cr0: number, cr3Lo: number, cr3Hi: number, cr4: number, efer: number): void {
    // Fields are checked one by one, because this runs at every MOV to CR3.
    check.number('cr0', cr0)
    check.number('cr3Lo', cr3Lo)
    check.number('cr3Hi', cr3Hi)
    check.number('cr4', cr4)
    check.number('efer', efer)
    const lma = (efer & C.EFER_LMA) !== 0
    const paging = (cr0 & C.CR0_PG) !== 0
    const pae = (cr4 & C.CR4_PAE) !== 0
    if (lma && !(paging && pae)) {
      throw new PagingError('ERR_MODE', 'EFER.LMA is set without CR0.PG or CR4.PAE', { cr0, cr4, efer })
    }
    const bits = this.cpu.maxPhysicalBits
    // Bits 51:MAXPHYADDR of a 64-bit entry, in its high word. A shift by 32 would be one by 0, but 52 − 32 is the most.
    const beyond = ADDRESS_HI & ~((1 << (bits - 32)) - 1)
    this.nxe = (efer & C.EFER_NXE) === 0 ? 0 : 1
    const nx = this.nxe === 0 ? 0x8000_0000 | 0 : 0
    if (!paging) {
      this.mode = PagingMode.NONE
      this.root = 0
      this.reservedHi = 0
    } else if (lma) {
      this.mode = (cr4 & C.CR4_LA57) === 0 ? PagingMode.FOUR_LEVEL : PagingMode.FIVE_LEVEL
      this.root = (cr3Hi & ADDRESS_HI & ~beyond) * 0x1_0000_0000 + ((cr3Lo & -PAGE_BYTES) >>> 0)
      this.reservedHi = beyond | nx
    } else if (pae) {
      this.mode = PagingMode.PAE
      this.root = (cr3Lo & ~0x1f) >>> 0
      // Bits 62:52 are reserved here, and ignored or a protection key in long mode.
      this.reservedHi = beyond | 0x7ff0_0000 | nx
    } else {
      this.mode = PagingMode.TWO_LEVEL
      this.root = (cr3Lo & -PAGE_BYTES) >>> 0
      this.reservedHi = 0
    }
    this.wp = (cr0 & C.CR0_WP) === 0 ? 0 : 1
    this.smep = (cr4 & C.CR4_SMEP) === 0 ? 0 : 1
    this.smap = (cr4 & C.CR4_SMAP) === 0 ? 0 : 1
    this.pse = (cr4 & C.CR4_PSE) === 0 ? 0 : 1
    this.pke = lma && (cr4 & C.CR4_PKE) !== 0 ? 1 : 0
    this.pks = lma && (cr4 & C.CR4_PKS) !== 0 ? 1 : 0
    this.cet = (cr4 & C.CR4_CET) === 0 ? 0 : 1
    this.pcid = lma && (cr4 & C.CR4_PCIDE) !== 0 ? cr3Lo & 0xfff : 0
    this.fetchBit = this.smep !== 0 || (this.nxe !== 0 && pae) ? 0x10 : 0
    this.globalMask = (cr4 & C.CR4_PGE) === 0 ? 0 : PTE_G
    this.reservedUpperLo = this.cpu.amd ? 0x180 : 0x80
    this.reservedLarge1G = this.cpu.pages1G ? 0x3fff_e000 : 0x80
    // PDE[20:13] are PA[39:32] with PSE-36; those above MAXPHYADDR, at most 40 bits, are reserved, and bit 21 always.
    const pse36Bits = this.cpu.pse36 ? Math.min(bits, 40) - 32 : 0
    this.reservedLarge4M = 0x3f_e000 & ~(((1 << pse36Bits) - 1) << 13)
    this.reservedPdpteHi = ~((1 << (bits - 32)) - 1)
  }

  /**
   * Loads the four PDPTE registers from the table that CR3 names, as MOV to CR3 and changes of CR0 and CR4 do in PAE
   * mode (see `reloadsPdptes`). `configure` comes first.
   *
   * @returns false if a present entry has reserved bits set: #GP(0), and nothing has been loaded. The caller then takes
   *   the control register's old value back.
   *
   * Source: Intel SDM vol. 3A, "PDPTE Registers".
   */
  loadPdptes(reader: TableReader): boolean {
    checkReader(reader)
    const loaded = new Uint32Array(8)
    const entry = new Uint32Array(2)
    for (let i = 0; i < 4; i++) {
      // An entry without memory reads as not present, as in all walks.
      if (!reader.read64(this.root + i * 8, entry)) continue
      if (this.pdpteReserved(entry[0]!, entry[1]!)) return false
      loaded.set(entry, i * 2)
    }
    this.pdptes.set(loaded)
    return true
  }

  /** Whether a PDPTE is present and has reserved bits set. */
  pdpteReserved(lo: number, hi: number): boolean {
    return (lo & PTE_P) !== 0 && ((lo & PDPTE_RESERVED_LO) | (hi & this.reservedPdpteHi)) !== 0
  }
}

/**
 * Whether a MOV to CR0 or CR4 reloads the PDPTE registers, given that PAE paging is active after it.
 *
 * Source: Intel SDM vol. 3A, "PDPTE Registers". A MOV to CR3 always does.
 */
export function reloadsPdptes(oldCr0: number, newCr0: number, oldCr4: number, newCr4: number): boolean {
  check.number('oldCr0', oldCr0)
  check.number('newCr0', newCr0)
  check.number('oldCr4', oldCr4)
  check.number('newCr4', newCr4)
  return (
    ((oldCr0 ^ newCr0) & (C.CR0_CD | C.CR0_NW | C.CR0_PG)) !== 0 ||
    ((oldCr4 ^ newCr4) & (C.CR4_PAE | C.CR4_PGE | C.CR4_PSE | C.CR4_SMEP)) !== 0
  )
}

/** @throws PagingError `ERR_ARGUMENT` unless `value` is a PagingContext */
export function checkContext(value: PagingContext): void {
  if (value instanceof PagingContext) return
  throw new PagingError('ERR_ARGUMENT', `context is ${describeArgument(value)}: expected a PagingContext`)
}
