/** The state that one vCPU's instructions share during execution: its parts, the address in hand, and steps that many take. */
import { PAGE_BYTES } from '@retrap/memory'
import { ARM_PAN, ARM_UNPRIVILEGED, ARM_WRITE } from '@retrap/paging'
import { faultIpa, hpfarValid, type ArmAbort } from './abort.ts'
import type { AccessPath } from './access-path.ts'
import type { CopyStep } from './copy.ts'
import { EffectiveAddress } from './effective-address.ts'
import type { Extent } from './explain.ts'
import { InstructionSet, type LoadStore } from '@retrap/arm-decoder'
import { type AccessLog, type AccessStatus, STATUS_DONE, STATUS_FAULT, STATUS_RESTART } from '@retrap/replay'
import { RegisterValue, writeR, writeX } from './registers.ts'
import { retire } from './retire.ts'
import type { DeviceOrder } from './serialise.ts'
import { isAArch32, isUser, PSTATE_PAN, PSTATE_UAO, type ArmVcpu } from './vcpu.ts'
import type { ArmWorld } from './world.ts'

/** The parts that an execution works with. */
export interface ExecutionParts {
  readonly vcpu: ArmVcpu
  readonly world: ArmWorld
  readonly order: DeviceOrder
  readonly log: AccessLog
  readonly path: AccessPath
  readonly zeroBlockBytes: number
  readonly copyOption: 'A' | 'B'
}

/** The state of a pass, and the steps that most instructions take. Made once per vCPU. */
export class ExecutionPass {
  /** The access made last was a write. */
  writing: boolean
  readonly vcpu: ArmVcpu
  readonly world: ArmWorld
  readonly order: DeviceOrder
  readonly log: AccessLog
  readonly path: AccessPath
  readonly zeroBlockBytes: number
  readonly copyOption: 'A' | 'B'
  readonly address: EffectiveAddress
  /** The memory that the instruction accesses. */
  readonly extent: { -readonly [Name in keyof Extent]: Extent[Name] }
  readonly copy: CopyStep
  readonly value: RegisterValue
  readonly other: RegisterValue
  readonly words: Uint32Array
  /** The base of an instruction with pointer authentication was authentic. */
  authentic: boolean

  constructor({ vcpu, world, order, log, path, zeroBlockBytes, copyOption }: ExecutionParts) {
    this.writing = false
    this.vcpu = vcpu
    this.world = world
    this.order = order
    this.log = log
    this.path = path
    this.zeroBlockBytes = zeroBlockBytes
    this.copyOption = copyOption
    this.address = new EffectiveAddress()
    this.extent = { lo: 0, hi: 0, bytes: 0, otherLo: 0, otherHi: 0 }
    this.copy = { bytes: 0, sourceLo: 0, sourceHi: 0, targetLo: 0, targetHi: 0 }
    this.value = new RegisterValue()
    this.other = new RegisterValue()
    this.words = new Uint32Array(2)
    this.authentic = true
  }

  /** `ARM_` bits of the instruction's accesses. */
  accessBits(insn: LoadStore, write: boolean): number {
    const user = this.userAccess(insn)
    const pan = !user && (this.vcpu.pstate & PSTATE_PAN) !== 0
    return (write ? ARM_WRITE : 0) | (user ? ARM_UNPRIVILEGED : 0) | (pan ? ARM_PAN : 0)
  }

  /** Whether the accesses have the rights of User mode. */
  userAccess(insn: LoadStore): boolean {
    if (isUser(this.vcpu)) return true
    if (!insn.form.attributes.has('unprivileged')) return false
    return isAArch32(this.vcpu) || (this.vcpu.pstate & PSTATE_UAO) === 0
  }

  /**
   * Translates the instruction's addresses. If the aborted page was remapped meanwhile, the guest retries without any
   * effect.
   */
  translate(insn: LoadStore, abort: ArmAbort, write: boolean, lo: number, hi: number, bytes: number): AccessStatus {
    const path = this.path
    this.writing = write
    const step = path.translate(lo, hi, bytes, this.accessBits(insn, write))
    const samePage = (path.faultLo & -PAGE_BYTES) === (abort.farLo & -PAGE_BYTES)
    if (step !== STATUS_DONE) return samePage ? STATUS_RESTART : step
    if (this.log.pass > 1 || !hpfarValid(abort.esr)) return STATUS_DONE
    const aarch32 = isAArch32(this.vcpu)
    const farHi = aarch32 ? 0 : abort.farLo >>> 0 < lo >>> 0 ? (hi + 1) >>> 0 : hi
    return path.ipaOf(abort.farLo >>> 0, farHi) === faultIpa(abort) ? STATUS_DONE : STATUS_RESTART
  }

  /** Makes the writes to RAM that were held. */
  flush(): void {
    this.log.forEachHeldWrite((lo, hi, size, bytes, offset) => this.world.writeRam(lo, hi, size, bytes, offset))
  }

  /** Writes the base register, where the instruction does. */
  writeback(insn: LoadStore): void {
    const { writeback, baseLo, baseHi } = this.address
    if (!writeback) return
    if (insn.set === InstructionSet.A64) writeX(this.vcpu, insn.rn, true, baseLo, baseHi)
    else writeR(this.vcpu, insn.rn, baseLo)
  }

  /** Ends the pass: the instruction retires. */
  retired(insn: LoadStore): AccessStatus {
    retire(this.vcpu, insn.length)
    return STATUS_DONE
  }

  /** Ends the pass with an alignment fault. */
  misaligned(lo: number, hi: number, write: boolean): AccessStatus {
    this.writing = write
    this.path.faultLo = lo
    this.path.faultHi = hi
    return STATUS_FAULT
  }
}
