import type { Word64 } from '@retrap/device'
import { isWord, type InterruptTable } from './interrupt-table.ts'
import * as L from './layout.ts'
import { ENABLE_LPIS, type Lpis } from './lpis.ts'
import * as registers from './registers.ts'

/** GICD_TYPER: affinity 3 is valid (A3V); INTIDs have 16 bits (IDbits). */
const TYPER_FIXED = (1 << 24) | (15 << 19)
const TYPER_LPIS = 1 << 17
/** IROUTER's bit for any processor, in its low word. */
const ROUTE_ANY = -0x8000_0000
/** GICR_TYPER: processors with the same affinity 3 share LPI tables. */
const COMMON_LPI_AFFINITY = 1 << 24
const LAST = 1 << 4
/** GICR_TYPER.PLPIS. */
const PHYSICAL_LPIS = 1
/** GICR_CTLR.CES: EnableLPIs can be cleared. */
const CLEAR_ENABLE = 2
/** GICR_PROPBASER and GICR_PENDBASER without their reserved bits. */
const PROPBASER_LO = 0xffff_ff9f
const PENDBASER_LO = 0xffff_0f80
const BASER_HI = 0x070f_ffff
const PENDING_TABLE_ZERO = 1 << 30

/** Halves of GICR_PROPBASER and GICR_PENDBASER: the place of their word, and the bits that can be written and read. */
const LPI_WORDS: ReadonlyMap<number, { readonly place: number; readonly write: number; readonly read: number }> =
  new Map([
    [registers.GICR_PROPBASER, { place: L.LPI_PROPERTIES_LO, write: PROPBASER_LO, read: -1 }],
    [registers.GICR_PROPBASER + 4, { place: L.LPI_PROPERTIES_HI, write: BASER_HI, read: -1 }],
    [registers.GICR_PENDBASER, { place: L.LPI_PENDING_LO, write: PENDBASER_LO, read: -1 }],
    [registers.GICR_PENDBASER + 4, { place: L.LPI_PENDING_HI, write: BASER_HI | PENDING_TABLE_ZERO, read: BASER_HI }],
  ])

/** GICD_IIDR, GICR_IIDR, GITS_IIDR: designed by Arm (JEP106 code 0x43b), no product. */
export const IIDR = 0x43b

/** Peripheral and component identification from 0xffd0 on; 0 stands for the part. PIDR2 says GICv3 (ArchRev 3). */
const IDENTIFICATION = [0x44, 0, 0, 0, 0, 0xb4, 0x3b, 0, 0x0d, 0xf0, 0x05, 0xb1]
const FIRST_IDENTIFICATION = 0xffd0

/** Reads an identification register. @param part - the part number in PIDR0 */
export function identification(offset: number, size: number, part: number): number {
  if (!isWord(offset, size) || offset < FIRST_IDENTIFICATION) return 0
  const index = (offset - FIRST_IDENTIFICATION) >> 2
  return index === 4 ? part : (IDENTIFICATION[index] ?? 0)
}

/**
 * The distributor's registers, with one security state and affinity routing.
 *
 * Words only, but for the bytes of GICD_IPRIORITYR and for GICD_IROUTER, whose halves and whole can be accessed. Other
 * accesses read 0 and change nothing, as the manual allows.
 *
 * Source: Arm IHI 0069, 12.1.3 "GIC memory-mapped register access"; 12.9 "The GIC Distributor register descriptions".
 */
export class DistributorFrame {
  readonly #table: InterruptTable
  readonly #hasLpis: boolean
  readonly #changed: () => void

  /** @param changed - called after a register has changed */
  constructor(table: InterruptTable, hasLpis: boolean, changed: () => void) {
    this.#table = table
    this.#hasLpis = hasLpis
    this.#changed = changed
  }

  read(offset: number, size: number): number {
    if (offset >= registers.GICD_IROUTER && offset < registers.GICD_IROUTER + 8 * 1024) {
      return isWord(offset, size) ? this.#route(offset) : 0
    }
    switch (isWord(offset, size) ? offset : -1) {
      case registers.GICD_CTLR:
        return this.#table.words[L.DISTRIBUTOR_CONTROL]! | registers.GICD_CTLR_ARE | registers.GICD_CTLR_DS
      case registers.GICD_TYPER:
        return TYPER_FIXED | (this.#hasLpis ? TYPER_LPIS : 0) | (this.#table.bankWords - 1)
      case registers.GICD_IIDR:
        return IIDR
      default:
        return offset < 0x1000
          ? this.#table.read(offset, size, 0, 1, this.#table.bankWords)
          : identification(offset, size, 0x92)
    }
  }

  write(offset: number, size: number, value: number): void {
    if (offset >= registers.GICD_IROUTER && offset < registers.GICD_IROUTER + 8 * 1024) {
      if (!isWord(offset, size)) return
      this.#setRoute(offset, value)
    } else if (offset === registers.GICD_CTLR && size === 4) {
      this.#table.words[L.DISTRIBUTOR_CONTROL] = value & registers.GICD_CTLR_GROUPS
    } else if (!this.#table.write(offset, size, value, 0, 1, this.#table.bankWords)) return
    this.#changed()
  }

  read64(offset: number, into: Word64): void {
    const isRoute = offset >= registers.GICD_IROUTER && offset < registers.GICD_IROUTER + 8 * 1024 && (offset & 7) === 0
    into.lo = isRoute ? this.read(offset, 4) : 0
    into.hi = isRoute ? this.read(offset + 4, 4) : 0
  }

  write64(offset: number, lo: number, hi: number): void {
    if (offset < registers.GICD_IROUTER || offset >= registers.GICD_IROUTER + 8 * 1024 || (offset & 7) !== 0) return
    this.#setRoute(offset, lo)
    this.#setRoute(offset + 4, hi)
    this.#changed()
  }

  #route(offset: number): number {
    const intid = (offset - registers.GICD_IROUTER) >> 3
    if (intid < 32 || intid >= this.#table.end) return 0
    const affinity = this.#table.words[L.ROUTES + intid]!
    if ((offset & 4) !== 0) return affinity >>> 24
    return ((affinity & 0xff_ffff) | (this.#table.isForAny(intid) ? ROUTE_ANY : 0)) >>> 0
  }

  #setRoute(offset: number, value: number): void {
    const intid = (offset - registers.GICD_IROUTER) >> 3
    if (intid < 32 || intid >= this.#table.end) return
    const { words } = this.#table
    const old = words[L.ROUTES + intid]!
    if ((offset & 4) !== 0) words[L.ROUTES + intid] = (old & 0xff_ffff) | (value << 24)
    else {
      words[L.ROUTES + intid] = (old & ~0xff_ffff) | (value & 0xff_ffff)
      this.#table.setBit(L.ANY_CPU, 0, intid, (value & ROUTE_ANY) !== 0)
    }
  }
}

/**
 * The redistributors' registers: two frames of 64 KiB for each processor, one after the other.
 *
 * Source: Arm IHI 0069, 12.10 and 12.11, "The GIC Redistributor register descriptions".
 */
export class RedistributorFrames {
  readonly #table: InterruptTable
  readonly #affinities: readonly number[]
  readonly #lpis: Lpis | undefined
  readonly #changed: (cpu: number) => void
  readonly #wakerChanged: () => void

  /**
   * @param affinities - of the processors, Aff3 to Aff0 in a byte each
   * @param changed - called after a register has changed
   * @param wakerChanged - called after a processor's interface was connected, or disconnected
   */
  constructor(
    table: InterruptTable,
    affinities: readonly number[],
    lpis: Lpis | undefined,
    changed: (cpu: number) => void,
    wakerChanged: () => void,
  ) {
    this.#table = table
    this.#affinities = affinities
    this.#lpis = lpis
    this.#changed = changed
    this.#wakerChanged = wakerChanged
  }

  /** Connects a processor's interface, so that it is awake, or disconnects it. */
  connect(cpu: number, connected: boolean): void {
    const { words } = this.#table
    words[this.#table.block(cpu) + L.WAKER] = connected
      ? 0
      : registers.WAKER_PROCESSOR_SLEEP | registers.WAKER_CHILDREN_ASLEEP
    this.#wakerChanged()
  }

  read(offset: number, size: number): number {
    const cpu = Math.floor(offset / registers.GICR_BYTES)
    const at = offset % registers.GICR_BYTES
    if (cpu >= this.#table.cpus) return 0
    if (at >= registers.GICR_SGI_FRAME) {
      const register = at - registers.GICR_SGI_FRAME
      return register < 0x1000 ? this.#table.read(register, size, cpu, 0, 1) : 0
    }
    const { words } = this.#table
    const block = this.#table.block(cpu)
    switch (isWord(at, size) ? at : -1) {
      case registers.GICR_CTLR:
        return words[block + L.REDISTRIBUTOR_CONTROL]! | (this.#lpis === undefined ? 0 : CLEAR_ENABLE)
      case registers.GICR_IIDR:
        return IIDR
      case registers.GICR_TYPER:
        return (
          COMMON_LPI_AFFINITY |
          (cpu << 8) |
          (cpu === this.#table.cpus - 1 ? LAST : 0) |
          (this.#lpis === undefined ? 0 : PHYSICAL_LPIS)
        )
      case registers.GICR_TYPER + 4:
        return this.#affinities[cpu]! >>> 0
      case registers.GICR_WAKER:
        return words[block + L.WAKER]!
      default: {
        const found = LPI_WORDS.get(at)
        if (found === undefined || size !== 4) return identification(at, size, 0x93)
        return (words[block + found.place]! & found.read) >>> 0
      }
    }
  }

  write(offset: number, size: number, value: number): void {
    const cpu = Math.floor(offset / registers.GICR_BYTES)
    const at = offset % registers.GICR_BYTES
    if (cpu >= this.#table.cpus) return
    if (at >= registers.GICR_SGI_FRAME) {
      if (this.#table.write(at - registers.GICR_SGI_FRAME, size, value, cpu, 0, 1)) this.#changed(cpu)
    } else if (at === registers.GICR_WAKER && size === 4) {
      this.connect(cpu, (value & registers.WAKER_PROCESSOR_SLEEP) === 0)
    } else if (this.#lpis !== undefined && isWord(at, size)) this.#writeLpis(cpu, at, value, this.#lpis)
  }

  #writeLpis(cpu: number, at: number, value: number, lpis: Lpis): void {
    const { words } = this.#table
    const block = this.#table.block(cpu)
    if (at === registers.GICR_CTLR) {
      lpis.enable(cpu, (value & ENABLE_LPIS) !== 0)
      return
    }
    // A write while LPIs are enabled is unpredictable; here it is ignored.
    if ((words[block + L.REDISTRIBUTOR_CONTROL]! & ENABLE_LPIS) !== 0) return
    const found = LPI_WORDS.get(at)
    if (found !== undefined) words[block + found.place] = value & found.write
  }

  read64(offset: number, into: Word64): void {
    const is64 = isDoubleRegister(offset % registers.GICR_BYTES)
    into.lo = is64 ? this.read(offset, 4) : 0
    into.hi = is64 ? this.read(offset + 4, 4) : 0
  }

  write64(offset: number, lo: number, hi: number): void {
    if (!isDoubleRegister(offset % registers.GICR_BYTES)) return
    this.write(offset, 4, lo)
    this.write(offset + 4, 4, hi)
  }
}

/** Whether a redistributor has a register of 64 bits at an offset. */
function isDoubleRegister(at: number): boolean {
  return at === registers.GICR_TYPER || at === registers.GICR_PROPBASER || at === registers.GICR_PENDBASER
}
