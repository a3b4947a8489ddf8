import { type Hypercalls, XenCall } from '../call.ts'
import { DomainCalls } from '../domain-calls.ts'
import { type XenOptions, XenState } from '../xen-state.ts'
import type { XenArmCalls, XenArmDomain, XenArmPlaces, XenArmVcpu } from './domain.ts'
import type { XenGuest } from '../guest.ts'
import { ACCESS_WRITE } from '@retrap/paging'
import type { CallRegisters, Upcalls, XenArchitecture, XenProcessor } from '../architecture.ts'
import { armHvmOp } from '../hvm-op.ts'
import { HvmParameter } from '../hvm-parameters.ts'
import { COMMON_HYPERCALLS } from '../hypercalls.ts'
import { memoryOp } from '../memory/memory-op.ts'
import { Hypercall, XenErrno, XenFeature } from '../numbers.ts'
import { ARM_LAYOUTS } from '../shared/shared-layouts.ts'
import { armVcpuOp } from '../vcpu/vcpu-op.ts'
import { Stateful } from '@retrap/device'
import type { SharedInfo } from '../shared/shared-info.ts'

/**
 * How an Arm vCPU hears that its `evtchn_upcall_pending` was set: by a private interrupt, whose level follows the flag.
 * The guest clears the flag by a store, which nobody sees: the level is brought up to date before the guest looks at its
 * interrupt controller, and so before an interrupt is acknowledged or ends. There is no mask beside the controller's.
 *
 * Source: Xen's public/arch-arm.h; public/hvm/params.h, HVM_PARAM_CALLBACK_TYPE_PPI.
 */
export class ArmUpcalls extends Stateful implements Upcalls {
  readonly #domain: XenArmDomain
  readonly #info: SharedInfo
  readonly #intid: number
  readonly #r

  constructor(domain: XenArmDomain, info: SharedInfo, intid: number) {
    super()
    this.#domain = domain
    this.#info = info
    this.#intid = intid
    this.#r = this.keeps({
      version: 2,
      callbackLo: 0,
      callbackHi: 0,
      vectors: [] as number[],
      owed: [] as boolean[],
      /** The interrupt's level as it was driven last, by vCPU. */
      asserted: domain.vcpus.map(() => false),
    })
  }

  raise(vcpu: number): void {
    // The flag was clear meanwhile: a guest that has the interrupt sensitive to edges is to see one.
    if (this.#r.asserted[vcpu] === true) this.#drive(vcpu, false)
    this.#drive(vcpu, true)
  }

  /** The guest may have cleared a vCPU's flag. */
  settle(vcpu: number): void {
    if (this.#r.asserted[vcpu] === true && !this.#info.upcallPending(vcpu)) this.#drive(vcpu, false)
  }

  #drive(vcpu: number, level: boolean): void {
    this.#r.asserted[vcpu] = level
    this.#domain.setPrivateInterrupt(vcpu, this.#intid, level)
  }

  retry(): void {}

  override reset(): void {
    for (const [vcpu, asserted] of this.#r.asserted.entries()) if (asserted) this.#drive(vcpu, false)
  }

  /** Takes a saved state in place of a reset one; the levels come with the interrupt controller's. */
  override restore(state: unknown): void {
    super.restore(state)
    for (const { id } of this.#domain.vcpus) this.#drive(id, this.#r.asserted[id] === true)
  }
}

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
function callRegistersOf({ processor }: XenArmVcpu): CallRegisters {
  return {
    compat: false,
    allowed: true,
    get number() {
      return processor.registers.x(NUMBER_REGISTER)
    },
    set number(value) {
      processor.registers.setX(NUMBER_REGISTER, value)
    },
    argument: (index) => (index < ARGUMENTS ? processor.registers.x(index) : 0n),
    setArgument: (index, value) => {
      if (index < ARGUMENTS) processor.registers.setX(index, value)
    },
    setResult: (value) => processor.registers.setX(RESULT_REGISTER, BigInt.asUintN(64, value)),
  }
}

function processorOf(vcpu: XenArmVcpu): XenProcessor {
  const endTurn = (): void => vcpu.cpu.endTurn()
  return {
    id: vcpu.id,
    registers: callRegistersOf(vcpu),
    copyRights: 0,
    get isStarted() {
      return vcpu.power === POWER_ON
    },
    get interruptWaits() {
      return vcpu.processor.interruptWaits
    },
    guestPhysical: (lo, hi, access) => vcpu.translation.guestPhysical(lo, hi, (access & ACCESS_WRITE) !== 0),
    endTurn,
    pause: endTurn,
    allowEvents: () => {
      vcpu.processor.registers.pstate &= ~PSTATE_I
    },
  }
}

/** An Arm board, as Xen's interface depends on it. */
function armArchitecture(
  domain: XenArmDomain,
  { storeFrame, consoleFrame, eventInterrupt }: XenArmPlaces,
): XenArchitecture<ArmUpcalls> {
  const callback = CALLBACK_TYPE_PPI | CALLBACK_LEVEL_LOW | BigInt(eventInterrupt)
  return {
    vcpus: domain.vcpus.map((vcpu) => processorOf(vcpu)),
    layouts: ARM_LAYOUTS,
    name: 'arm',
    parameterValues: [[HvmParameter.CALLBACK_IRQ, callback]],
    places: { store: storeFrame, console: consoleFrame },
    features:
      (1 << XenFeature.WRITABLE_PAGE_TABLES) |
      (1 << XenFeature.AUTO_TRANSLATED_PHYSMAP) |
      (1 << XenFeature.MEMORY_OP_VNODE_SUPPORTED) |
      (1 << XenFeature.ARM_SMCCC_SUPPORTED) |
      (1 << XenFeature.NOT_DIRECT_MAPPED),
    capabilities: 'xen-3.0-aarch64',
    // There are no interrupts of devices to take by event channel.
    wires: { inputs: 0, asserted: () => false },
    intercept: () => {},
    makeUpcalls: (info) => new ArmUpcalls(domain, info, eventInterrupt),
    // Guests read the generic timer.
    timeInfo: () => null,
  }
}

/** The hypercalls of Arm guests. `physdev_op` exists, but has no operation for guests. */
const ARM_HYPERCALLS: Hypercalls = {
  ...COMMON_HYPERCALLS,
  [Hypercall.MEMORY_OP]: memoryOp,
  [Hypercall.VCPU_OP]: armVcpuOp,
  [Hypercall.PHYSDEV_OP]: () => XenErrno.NOSYS,
  [Hypercall.HVM_OP]: armHvmOp,
}

/** XEN_HYPERCALL_TAG (public header arch-arm.h). */
const HYPERCALL_TAG = 0xea1

/** Xen as an Arm guest's domain calls it. */
class ArmParavirtual extends DomainCalls implements XenArmCalls {
  readonly hypercallTag: number = HYPERCALL_TAG
  readonly #xen: XenState<ArmUpcalls>
  readonly #calls: readonly XenCall[]

  constructor(xen: XenState<ArmUpcalls>) {
    super(xen)
    this.#xen = xen
    this.#calls = xen.architecture.vcpus.map((vcpu) => new XenCall(xen, vcpu, ARM_HYPERCALLS))
  }

  hypercall(vcpu: number): boolean {
    return this.#calls[vcpu]!.make()
  }

  interrupted(vcpu: number): void {
    this.#xen.blocked.wake(vcpu)
  }

  beforeInterruptAccess(vcpu: number): void {
    this.#xen.events.upcalls.settle(vcpu)
  }
}

/** Makes Xen's state of an Arm guest, and has its domain call it. */
export function plugArmState(
  domain: XenArmDomain,
  places: XenArmPlaces,
  options: XenOptions = {},
): XenState<ArmUpcalls> {
  const xen = new XenState(domain, armArchitecture(domain, places), options)
  domain.plug(new ArmParavirtual(xen))
  return xen
}

/**
 * Lets an Arm domain's guest see Xen: hypercalls by `HVC #0xEA1`, events, store, console.
 *
 * To be called once, before the domain runs and before its memory is populated to the last frame. The guest finds out by
 * its device tree, which is the board's: a node compatible with `xen,xen-4.17` and `xen,xen`.
 */
export function plugXenArm(domain: XenArmDomain, places: XenArmPlaces, options: XenOptions = {}): XenGuest {
  return plugArmState(domain, places, options)
}
