import type { Word64 } from '@retrap/device'
import type { Arbiter } from './arbiter.ts'
import { PRIORITY_BITS, type InterruptTable } from './interrupt-table.ts'
import * as L from './layout.ts'
import * as registers from './registers.ts'

/** ICC_CTLR_EL1: five bits of priority (PRIbits), 24 of INTID (IDbits), all of affinity 3 (A3V). */
const CONTROL_FIXED = (4 << 8) | (1 << 11) | (1 << 15)
/** ICC_SRE_EL1: only system registers, no bypass. */
const SRE_FIXED = 7

/** Sends an SGI of a group to the processors that the value of an ICC_SGI*R register names. */
export type SendSgi = (cpu: number, group: number, lo: number, hi: number) => void

/**
 * The system registers of a GICv3 at EL1: ICC_*_EL1 with one security state, no EL2 and no EL3.
 *
 * Source: Arm IHI 0069, 12.2 "AArch64 System register descriptions".
 */
export class CpuInterface {
  readonly #table: InterruptTable
  readonly #words: Int32Array
  readonly #arbiter: Arbiter
  readonly #send: SendSgi
  /** Called where the groups that a processor takes have changed. */
  readonly #groupsChanged: (cpu: number) => void

  constructor(table: InterruptTable, arbiter: Arbiter, send: SendSgi, groupsChanged: (cpu: number) => void) {
    this.#table = table
    this.#words = table.words
    this.#arbiter = arbiter
    this.#send = send
    this.#groupsChanged = groupsChanged
  }

  /** Reads a register. @returns false for an UNDEFINED access */
  read(cpu: number, encoding: number, into: Word64): boolean {
    const words = this.#words
    const block = this.#table.block(cpu)
    into.hi = 0
    switch (encoding) {
      case registers.ICC_IAR0_EL1:
        into.lo = this.#arbiter.acknowledge(cpu, 0)
        return true
      case registers.ICC_IAR1_EL1:
        into.lo = this.#arbiter.acknowledge(cpu, 1)
        return true
      case registers.ICC_HPPIR0_EL1:
        into.lo = this.#arbiter.highestPending(cpu, 0)
        return true
      case registers.ICC_HPPIR1_EL1:
        into.lo = this.#arbiter.highestPending(cpu, 1)
        return true
      case registers.ICC_RPR_EL1:
        into.lo = this.#arbiter.runningPriority(cpu)
        return true
      case registers.ICC_PMR_EL1:
        into.lo = words[block + L.PRIORITY_MASK]!
        return true
      case registers.ICC_BPR0_EL1:
        into.lo = words[block + L.BINARY_POINT_0]!
        return true
      case registers.ICC_BPR1_EL1:
        // With CBPR set, reads give the non-secure view, because all accesses here are non-secure.
        into.lo = this.#isCommon(block)
          ? Math.min(words[block + L.BINARY_POINT_0]! + 1, 7)
          : words[block + L.BINARY_POINT_1]!
        return true
      case registers.ICC_CTLR_EL1:
        into.lo = words[block + L.INTERFACE_CONTROL]! | CONTROL_FIXED
        return true
      case registers.ICC_SRE_EL1:
        into.lo = SRE_FIXED
        return true
      case registers.ICC_IGRPEN0_EL1:
        into.lo = words[block + L.GROUP_ENABLES]! & 1
        return true
      case registers.ICC_IGRPEN1_EL1:
        into.lo = words[block + L.GROUP_ENABLES]! >> 1
        return true
      case registers.ICC_AP0R0_EL1:
        into.lo = words[block + L.ACTIVE_PRIORITIES_0]! >>> 0
        return true
      case registers.ICC_AP1R0_EL1:
        into.lo = words[block + L.ACTIVE_PRIORITIES_1]! >>> 0
        return true
      default:
        return false
    }
  }

  /** Writes a register. @returns false for an UNDEFINED access */
  write(cpu: number, encoding: number, lo: number, hi: number): boolean {
    const words = this.#words
    const block = this.#table.block(cpu)
    switch (encoding) {
      case registers.ICC_EOIR0_EL1:
        this.#end(cpu, 0, lo)
        return true
      case registers.ICC_EOIR1_EL1:
        this.#end(cpu, 1, lo)
        return true
      case registers.ICC_DIR_EL1:
        // A write while EOImode is 0 is unpredictable; here it is ignored.
        if ((words[block + L.INTERFACE_CONTROL]! & registers.CONTROL_EOI_MODE) !== 0)
          this.#arbiter.deactivate(cpu, lo & 0xff_ffff)
        return true
      case registers.ICC_PMR_EL1:
        words[block + L.PRIORITY_MASK] = lo & PRIORITY_BITS
        this.#arbiter.signal(cpu)
        return true
      case registers.ICC_SGI1R_EL1:
        this.#send(cpu, 1, lo, hi)
        return true
      case registers.ICC_SGI0R_EL1:
      // Registers for the other security state: with a single one they act as group 0's.
      case registers.ICC_ASGI1R_EL1:
        this.#send(cpu, 0, lo, hi)
        return true
      case registers.ICC_BPR0_EL1:
        this.#arbiter.setBinaryPoint(cpu, 0, lo)
        return true
      case registers.ICC_BPR1_EL1:
        if (!this.#isCommon(block)) this.#arbiter.setBinaryPoint(cpu, 1, lo)
        return true
      case registers.ICC_CTLR_EL1:
        words[block + L.INTERFACE_CONTROL] = lo & (registers.CONTROL_CBPR | registers.CONTROL_EOI_MODE)
        this.#arbiter.signal(cpu)
        return true
      case registers.ICC_SRE_EL1:
        return true
      case registers.ICC_IGRPEN0_EL1:
      case registers.ICC_IGRPEN1_EL1: {
        const bit = encoding === registers.ICC_IGRPEN0_EL1 ? 1 : 2
        words[block + L.GROUP_ENABLES] = (words[block + L.GROUP_ENABLES]! & ~bit) | ((lo & 1) !== 0 ? bit : 0)
        this.#groupsChanged(cpu)
        return true
      }
      case registers.ICC_AP0R0_EL1:
      case registers.ICC_AP1R0_EL1:
        words[block + (encoding === registers.ICC_AP0R0_EL1 ? L.ACTIVE_PRIORITIES_0 : L.ACTIVE_PRIORITIES_1)] = lo
        this.#arbiter.signal(cpu)
        return true
      default:
        return false
    }
  }

  #isCommon(block: number): boolean {
    return (this.#words[block + L.INTERFACE_CONTROL]! & registers.CONTROL_CBPR) !== 0
  }

  /** EOIR: the running priority drops if it is of the register's group; the interrupt is deactivated unless DIR does it. */
  #end(cpu: number, group: number, value: number): void {
    const intid = value & 0xff_ffff
    if (intid >= Math.min(this.#table.end, registers.FIRST_SPECIAL_INTID) && intid < registers.FIRST_LPI) return
    if (this.#arbiter.activeGroup(cpu) !== group) return
    this.#arbiter.drop(cpu, group)
    const split = (this.#words[this.#table.block(cpu) + L.INTERFACE_CONTROL]! & registers.CONTROL_EOI_MODE) !== 0
    if (!split) this.#arbiter.deactivate(cpu, intid)
  }
}
