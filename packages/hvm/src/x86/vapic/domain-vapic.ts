/** The TPR patcher of a domain. */
import type { PlainState } from '@retrap/device'
import { type PollMethod, type SavedVapic, VapicPatcher } from '@retrap/vapic'
import { HvmError } from '../../errors.ts'
import type { X86Domain } from '../domain.ts'
import { DomainVapicHost } from './vapic-host.ts'
import { VcpuVapic } from './vcpu-vapic.ts'
import type { TaskPriorityRecord } from '@retrap/irqchip'
import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import type { DirtyLogs } from '../../memory/dirty-logs.ts'

const IN_SERVICE = 1
const PENDING = 3

/** A vCPU's record in the option ROM's area, where the helpers keep the task priority. */
export class GuestRecord implements TaskPriorityRecord {
  readonly #memory: MachineMemory
  readonly #logs: DirtyLogs
  readonly #gpa: number
  /** Machine address; −1: to be looked up. */
  #ma = -1
  /** The priority to return while no memory is mapped. */
  #last = 0

  constructor(memory: MachineMemory, logs: DirtyLogs, gpa: number) {
    this.#memory = memory
    this.#logs = logs
    this.#gpa = gpa
  }

  /** The p2m has changed. */
  moved(): void {
    this.#ma = -1
  }

  /** A record lies in one frame, because it is aligned to its size. */
  #address(): number {
    return this.#ma < 0 ? (this.#ma = this.#logs.writable(this.#gpa)) : this.#ma
  }

  read(): number {
    const ma = this.#address()
    return ma < 0 ? this.#last : (this.#last = this.#memory.u8[ma]!)
  }

  write(taskPriority: number): void {
    this.#last = taskPriority
    this.#store(0, taskPriority)
  }

  publish(inService: number, pending: number): void {
    this.#store(IN_SERVICE, inService)
    this.#store(PENDING, pending)
  }

  #store(offset: number, value: number): void {
    const ma = this.#address()
    const { u8 } = this.#memory
    if (ma < 0 || u8[ma + offset] === value) return
    // Mark first, so that a log can copy the frame's contents before the write.
    this.#logs.mark(Math.floor(this.#gpa / PAGE_BYTES), 1)
    u8[ma + offset] = value
    this.#memory.noteStore(ma + offset, 1)
  }
}

/** How a domain's TPR patcher is set up. */
export interface DomainVapicOptions {
  /** The way in which helpers ask for interrupts. Default `vmcall`. */
  readonly poll?: PollMethod | undefined
  /**
   * Reports name the instruction after the access, and the patcher looks backward: what hypervisors give that are notified of an
   * access only when it is over. Default false.
   */
  readonly behind?: boolean | undefined
  /** Guest-physical address of an APIC's register page that an ioreq server answers, beside the processors' own. */
  readonly apicPage?: number | undefined
  /** Makes whole pages of read-only ROM writable, and the previous ones read-only again. Not needed where ROM is RAM. */
  readonly mapRomWritable?: (gpa: number, bytes: number) => void
  /** Makes the ROM read-only again. */
  readonly unmapRom?: () => void
}

/** Saved form of a {@link DomainVapic}, for a domain whose memory and vCPUs are saved with it. */
export interface DomainVapicState {
  /** Version of this form. */
  readonly version: 1
  /** The patcher's own, as QEMU's device saves it; `encodeSaved` of `@retrap/vapic` makes its bytes. */
  readonly patcher: SavedVapic
  /** By vCPU. */
  readonly vcpus: readonly PlainState[]
}

/** Counts of a domain's TPR patcher. */
export interface VapicStatistics {
  /** Number of rewritten instructions. */
  readonly patchedSites: number
  /** Times that helpers have asked for interrupts. */
  readonly polls: number
  /** Calls of helpers, which our own option ROM counts in its records; undefined for another ROM. */
  readonly helperCalls: number | undefined
}

/**
 * A `VapicPatcher` over a domain.
 *
 * The patcher runs between the turns of the vCPUs, which share one thread, so that all vCPUs are stopped: between
 * instructions, or within one that waits for a device, whose bytes its log has pinned.
 */
export class DomainVapic {
  /** Finds instructions and rewrites them. */
  readonly patcher: VapicPatcher
  readonly #domain: X86Domain
  readonly #vcpus: readonly VcpuVapic[]
  readonly #records = new Map<number, GuestRecord>()

  constructor(domain: X86Domain, options: DomainVapicOptions = {}) {
    this.#domain = domain
    const { poll = 'vmcall', behind = false, apicPage = -1, mapRomWritable, unmapRom } = options
    const host = new DomainVapicHost(domain, poll, {
      mapRomWritable: (gpa, bytes) => mapRomWritable?.(gpa, bytes),
      unmapRom: () => unmapRom?.(),
      registers: (vcpu) => this.#vcpus[vcpu]!.registers(),
      reportTprAccesses: (enabled) => {
        for (const watch of this.#vcpus) watch.reporting = enabled
      },
      useRecord: (vcpu, gpa) => this.#useRecord(vcpu, gpa),
    })
    this.patcher = new VapicPatcher(host)
    this.#vcpus = domain.vcpus.map((vcpu) => {
      const watch = new VcpuVapic(vcpu, this.patcher, { behind, apicPage })
      vcpu.vapic = watch
      return watch
    })
    domain.architecture.vapic = this
    domain.p2m.onChange(() => {
      for (const record of this.#records.values()) record.moved()
    })
  }

  /** Returns counts of the patcher's work since power-on. */
  statistics(): VapicStatistics {
    const { counts, sites, helperCalls } = this.patcher
    return { patchedSites: sites.length, polls: counts.polls, helperCalls }
  }

  /** Power-on: nothing is announced or patched. */
  reset(): void {
    for (const watch of this.#vcpus) watch.forget()
    this.patcher.reset()
  }

  /**
   * The state that is not in guest memory. The vCPUs are between two instructions, or within a waiting one, which reports
   * its access again when it resumes.
   */
  save(): DomainVapicState {
    return { version: 1, patcher: this.patcher.save(), vcpus: this.#vcpus.map((vcpu) => vcpu.save()) }
  }

  /**
   * Takes a saved state, after memory and vCPUs have been restored.
   *
   * @throws HvmError `ERR_STATE` for another version or number of vCPUs; VapicError `ERR_SAVED` for other invalid states
   */
  restore(state: DomainVapicState): void {
    const { version, patcher, vcpus } = state
    if (version !== 1 || vcpus.length !== this.#vcpus.length) {
      const given = `TPR patcher's state of version ${String(version)} with ${vcpus.length} vCPUs`
      throw new HvmError('ERR_STATE', `${given}: expected version 1 with ${this.#vcpus.length}`)
    }
    this.reset()
    this.patcher.restore(patcher)
    for (const [id, vcpu] of vcpus.entries()) this.#vcpus[id]?.restore(vcpu)
  }

  #useRecord(id: number, gpa: number | undefined): void {
    const { apic } = this.#domain.vcpus[id]!
    if (gpa === undefined) {
      this.#records.delete(id)
      apic.useRecord(null)
      return
    }
    const record = new GuestRecord(this.#domain.memory, this.#domain.dirtyLogs, gpa)
    this.#records.set(id, record)
    apic.useRecord(record)
  }
}
