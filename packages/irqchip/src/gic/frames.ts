import type { Word64 } from '@retrap/device'
import type { InterruptTable } from './interrupt-table.ts'
import { isWord } from './interrupt-table.ts'
import {
  ANY_CPU,
  DISTRIBUTOR_CONTROL,
  LPI_PENDING_HI,
  LPI_PENDING_LO,
  LPI_PROPERTIES_HI,
  LPI_PROPERTIES_LO,
  REDISTRIBUTOR_CONTROL,
  ROUTES,
  WAKER,
} from './layout.ts'
import { ENABLE_LPIS, type Lpis } from './lpis.ts'
import {
  GICD_CTLR,
  GICD_CTLR_ARE,
  GICD_CTLR_DS,
  GICD_CTLR_GROUPS,
  GICD_IIDR,
  GICD_IROUTER,
  GICD_TYPER,
  GICR_BYTES,
  GICR_CTLR,
  GICR_IIDR,
  GICR_PENDBASER,
  GICR_PROPBASER,
  GICR_SGI_FRAME,
  GICR_TYPER,
  GICR_WAKER,
  WAKER_CHILDREN_ASLEEP,
  WAKER_PROCESSOR_SLEEP,
} from './registers.ts'

/** GICD_TYPER: affinity 3 is valid (A3V); INTIDs have 16 bits (IDbits). */
const TYPER_FIXED = (1 << 24) | (15 << 19)
const TYPER_LPIS = 1 << 17
/** IROUTER's bit for any processor, in its low word. */
const ROUTE_ANY = -0x8000_0000
/** GICR_TYPER: processors with the same affinity 3 share their tables of LPIs. */
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
    if (offset >= GICD_IROUTER && offset < GICD_IROUTER + 8 * 1024) {
      return isWord(offset, size) ? this.#route(offset) : 0
    }
    switch (isWord(offset, size) ? offset : -1) {
      case GICD_CTLR:
        return this.#table.words[DISTRIBUTOR_CONTROL]! | GICD_CTLR_ARE | GICD_CTLR_DS
      case GICD_TYPER:
        return TYPER_FIXED | (this.#hasLpis ? TYPER_LPIS : 0) | (this.#table.bankWords - 1)
      case GICD_IIDR:
        return IIDR
      default:
        return offset < 0x1000
          ? this.#table.read(offset, size, 0, 1, this.#table.bankWords)
          : identification(offset, size, 0x92)
    }
  }

  write(offset: number, size: number, value: number): void {
    if (offset >= GICD_IROUTER && offset < GICD_IROUTER + 8 * 1024) {
      if (!isWord(offset, size)) return
      this.#setRoute(offset, value)
    } else if (offset === GICD_CTLR && size === 4) {
      this.#table.words[DISTRIBUTOR_CONTROL] = value & GICD_CTLR_GROUPS
    } else if (!this.#table.write(offset, size, value, 0, 1, this.#table.bankWords)) return
    this.#changed()
  }

  read64(offset: number, into: Word64): void {
    const isRoute = offset >= GICD_IROUTER && offset < GICD_IROUTER + 8 * 1024 && (offset & 7) === 0
    into.lo = isRoute ? this.read(offset, 4) : 0
    into.hi = isRoute ? this.read(offset + 4, 4) : 0
  }

  write64(offset: number, lo: number, hi: number): void {
    if (offset < GICD_IROUTER || offset >= GICD_IROUTER + 8 * 1024 || (offset & 7) !== 0) return
    this.#setRoute(offset, lo)
    this.#setRoute(offset + 4, hi)
    this.#changed()
  }

  #route(offset: number): number {
    const intid = (offset - GICD_IROUTER) >> 3
    if (intid < 32 || intid >= this.#table.end) return 0
    const affinity = this.#table.words[ROUTES + intid]!
    if ((offset & 4) !== 0) return affinity >>> 24
    return ((affinity & 0xff_ffff) | (this.#table.isForAny(intid) ? ROUTE_ANY : 0)) >>> 0
  }

  #setRoute(offset: number, value: number): void {
    const intid = (offset - GICD_IROUTER) >> 3
    if (intid < 32 || intid >= this.#table.end) return
    const { words } = this.#table
    const old = words[ROUTES + intid]!
    if ((offset & 4) !== 0) words[ROUTES + intid] = (old & 0xff_ffff) | (value << 24)
    else {
      words[ROUTES + intid] = (old & ~0xff_ffff) | (value & 0xff_ffff)
      this.#table.setBit(ANY_CPU, 0, intid, (value & ROUTE_ANY) !== 0)
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

  /** Connects a processor's interface: it is awake. Or disconnects it. */
  connect(cpu: number, connected: boolean): void {
    const { words } = this.#table
    words[this.#table.block(cpu) + WAKER] = connected ? 0 : WAKER_PROCESSOR_SLEEP | WAKER_CHILDREN_ASLEEP
    this.#wakerChanged()
  }

  read(offset: number, size: number): number {
    const cpu = Math.floor(offset / GICR_BYTES)
    const at = offset % GICR_BYTES
    if (cpu >= this.#table.cpus) return 0
    if (at >= GICR_SGI_FRAME) {
      const register = at - GICR_SGI_FRAME
      return register < 0x1000 ? this.#table.read(register, size, cpu, 0, 1) : 0
    }
    const { words } = this.#table
    const block = this.#table.block(cpu)
    switch (isWord(at, size) ? at : -1) {
      case GICR_CTLR:
        return words[block + REDISTRIBUTOR_CONTROL]! | (this.#lpis === undefined ? 0 : CLEAR_ENABLE)
      case GICR_IIDR:
        return IIDR
      case GICR_TYPER:
        return (
          COMMON_LPI_AFFINITY |
          (cpu << 8) |
          (cpu === this.#table.cpus - 1 ? LAST : 0) |
          (this.#lpis === undefined ? 0 : PHYSICAL_LPIS)
        )
      case GICR_TYPER + 4:
        return this.#affinities[cpu]! >>> 0
      case GICR_WAKER:
        return words[block + WAKER]!
      case GICR_PROPBASER:
        return words[block + LPI_PROPERTIES_LO]! >>> 0
      case GICR_PROPBASER + 4:
        return words[block + LPI_PROPERTIES_HI]!
      case GICR_PENDBASER:
        return words[block + LPI_PENDING_LO]! >>> 0
      case GICR_PENDBASER + 4:
        return words[block + LPI_PENDING_HI]! & BASER_HI
      default:
        return identification(at, size, 0x93)
    }
  }

  write(offset: number, size: number, value: number): void {
    const cpu = Math.floor(offset / GICR_BYTES)
    const at = offset % GICR_BYTES
    if (cpu >= this.#table.cpus) return
    if (at >= GICR_SGI_FRAME) {
      if (this.#table.write(at - GICR_SGI_FRAME, size, value, cpu, 0, 1)) this.#changed(cpu)
    } else if (at === GICR_WAKER && size === 4) {
      this.connect(cpu, (value & WAKER_PROCESSOR_SLEEP) === 0)
    } else if (this.#lpis !== undefined && isWord(at, size)) this.#writeLpis(cpu, at, value, this.#lpis)
  }

  #writeLpis(cpu: number, at: number, value: number, lpis: Lpis): void {
    const { words } = this.#table
    const block = this.#table.block(cpu)
    if (at === GICR_CTLR) {
      lpis.enable(cpu, (value & ENABLE_LPIS) !== 0)
      return
    }
    // While LPIs are enabled a write is unpredictable; here it is ignored.
    if ((words[block + REDISTRIBUTOR_CONTROL]! & ENABLE_LPIS) !== 0) return
    switch (at) {
      case GICR_PROPBASER:
        words[block + LPI_PROPERTIES_LO] = value & PROPBASER_LO
        break
      case GICR_PROPBASER + 4:
        words[block + LPI_PROPERTIES_HI] = value & BASER_HI
        break
      case GICR_PENDBASER:
        words[block + LPI_PENDING_LO] = value & PENDBASER_LO
        break
      case GICR_PENDBASER + 4:
        words[block + LPI_PENDING_HI] = value & (BASER_HI | PENDING_TABLE_ZERO)
        break
      default:
    }
  }

  read64(offset: number, into: Word64): void {
    const is64 = isDoubleRegister(offset % GICR_BYTES)
    into.lo = is64 ? this.read(offset, 4) : 0
    into.hi = is64 ? this.read(offset + 4, 4) : 0
  }

  write64(offset: number, lo: number, hi: number): void {
    if (!isDoubleRegister(offset % GICR_BYTES)) return
    this.write(offset, 4, lo)
    this.write(offset + 4, 4, hi)
  }
}

/** Whether a redistributor has a register of 64 bits at an offset. */
function isDoubleRegister(at: number): boolean {
  return at === GICR_TYPER || at === GICR_PROPBASER || at === GICR_PENDBASER
}
