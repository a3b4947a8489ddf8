import { Stateful } from '@retrap/device'
/** One vCPU's side of the TPR patcher. */
import { PAGE_BYTES } from '@retrap/memory'
import { STATUS_DONE, STATUS_RESTART } from '@retrap/replay'
import type { TprAccess, VapicPatcher, VapicRegisters } from '@retrap/vapic'
import { VapicState } from '@retrap/vapic'
import { CS, FS, MODE_32 } from '@retrap/x86-cpu'
import type { TprWatch } from '../surroundings.ts'
import type { X86Vcpu } from '../vcpu.ts'

const TPR_OFFSET = 0x80
// Low words of general registers.
const EAX = 0
const ESP = 2 * 4
/** VMCALL's number for polling. */
const HYPERCALL_POLL = 1

/**
 * Reports that may be refused in a row before accesses go by unreported: 2, then 4, up to 4096 between two reports. A
 * guest whose accesses cannot be patched is not to pay for being told so each time.
 */
const PATIENCE = 32
const LONGEST_PAUSE = 4096

/** The access of the instruction under way that the patcher is to be notified of. */
type Noted = TprAccess | 'port' | null

/** Settings for reporting a vCPU's accesses. */
export interface VcpuVapicOptions {
  /** Report the instruction after the access, like hypervisors that are notified late. */
  readonly behind: boolean
  /** Guest-physical address of an APIC's page that is not the processor's own; −1: none. */
  readonly apicPage: number
}

/**
 * Notes what an instruction does to the task priority register or port 7Eh, and hands it to the patcher when the
 * instruction has retired, with all other vCPUs between instructions: the patcher may rewrite this very instruction.
 *
 * To that end such an instruction runs alone, in a logged pass, and the vCPU comes back to its domain after it. An access that
 * waits for a device is noted anew in each pass; one that faults is not reported.
 */
export class VcpuVapic extends Stateful implements TprWatch {
  /** Accesses are reported. */
  reporting = false
  readonly #vcpu: X86Vcpu
  readonly #patcher: VapicPatcher
  readonly #options: VcpuVapicOptions
  #noted: Noted = null
  /** Instructions that had retired by then. */
  #retired = 0
  readonly #at = { eip: 0, esp: 0, fsBase: 0 }
  #gpa = 0
  #portSize = 0
  #portValue = 0
  #settling = false
  /** Reports that have been refused in a row, and accesses that go by before the next report. */
  readonly #r = this.keeps({ refusals: 0, pause: 0 }, { device: 'TPR patcher' })

  constructor(vcpu: X86Vcpu, patcher: VapicPatcher, options: VcpuVapicOptions) {
    super()
    this.#vcpu = vcpu
    this.#patcher = patcher
    this.#options = options
  }

  /** Whether an access has to be reported: it concerns the task priority register. */
  watches(gpa: number): boolean {
    if (
      !this.reporting ||
      // A patch is made in the guest's own code, which the handler of an SMI is not.
      this.#vcpu.cpu.inSystemManagement ||
      (gpa & (PAGE_BYTES - 1)) !== TPR_OFFSET ||
      !(this.#vcpu.apic.decodes(gpa) || gpa - TPR_OFFSET === this.#options.apicPage)
    ) {
      return false
    }
    if (this.#r.pause === 0) return true
    this.#r.pause--
    return false
  }

  /** The instruction makes an access, in a logged pass. */
  accessed(access: TprAccess, gpa: number): void {
    // The patches are 32-bit code.
    if (this.#vcpu.cpu.registers.mode !== MODE_32) return
    this.#gpa = gpa
    this.#note(access)
  }

  /** A write to port 7Eh. @returns STATUS_DONE, or STATUS_RESTART outside a logged pass */
  portWrite(size: number, value: number, logged: boolean): number {
    if (size === 4) {
      this.#patcher.poll(this.#vcpu.id)
      return STATUS_DONE
    }
    if (!logged) return STATUS_RESTART
    this.#portSize = size
    this.#portValue = value
    this.#note('port')
    return STATUS_DONE
  }

  /** A hypercall. @returns whether it was a helper's poll */
  hypercall(): boolean {
    const { registers } = this.#vcpu.cpu
    if (
      registers.generalWords[EAX] !== HYPERCALL_POLL ||
      registers.mode !== MODE_32 ||
      registers.cpl !== 0 ||
      this.#patcher.state === VapicState.INACTIVE
    ) {
      return false
    }
    this.#patcher.poll(this.#vcpu.id)
    registers.generalWords[EAX] = 0
    return true
  }

  #note(noted: Noted): void {
    const { cpu } = this.#vcpu
    this.#noted = noted
    this.#retired = cpu.retired
    this.#readRegisters()
    cpu.stop()
  }

  #readRegisters(): void {
    const { registers } = this.#vcpu.cpu
    this.#at.eip = (registers.segmentBaseLo(CS) + registers.eip) >>> 0
    this.#at.esp = registers.generalWords[ESP]!
    this.#at.fsBase = registers.segmentBaseLo(FS)
  }

  /** Returns the registers of the reported instruction, or the present ones. */
  registers(): VapicRegisters {
    if (!this.#settling) this.#readRegisters()
    return this.#at
  }

  /** Passes noted accesses to the patcher, after the vCPU has returned to its domain. */
  settle(): void {
    const noted = this.#noted
    const { id, cpu } = this.#vcpu
    if (noted === null || cpu.busy) return
    this.#noted = null
    if (cpu.retired === this.#retired) return
    const { behind } = this.#options
    if (behind && noted !== 'port') this.#readRegisters()
    this.#settling = true
    if (noted === 'port') this.#patcher.portWrite(id, this.#portSize, this.#portValue)
    else this.#reported(this.#patcher.report(id, { access: noted, gpa: this.#gpa, behind }))
    this.#settling = false
  }

  #reported(patched: boolean): void {
    this.#r.refusals = patched ? 0 : this.#r.refusals + 1
    if (this.#r.refusals > PATIENCE) this.#r.pause = Math.min(2 ** (this.#r.refusals - PATIENCE), LONGEST_PAUSE)
  }

  /** Forgets noted accesses at a reset. */
  forget(): void {
    this.reset()
    this.#noted = null
  }
}
