// Arm boards. Loaded on demand.
import { type ArmDomain, PowerState } from '@retrap/hvm/arm'
import type { Pc, PcOptions } from '@retrap/machine'
import { type ArmMachine, type ArmMachineOptions, createArmMachine, prepareArmMachine } from '@retrap/machine/arm'
import { ArmP2mType } from '@retrap/p2m'
import type { ArmBoardView, ArmVcpuView } from '../inspection.ts'
import { CODE_BYTES, mapOf, waitOf } from './inspect.ts'

export { openArmEmitter, recordArmMachine, replayArmMachine } from '@retrap/machine/arm'

/** Makes the code that Arm boards share, while their images are on their way. */
export const prepare = (jit: boolean): void => prepareArmMachine({ jit })

/**
 * Makes an Arm board with a PC's options.
 *
 * @param make - makes a recorded one; default not recorded
 * @throws MachineError; LoaderError
 */
export const createArmBoard = (
  options: PcOptions,
  make: (options: ArmMachineOptions) => Promise<Pc | ArmMachine> = createArmMachine,
): Promise<Pc | ArmMachine> => make({ ...options, jit: jitOf(options.jit) } as ArmMachineOptions)

/** The compiler's options, without the listener, which gets a PC's code. */
function jitOf(jit: PcOptions['jit']): ArmMachineOptions['jit'] {
  if (typeof jit !== 'object' || jit.helper === undefined) return jit !== undefined && jit !== false
  return { helper: jit.helper }
}

/** PSTATE: AArch32; its code is Thumb. Source: Arm ARM (DDI 0487) C5.2, "SPSR_EL1". */
const [PSTATE_NRW, PSTATE_T] = [1 << 4, 1 << 5]
/** The INTID of no interrupt. */
const SPURIOUS = 1023
/** System registers that say where a vCPU is, and why. */
const SYSTEM = ['elr_el1', 'spsr_el1', 'esr_el1', 'far_el1', 'vbar_el1', 'sctlr_el1', 'ttbr0_el1', 'ttbr1_el1'] as const

/** Looks at an Arm board, without changing it. */
export function inspectArmBoard({ domain }: ArmMachine): Omit<ArmBoardView, 'requests' | 'devices'> {
  return {
    architecture: 'arm',
    instructions: domain.instructions,
    vcpus: domain.vcpus.map((vcpu) => viewOf(domain, vcpu)),
    map: mapOf(domain, ArmP2mType),
    invalidations: domain.invalidations.account(),
  }
}

function viewOf(domain: ArmDomain, vcpu: ArmDomain['vcpus'][number]): ArmVcpuView {
  const { registers } = vcpu.processor
  const { pstate, pc } = registers
  const into = new Uint8Array(CODE_BYTES)
  const pending = domain.architecture.gic.highestPending(vcpu.id)
  return {
    mode: (pstate & PSTATE_NRW) === 0 ? 'a64' : (pstate & PSTATE_T) === 0 ? 'a32' : 't32',
    address: pc,
    bytes: into.subarray(0, vcpu.translation.peek(pc, into)),
    idle: vcpu.dormant,
    activity: vcpu.cpu.busy
      ? 'waits for a device'
      : vcpu.power !== PowerState.ON
        ? 'off'
        : vcpu.dormant
          ? 'halted'
          : 'executes',
    registers: Array.from({ length: 31 }, (_, i) => registers.x(i)),
    sp: registers.sp,
    pstate: (pstate | registers.nzcv) >>> 0,
    system: Object.fromEntries(SYSTEM.map((name) => [name.toUpperCase(), registers.get(name)])),
    abort: vcpu.cpu.describeAbort(),
    ...waitOf(domain, vcpu.id, vcpu.cpu.log),
    pendingInterrupt: pending === SPURIOUS ? null : pending,
  }
}
