import { viewed, type Word64 } from '@retrap/device'
import { checkInteger, checkMethod, checkObject, IrqchipError, regionFor, type StateRegion } from '../arguments.ts'
import { Controller } from '../saved-words.ts'
import { Arbiter, type Forwarding } from './arbiter.ts'
import { CpuInterface } from './cpu-interface.ts'
import { DistributorFrame, RedistributorFrames } from './frames.ts'
import { InterruptTable } from './interrupt-table.ts'
import * as lpiParts from './lpis.ts'
import * as L from './layout.ts'
import { stateBytes } from './layout.ts'
import { GICD_CTLR_GROUPS, GICR_BYTES, WAKER_CHILDREN_ASLEEP, WAKER_PROCESSOR_SLEEP } from './registers.ts'
import { savedTable } from './saved-table.ts'

/** SPIs that a GIC can have at most. */
export const MOST_SPIS = 988
const MOST_CPUS = 64
/** Targets that an SGI's list can name in one cluster. */
const CLUSTER = 16

/** Registers that are mapped into memory. Offsets count from the first one; a word is unsigned. */
export interface GicFrame {
  /** Reads 1, 2 or 4 bytes; 0 for unknown registers. */
  read(offset: number, size: number): number
  /** Writes 1, 2 or 4 bytes. */
  write(offset: number, size: number, value: number): void
  /** Reads 8 bytes. */
  read64(offset: number, into: Word64): void
  /** Writes 8 bytes. */
  write64(offset: number, lo: number, hi: number): void
}

/** Options of a {@link GicV3}. */
export interface GicV3Options {
  /** vCPUs, 1–64. */
  readonly cpus: number
  /** Shared interrupts, 32–988. Default 256. */
  readonly spis?: number
  /** Affinity of each vCPU: Aff3 to Aff0, a byte each. Default clusters of 16: `index >> 4 << 8 | index & 15`. */
  readonly affinities?: readonly number[]
  /** Called when IRQ or FIQ of a vCPU has changed: `irqPending` and `fiqPending` return the new levels. */
  signal(cpu: number): void
  /** Guest memory, where the tables of LPIs lie. Default: no LPIs. */
  readonly memory?: lpiParts.GicMemory
  /** `gicV3StateBytes(cpus, lpis)` of machine memory, zeroed; default a new buffer. */
  readonly state?: StateRegion
}

/** Counts the bytes of machine memory that the state of a {@link GicV3} takes. @param lpis - whether it has LPIs */
export function gicV3StateBytes(cpus: number, lpis = false): number {
  checkInteger('cpus', cpus, 1, MOST_CPUS)
  return stateBytes(cpus) + (lpis ? lpiParts.lpiStateBytes(cpus) : 0)
}

/** The affinity of a vCPU in clusters of 16. */
export function defaultAffinity(cpu: number): number {
  return ((cpu >> 4) << 8) | (cpu & 15)
}

/**
 * A GICv3: distributor, redistributors, and the system registers of the CPU interfaces at EL1.
 *
 * One security state (GICD_CTLR.DS = 1), affinity routing only, 32 levels of priority. Group 0 is signalled as FIQ, group 1
 * as IRQ. An SPI for any processor goes to one that takes its group: the search begins at the INTID modulo the number of
 * vCPUs, so that an interrupt stays where it was, and different ones are spread.
 *
 * Source: Arm IHI 0069 (issue H).
 */
export class GicV3 extends Controller {
  /** The distributor's registers: 64 KiB. */
  readonly distributor: GicFrame
  /** The redistributors' registers: 128 KiB for each vCPU. */
  readonly redistributors: GicFrame
  /** vCPUs. */
  readonly cpus: number
  /** LPIs, for an ITS; nothing without `memory`. */
  readonly lpis: lpiParts.LpiControl | undefined
  readonly #lpis: lpiParts.Lpis | undefined
  readonly #table: InterruptTable
  readonly #arbiter: Arbiter
  readonly #interface: CpuInterface
  readonly #redistributors: RedistributorFrames
  readonly #affinities: readonly number[]
  readonly #cpuOf = new Map<number, number>()

  /** @throws IrqchipError `ERR_INVALID` for a wrong argument; a list of SGI targets names only Aff0 from 0 to 15 */
  constructor(options: GicV3Options) {
    super()
    checkObject('options', options)
    const { cpus, spis = 256 } = options
    const { memory } = options
    if (memory !== undefined) lpiParts.checkMemory(memory)
    const bytes = gicV3StateBytes(cpus, memory !== undefined)
    checkInteger('spis', spis, 32, MOST_SPIS)
    checkMethod(options, 'signal')
    if (options.affinities !== undefined) checkObject('affinities', options.affinities)
    const state = regionFor(bytes, options.state)
    this.cpus = cpus
    this.#affinities = Array.from({ length: cpus }, (_, cpu) => {
      const affinity = options.affinities === undefined ? defaultAffinity(cpu) : options.affinities[cpu]
      checkInteger(`affinity of vCPU ${cpu}`, affinity, 0, 0xffff_ffff)
      if ((affinity! & 0xff) >= CLUSTER || this.#cpuOf.has(affinity! | 0)) {
        const what = `affinity of vCPU ${cpu} is 0x${affinity!.toString(16)}`
        throw new IrqchipError('ERR_INVALID', `${what}: expected one of its own, with Aff0 from 0 to 15`)
      }
      this.#cpuOf.set(affinity! | 0, cpu)
      return affinity! | 0
    })
    this.#table = new InterruptTable(state, cpus, spis)
    const forwarding: Forwarding = {
      forwardedGroups: (cpu) => this.#forwardedGroups(cpu),
      isRoutedTo: (intid, cpu) => this.#targetOf(intid) === cpu,
      signalOf: (_cpu, group) => (group === 0 ? L.SIGNAL_FIQ : L.SIGNAL_IRQ),
      offerOthers: (cpu, arbiter) => this.#lpis?.offerTo(arbiter, cpu),
      acknowledged: (cpu, intid) => this.#lpis?.acknowledged(cpu, intid),
    }
    this.#arbiter = new Arbiter(this.#table, forwarding, (cpu) => options.signal(cpu))
    if (memory !== undefined) {
      const lpiState = { buffer: state.buffer, byteOffset: state.byteOffset + stateBytes(cpus) }
      this.#lpis = new lpiParts.Lpis(this.#table, memory, this.#arbiter, lpiState)
      this.lpis = this.#lpis
    }
    const none = viewed(
      () => [],
      () => undefined,
    )
    this.keeps(
      { version: 1, ...savedTable(this.#table), lpis: this.#lpis ?? none },
      { device: 'GICv3', settled: () => this.#arbiter.updateAll() },
    )
    this.#interface = new CpuInterface(
      this.#table,
      this.#arbiter,
      (cpu, group, lo, hi) => this.#sendSgi(cpu, group, lo, hi),
      () => this.#arbiter.updateAll(),
    )
    this.distributor = new DistributorFrame(this.#table, memory !== undefined, () => this.#arbiter.updateAll())
    this.#redistributors = new RedistributorFrames(
      this.#table,
      this.#affinities,
      this.#lpis,
      (cpu) => this.#arbiter.update(cpu),
      () => this.#arbiter.updateAll(),
    )
    this.redistributors = this.#redistributors
    this.reset()
  }

  /** Bytes of the redistributors' registers. */
  get redistributorBytes(): number {
    return GICR_BYTES * this.cpus
  }

  /** Whether a vCPU's IRQ is asserted. */
  irqPending(cpu: number): boolean {
    return (this.#table.words[this.#table.block(cpu) + L.SIGNALS]! & L.SIGNAL_IRQ) !== 0
  }

  /** Whether a vCPU's FIQ is asserted. */
  fiqPending(cpu: number): boolean {
    return (this.#table.words[this.#table.block(cpu) + L.SIGNALS]! & L.SIGNAL_FIQ) !== 0
  }

  /**
   * Drives the input of a shared interrupt.
   *
   * @param intid - 32 and up
   * @throws IrqchipError `ERR_INVALID` for an unknown interrupt
   */
  setLine(intid: number, level: boolean): void {
    checkInteger('INTID of an SPI', intid, 32, this.#table.end - 1)
    if (!this.#table.drive(0, intid, level)) return
    const target = this.#targetOf(intid)
    if (target >= 0) this.#arbiter.update(target)
  }

  /**
   * Drives the input of a private interrupt of a vCPU.
   *
   * @param intid - 16–31
   * @throws IrqchipError `ERR_INVALID` for an unknown interrupt or vCPU
   */
  setPpi(cpu: number, intid: number, level: boolean): void {
    checkInteger('INTID of a PPI', intid, 16, 31)
    checkInteger('vCPU', cpu, 0, this.cpus - 1)
    if (this.#table.drive(cpu, intid, level)) this.#arbiter.update(cpu)
  }

  /**
   * Connects a vCPU's interface to its redistributor (GICR_WAKER), as secure firmware does before it starts the vCPU; or
   * disconnects it, as firmware does when it turns the vCPU off. An operating system does not change this.
   *
   * @throws IrqchipError `ERR_INVALID` for an unknown vCPU
   */
  connect(cpu: number, connected: boolean): void {
    checkInteger('vCPU', cpu, 0, this.cpus - 1)
    this.#redistributors.connect(cpu, connected)
  }

  /**
   * Reads a system register of a vCPU.
   *
   * @param encoding - op0:op1:CRn:CRm:op2, 16 bits, as encoded in MRS
   * @returns false for an UNDEFINED access, which leaves `into` undefined
   */
  readSystemRegister(cpu: number, encoding: number, into: Word64): boolean {
    return this.#interface.read(cpu, encoding, into)
  }

  /** Writes a system register of a vCPU. @returns false for an UNDEFINED access */
  writeSystemRegister(cpu: number, encoding: number, lo: number, hi: number): boolean {
    return this.#interface.write(cpu, encoding, lo, hi)
  }

  /** Nothing is forwarded to a processor that sleeps. */
  #forwardedGroups(cpu: number): number {
    const { words } = this.#table
    const sleeps = (words[this.#table.block(cpu) + L.WAKER]! & WAKER_PROCESSOR_SLEEP) !== 0
    return sleeps ? 0 : words[L.DISTRIBUTOR_CONTROL]! & GICD_CTLR_GROUPS
  }

  /** Returns the target vCPU of a shared interrupt; −1 if its route names no vCPU. */
  #targetOf(intid: number): number {
    const table = this.#table
    if (!table.isForAny(intid)) return this.#cpuOf.get(table.words[L.ROUTES + intid]!) ?? -1
    const group = table.groupOf(0, intid)
    for (let i = 0; i < this.cpus; i++) {
      const cpu = (intid + i) % this.cpus
      const takes = (table.words[table.block(cpu) + L.GROUP_ENABLES]! >>> group) & 1
      if (takes !== 0 && ((this.#forwardedGroups(cpu) >>> group) & 1) !== 0) return cpu
    }
    return -1
  }

  /** ICC_SGI*R: an interrupt for a list of processors, or for all others. It must be of the register's group there. */
  #sendSgi(sender: number, group: number, lo: number, hi: number): void {
    const intid = (lo >>> 24) & 15
    const others = (hi & 0x100) !== 0
    const cluster = ((hi & 0xff_0000) << 8) | ((hi & 0xff) << 16) | ((lo >>> 8) & 0xff00)
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      const affinity = this.#affinities[cpu]!
      const named = others ? cpu !== sender : (affinity & ~0xff) === cluster && ((lo >>> (affinity & 0xff)) & 1) !== 0
      if (!named || this.#table.groupOf(cpu, intid) !== group) continue
      this.#table.setBit(L.LATCHED, cpu, intid, true)
      this.#arbiter.update(cpu)
    }
  }

  /** Power-on state. Inputs keep the levels that their drivers give them; IRQ and FIQ are low. */
  override reset(): void {
    const { words } = this.#table
    this.#table.reset()
    this.#arbiter.reset()
    this.#lpis?.reset()
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      words[this.#table.block(cpu) + L.WAKER] = WAKER_PROCESSOR_SLEEP | WAKER_CHILDREN_ASLEEP
    }
    this.#arbiter.updateAll()
  }
}
