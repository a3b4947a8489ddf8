import { ACCESS_WRITE } from '@retrap/paging'
import type { CallRegisters, XenArchitecture, XenProcessor } from '../architecture.ts'
import type { Hypercalls } from '../call.ts'
import { armHvmOp } from '../hvm-op.ts'
import { HvmParameter } from '../hvm-parameters.ts'
import { COMMON_HYPERCALLS } from '../hypercalls.ts'
import { memoryOp } from '../memory/memory-op.ts'
import { Hypercall, XenErrno, XenFeature } from '../numbers.ts'
import { ARM_LAYOUTS } from '../shared/shared-layouts.ts'
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
export function armArchitecture(
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
export const ARM_HYPERCALLS: Hypercalls = {
  ...COMMON_HYPERCALLS,
  [Hypercall.MEMORY_OP]: memoryOp,
  [Hypercall.VCPU_OP]: armVcpuOp,
  [Hypercall.PHYSDEV_OP]: () => XenErrno.NOSYS,
  [Hypercall.HVM_OP]: armHvmOp,
}
