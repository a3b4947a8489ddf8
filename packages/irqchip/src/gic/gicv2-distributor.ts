import type { Arbiter } from './arbiter.ts'
import { isWord, type InterruptTable } from './interrupt-table.ts'
import { DISTRIBUTOR_CONTROL, ROUTES } from './layout.ts'
import { GICD_CTLR, GICD_CTLR_GROUPS, GICD_ICFGR, GICD_IIDR, GICD_TYPER } from './registers.ts'
import type { SgiSources } from './sgi-sources.ts'

const GICD_ITARGETSR = 0x800
const GICD_SGIR = 0xf00
const GICD_CPENDSGIR = 0xf10
const GICD_SPENDSGIR = 0xf20
const END_OF_SGIS = 0xf30
/** Peripheral and component identification: a GICv2 (ArchRev 2) of Arm's. */
const IDENTIFICATION = 0xfd0
const IDENTIFICATION_REGISTERS = [4, 0, 0, 0, 0x90, 0xb4, 0x2b, 0, 0x0d, 0xf0, 0x05, 0xb1]
/** GICD_IIDR: designed by Arm, no product. */
const IIDR = 0x43b
/** SGIs cannot be disabled; their pending bits are changed with GICD_SPENDSGIR and GICD_CPENDSGIR. */
const SGIS = 0xffff
const FIRST_ENABLE = 0x100
const END_OF_PENDING = 0x300

/**
 * The distributor of a GICv2. Registers of SGIs and PPIs are those of the vCPU which accesses them.
 *
 * Words only, but for the bytes of GICD_IPRIORITYR, GICD_ITARGETSR, GICD_CPENDSGIR and GICD_SPENDSGIR. Other accesses read
 * 0 and change nothing.
 *
 * Source: Arm IHI 0048, 4.1.4 "GIC register access"; 4.3 "Distributor register descriptions".
 */
export class GicV2Distributor {
  readonly #table: InterruptTable
  readonly #arbiter: Arbiter
  readonly #sources: SgiSources

  constructor(table: InterruptTable, arbiter: Arbiter, sources: SgiSources) {
    this.#table = table
    this.#arbiter = arbiter
    this.#sources = sources
  }

  read(cpu: number, offset: number, size: number): number {
    const table = this.#table
    if (hasBytes(offset)) {
      if (size !== 1 && !isWord(offset, size)) return 0
      let value = 0
      for (let i = size - 1; i >= 0; i--) value = value * 256 + this.#byte(cpu, offset + i)
      return value
    }
    if (offset >= GICD_SGIR || !isWord(offset, size)) {
      return isWord(offset, size) && offset >= IDENTIFICATION
        ? (IDENTIFICATION_REGISTERS[(offset - IDENTIFICATION) >> 2] ?? 0)
        : table.read(offset, size, cpu, 0, table.bankWords)
    }
    switch (offset) {
      case GICD_CTLR:
        return table.words[DISTRIBUTOR_CONTROL]!
      case GICD_TYPER:
        return (table.bankWords - 1) | ((table.cpus - 1) << 5)
      case GICD_IIDR:
        return IIDR
      default:
        return table.read(offset, size, cpu, 0, table.bankWords)
    }
  }

  write(cpu: number, offset: number, size: number, value: number): void {
    const table = this.#table
    if (hasBytes(offset)) {
      if (size !== 1 && !isWord(offset, size)) return
      for (let i = 0; i < size; i++) this.#setByte(cpu, offset + i, (value >>> (8 * i)) & 0xff)
    } else if (offset === GICD_CTLR && size === 4) table.words[DISTRIBUTOR_CONTROL] = value & GICD_CTLR_GROUPS
    else if (offset === GICD_SGIR && size === 4) this.#send(cpu, value)
    else {
      // The first words of enables and pending bits are SGIs' and PPIs'.
      const isFirst = offset >= FIRST_ENABLE && offset < END_OF_PENDING && (offset & 0x7c) === 0
      if (!table.write(offset, size, isFirst ? value & ~SGIS : value, cpu, 0, table.bankWords)) return
    }
    this.#arbiter.updateAll()
  }

  #byte(cpu: number, offset: number): number {
    if (offset >= GICD_SPENDSGIR) return this.#sources.get(cpu, offset - GICD_SPENDSGIR)
    if (offset >= GICD_CPENDSGIR) return this.#sources.get(cpu, offset - GICD_CPENDSGIR)
    const intid = offset - GICD_ITARGETSR
    // A vCPU reads itself as target of its private interrupts. A machine with one vCPU reads targets as 0.
    if (this.#table.cpus === 1 || intid >= this.#table.end) return 0
    return intid < 32 ? 1 << cpu : this.#table.words[ROUTES + intid]!
  }

  #setByte(cpu: number, offset: number, value: number): void {
    if (offset >= GICD_SPENDSGIR) {
      const sgi = offset - GICD_SPENDSGIR
      this.#sources.set(cpu, sgi, this.#sources.get(cpu, sgi) | value)
    } else if (offset >= GICD_CPENDSGIR) {
      const sgi = offset - GICD_CPENDSGIR
      this.#sources.set(cpu, sgi, this.#sources.get(cpu, sgi) & ~value)
    } else {
      const intid = offset - GICD_ITARGETSR
      if (intid < 32 || intid >= this.#table.end || this.#table.cpus === 1) return
      this.#table.words[ROUTES + intid] = value & ((1 << this.#table.cpus) - 1)
    }
  }

  /** GICD_SGIR: an SGI for a list of vCPUs, all others, or the sender. */
  #send(cpu: number, value: number): void {
    const sgi = value & 15
    const filter = (value >>> 24) & 3
    const self = 1 << cpu
    const targets = filter === 0 ? (value >>> 16) & 0xff : filter === 1 ? ~self : filter === 2 ? self : 0
    for (let target = 0; target < this.#table.cpus; target++) {
      if (((targets >>> target) & 1) !== 0) this.#sources.set(target, sgi, this.#sources.get(target, sgi) | self)
    }
  }
}

/** Whether a register that only the GICv2 has holds a byte for each interrupt. */
function hasBytes(offset: number): boolean {
  return (offset >= GICD_ITARGETSR && offset < GICD_ICFGR) || (offset >= GICD_CPENDSGIR && offset < END_OF_SGIS)
}
