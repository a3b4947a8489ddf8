import { ACCESS_WRITE } from '@retrap/paging'
import type { CallRegisters, ServicePlaces, XenArchitecture, XenProcessor } from '../architecture.ts'
import type { Hypercalls } from '../call.ts'
import { armHvmOp } from '../hvm-op.ts'
import { HvmParameter } from '../hvm-parameters.ts'
import { COMMON_HYPERCALLS } from '../hypercalls.ts'
import { memoryOp } from '../memory/memory-op.ts'
import { Hypercall, XenErrno, XenFeature } from '../numbers.ts'
import type { SharedInfo } from '../shared/shared-info.ts'
import { ARM_LAYOUTS, type SharedLayouts } from '../shared/shared-layouts.ts'
import { armVcpuOp } from '../vcpu/vcpu-op.ts'
import type { XenArmDomain, XenArmPlaces, XenArmVcpu } from './domain.ts'
import { ArmUpcalls } from './upcalls.ts'

/** X0 to X4 are arguments, and the result is in X0 (public header arch-arm.h, "Hypercall Calling Convention"). */
const ARGUMENTS = 5
const NUMBER_REGISTER = 16
const RESULT_REGISTER = 0

/** PSTATE.I: interrupts are masked. */
const PSTATE_I = 1 << 7
/** `PowerState.ON` of PSCI. */
const POWER_ON = 0

/* HVM_PARAM_CALLBACK_IRQ (public header hvm/params.h): a private interrupt, sensitive to the level; low, says the flag. */
const CALLBACK_TYPE_PPI = 2n << 56n
const CALLBACK_LEVEL_LOW = 2n << 8n

/** HVC is an instruction of EL1, whose code is A64. */
class ArmCallRegisters implements CallRegisters {
  readonly compat: boolean = false
  readonly allowed: boolean = true
  readonly #vcpu: XenArmVcpu

  constructor(vcpu: XenArmVcpu) {
    this.#vcpu = vcpu
  }

  get number(): bigint {
    return this.#vcpu.processor.registers.x(NUMBER_REGISTER)
  }
  set number(value: bigint) {
    this.#vcpu.processor.registers.setX(NUMBER_REGISTER, value)
  }

  argument(index: number): bigint {
    return index < ARGUMENTS ? this.#vcpu.processor.registers.x(index) : 0n
  }

  setArgument(index: number, value: bigint): void {
    if (index < ARGUMENTS) this.#vcpu.processor.registers.setX(index, value)
  }

  setResult(value: bigint): void {
    this.#vcpu.processor.registers.setX(RESULT_REGISTER, BigInt.asUintN(64, value))
  }
}

class ArmProcessor implements XenProcessor {
  readonly id: number
  readonly registers: CallRegisters
  readonly copyRights: number = 0
  readonly #vcpu: XenArmVcpu

  constructor(vcpu: XenArmVcpu) {
    this.id = vcpu.id
    this.registers = new ArmCallRegisters(vcpu)
    this.#vcpu = vcpu
  }

  get isStarted(): boolean {
    return this.#vcpu.power === POWER_ON
  }

  get interruptWaits(): boolean {
    return this.#vcpu.processor.interruptWaits
  }

  guestPhysical(lo: number, hi: number, access: number): number {
    return this.#vcpu.translation.guestPhysical(lo, hi, (access & ACCESS_WRITE) !== 0)
  }

  endTurn(): void {
    this.#vcpu.cpu.endTurn()
  }

  pause(): void {
    this.endTurn()
  }

  allowEvents(): void {
    this.#vcpu.processor.registers.pstate &= ~PSTATE_I
  }
}

/** An Arm board, as Xen's interface depends on it. */
export class ArmArchitecture implements XenArchitecture<ArmUpcalls> {
  readonly vcpus: readonly XenProcessor[]
  readonly layouts: SharedLayouts = ARM_LAYOUTS
  readonly name = 'arm'
  readonly parameterValues: XenArchitecture['parameterValues']
  readonly places: ServicePlaces
  readonly features: number =
    (1 << XenFeature.WRITABLE_PAGE_TABLES) |
    (1 << XenFeature.AUTO_TRANSLATED_PHYSMAP) |
    (1 << XenFeature.MEMORY_OP_VNODE_SUPPORTED) |
    (1 << XenFeature.ARM_SMCCC_SUPPORTED) |
    (1 << XenFeature.NOT_DIRECT_MAPPED)
  readonly capabilities: string = 'xen-3.0-aarch64'
  /** There are no interrupts of devices to take by event channel. */
  readonly wires: XenArchitecture['wires'] = { inputs: 0, asserted: () => false }
  readonly #domain: XenArmDomain
  readonly #interrupt: number

  constructor(domain: XenArmDomain, { storeFrame, consoleFrame, eventInterrupt }: XenArmPlaces) {
    this.#domain = domain
    this.#interrupt = eventInterrupt
    this.vcpus = domain.vcpus.map((vcpu) => new ArmProcessor(vcpu))
    this.places = { store: storeFrame, console: consoleFrame }
    const callback = CALLBACK_TYPE_PPI | CALLBACK_LEVEL_LOW | BigInt(eventInterrupt)
    this.parameterValues = [[HvmParameter.CALLBACK_IRQ, callback]]
  }

  intercept(): void {}

  makeUpcalls(info: SharedInfo): ArmUpcalls {
    return new ArmUpcalls(this.#domain, info, this.#interrupt)
  }

  /** Guests read the generic timer. */
  timeInfo(): null {
    return null
  }
}

/** The hypercalls of Arm guests. `physdev_op` exists, but has no operation for guests. */
export const ARM_HYPERCALLS: Hypercalls = {
  ...COMMON_HYPERCALLS,
  [Hypercall.MEMORY_OP]: memoryOp,
  [Hypercall.VCPU_OP]: armVcpuOp,
  [Hypercall.PHYSDEV_OP]: () => XenErrno.NOSYS,
  [Hypercall.HVM_OP]: armHvmOp,
}
