import type { Arbiter } from './arbiter.ts'
import { isWord, PRIORITY_BITS, type InterruptTable } from './interrupt-table.ts'
import * as L from './layout.ts'
import { CONTROL_CBPR, CONTROL_EOI_MODE, FIRST_SPECIAL_INTID, INTID_SPURIOUS } from './registers.ts'
import type { SgiSources } from './sgi-sources.ts'

const GICC_CTLR = 0x00
const GICC_PMR = 0x04
const GICC_BPR = 0x08
const GICC_IAR = 0x0c
const GICC_EOIR = 0x10
const GICC_RPR = 0x14
const GICC_HPPIR = 0x18
const GICC_ABPR = 0x1c
const GICC_AIAR = 0x20
const GICC_AEOIR = 0x24
const GICC_AHPPIR = 0x28
const GICC_APR0 = 0xd0
const GICC_NSAPR0 = 0xe0
const GICC_IIDR = 0xfc
const GICC_DIR = 0x1000

/** GICC_IIDR: a GICv2 of Arm's. */
const IIDR = 0x0002_043b
/** The interrupt is of group 1, which this register does not acknowledge. */
const INTID_OTHER_GROUP = 1022

/* State flags besides those of ICC_CTLR_EL1. */
/** GICC_CTLR.AckCtl: GICC_IAR acknowledges interrupts of group 1 too. */
const ACKNOWLEDGE_ALL = 4
/** GICC_CTLR.FIQEn: group 0 is signalled as FIQ. */
export const FIQ_ENABLE = 8
/** GICC_CTLR's bits of these flags; EOImode is bit 9. */
const CTLR_GROUPS = 3
const CTLR_CBPR = 1 << 4
const CTLR_EOI_MODE = 1 << 9

/**
 * The CPU interfaces of a GICv2. GICC_AIAR, GICC_AEOIR, GICC_AHPPIR and GICC_ABPR are those of group 1.
 *
 * Source: Arm IHI 0048, 4.4 "CPU interface register descriptions".
 */
export class GicV2Interface {
  readonly #table: InterruptTable
  readonly #words: Int32Array
  readonly #arbiter: Arbiter
  readonly #sources: SgiSources

  constructor(table: InterruptTable, arbiter: Arbiter, sources: SgiSources) {
    this.#table = table
    this.#words = table.words
    this.#arbiter = arbiter
    this.#sources = sources
  }

  read(cpu: number, offset: number, size: number): number {
    if (!isWord(offset, size)) return 0
    const words = this.#words
    const block = this.#table.block(cpu)
    switch (offset) {
      case GICC_IAR:
        return this.#acknowledge(cpu, block)
      case GICC_AIAR:
        return this.#take(cpu, 1)
      case GICC_HPPIR: {
        const intid = this.#arbiter.highestPending(cpu, 0)
        if (intid !== INTID_SPURIOUS) return this.#withSender(cpu, intid)
        const other = this.#arbiter.highestPending(cpu, 1)
        if (other === INTID_SPURIOUS) return INTID_SPURIOUS
        return (words[block + L.INTERFACE_CONTROL]! & ACKNOWLEDGE_ALL) === 0
          ? INTID_OTHER_GROUP
          : this.#withSender(cpu, other)
      }
      case GICC_AHPPIR:
        return this.#withSender(cpu, this.#arbiter.highestPending(cpu, 1))
      case GICC_CTLR: {
        const flags = words[block + L.INTERFACE_CONTROL]!
        return (
          words[block + L.GROUP_ENABLES]! |
          (flags & (ACKNOWLEDGE_ALL | FIQ_ENABLE)) |
          ((flags & CONTROL_CBPR) !== 0 ? CTLR_CBPR : 0) |
          ((flags & CONTROL_EOI_MODE) !== 0 ? CTLR_EOI_MODE : 0)
        )
      }
      case GICC_PMR:
        return words[block + L.PRIORITY_MASK]!
      case GICC_BPR:
        return words[block + L.BINARY_POINT_0]!
      case GICC_ABPR:
        return words[block + L.BINARY_POINT_1]!
      case GICC_RPR:
        return this.#arbiter.runningPriority(cpu)
      case GICC_APR0:
        return words[block + L.ACTIVE_PRIORITIES_0]! >>> 0
      case GICC_NSAPR0:
        return words[block + L.ACTIVE_PRIORITIES_1]! >>> 0
      case GICC_IIDR:
        return IIDR
      default:
        return 0
    }
  }

  write(cpu: number, offset: number, size: number, value: number): void {
    if (!isWord(offset, size)) return
    const words = this.#words
    const block = this.#table.block(cpu)
    switch (offset) {
      case GICC_EOIR:
        this.#end(cpu, block, value & 0x3ff, false)
        return
      case GICC_AEOIR:
        this.#end(cpu, block, value & 0x3ff, true)
        return
      case GICC_DIR:
        // A write while EOImode is 0 is unpredictable; here it is ignored.
        if ((words[block + L.INTERFACE_CONTROL]! & CONTROL_EOI_MODE) !== 0) this.#arbiter.deactivate(cpu, value & 0x3ff)
        return
      case GICC_CTLR:
        words[block + L.GROUP_ENABLES] = value & CTLR_GROUPS
        words[block + L.INTERFACE_CONTROL] =
          (value & (ACKNOWLEDGE_ALL | FIQ_ENABLE)) |
          ((value & CTLR_CBPR) !== 0 ? CONTROL_CBPR : 0) |
          ((value & CTLR_EOI_MODE) !== 0 ? CONTROL_EOI_MODE : 0)
        break
      case GICC_PMR:
        words[block + L.PRIORITY_MASK] = value & PRIORITY_BITS
        break
      case GICC_BPR:
        this.#arbiter.setBinaryPoint(cpu, 0, value)
        return
      case GICC_ABPR:
        this.#arbiter.setBinaryPoint(cpu, 1, value)
        return
      case GICC_APR0:
        words[block + L.ACTIVE_PRIORITIES_0] = value
        break
      case GICC_NSAPR0:
        words[block + L.ACTIVE_PRIORITIES_1] = value
        break
      default:
        return
    }
    this.#arbiter.signal(cpu)
  }

  /** GICC_IAR: group 0, and with AckCtl group 1. */
  #acknowledge(cpu: number, block: number): number {
    const intid = this.#take(cpu, 0)
    if (intid !== INTID_SPURIOUS || !this.#arbiter.isSignalled(cpu)) return intid
    return (this.#words[block + L.INTERFACE_CONTROL]! & ACKNOWLEDGE_ALL) === 0 ? INTID_OTHER_GROUP : this.#take(cpu, 1)
  }

  /** Acknowledges the signalled interrupt, if it is of a group. The result includes an SGI's sender. */
  #take(cpu: number, group: number): number {
    const intid = this.#arbiter.acknowledge(cpu, group)
    if (intid >= 16) {
      // The other targets of a shared interrupt lose it.
      if (intid >= 32 && intid < FIRST_SPECIAL_INTID) this.#arbiter.updateAll()
      return intid
    }
    const sender = this.#sources.first(cpu, intid)
    // The same SGI from another sender stays pending.
    this.#sources.set(cpu, intid, this.#sources.get(cpu, intid) & ~(1 << sender))
    this.#arbiter.update(cpu)
    return intid | (sender << 10)
  }

  #withSender(cpu: number, intid: number): number {
    return intid < 16 ? intid | (this.#sources.first(cpu, intid) << 10) : intid
  }

  /** Drops the running priority of the interrupt's group, and deactivates it unless GICC_DIR does that. */
  #end(cpu: number, block: number, intid: number, onlyGroup1: boolean): void {
    if (intid >= Math.min(this.#table.end, FIRST_SPECIAL_INTID)) return
    const group = this.#table.groupOf(cpu, intid)
    if ((onlyGroup1 && group === 0) || this.#arbiter.activeGroup(cpu) < 0) return
    this.#arbiter.drop(cpu, group)
    if ((this.#words[block + L.INTERFACE_CONTROL]! & CONTROL_EOI_MODE) === 0) this.#arbiter.deactivate(cpu, intid)
  }
}
