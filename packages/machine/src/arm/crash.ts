import type { ArmDomain } from '@retrap/hvm/arm'
import type { CrashDetail } from '../life/crash.ts'

/** System registers that tell of the last exception. */
const SYSTEM = ['elr_el1', 'esr_el1', 'far_el1', 'spsr_el1'] as const

/** Registers of a vCPU. */
export function describeArmCrash(domain: ArmDomain, vcpu: number, message: string): CrashDetail {
  const hvm = domain.vcpus[vcpu]
  if (hvm === undefined) return { message, vcpu }
  const { registers } = hvm.processor
  const general = Array.from({ length: 31 }, (_, i) => [`X${i}`, registers.x(i)] as const)
  const system = SYSTEM.map((name) => [name.toUpperCase(), registers.get(name)] as const)
  return {
    message,
    vcpu,
    registers: Object.fromEntries([...general, ['SP', registers.sp], ['PC', registers.pc], ...system]),
  }
}
