import { S_SYSTEM } from './state-layout.ts'

/** System registers that the state holds, and those by which the host, which is EL2, controls the processor. */
export const SYSTEM_REGISTERS = [
  'tpidr_el0',
  'tpidrro_el0',
  'sp_el0',
  'sp_el1',
  'elr_el1',
  'spsr_el1',
  'esr_el1',
  'far_el1',
  'vbar_el1',
  'sctlr_el1',
  'cpacr_el1',
  'tcr_el1',
  'ttbr0_el1',
  'ttbr1_el1',
  'mair_el1',
  'contextidr_el1',
  'tpidr_el1',
  'par_el1',
  'csselr_el1',
  'cntkctl_el1',
  'disr_el1',
  'mdscr_el1',
  'mdccint_el1',
  'oslsr_el1',
  'dbgprcr_el1',
  'dbgclaim_el1',
  'dbgbvr0_el1',
  'dbgbvr1_el1',
  'dbgbvr2_el1',
  'dbgbvr3_el1',
  'dbgbvr4_el1',
  'dbgbvr5_el1',
  'dbgbcr0_el1',
  'dbgbcr1_el1',
  'dbgbcr2_el1',
  'dbgbcr3_el1',
  'dbgbcr4_el1',
  'dbgbcr5_el1',
  'dbgwvr0_el1',
  'dbgwvr1_el1',
  'dbgwvr2_el1',
  'dbgwvr3_el1',
  'dbgwcr0_el1',
  'dbgwcr1_el1',
  'dbgwcr2_el1',
  'dbgwcr3_el1',
  'hcr_el2',
  'cptr_el2',
  'mdcr_el2',
  'hstr_el2',
  'cnthctl_el2',
  'vmpidr_el2',
  'vpidr_el2',
  'vsesr_el2',
] as const

/** A system register of the state, as the manual writes it in small letters. */
export type SystemRegisterName = (typeof SYSTEM_REGISTERS)[number]

/** Returns the offset of a system register in the state; −1 for an invalid name. */
export function placeOf(name: string): number {
  const index = (SYSTEM_REGISTERS as readonly string[]).indexOf(name)
  return index < 0 ? -1 : S_SYSTEM + 8 * index
}

export const S_TPIDR_EL0: number = placeOf('tpidr_el0')
export const S_TPIDRRO_EL0: number = placeOf('tpidrro_el0')
export const S_SP_EL0: number = placeOf('sp_el0')
export const S_SP_EL1: number = placeOf('sp_el1')
export const S_ELR_EL1: number = placeOf('elr_el1')
export const S_SPSR_EL1: number = placeOf('spsr_el1')
export const S_ESR_EL1: number = placeOf('esr_el1')
export const S_FAR_EL1: number = placeOf('far_el1')
export const S_TTBR0_EL1: number = placeOf('ttbr0_el1')
export const S_TTBR1_EL1: number = placeOf('ttbr1_el1')
export const S_MAIR_EL1: number = placeOf('mair_el1')
export const S_PAR_EL1: number = placeOf('par_el1')
export const S_VBAR_EL1: number = placeOf('vbar_el1')
export const S_SCTLR_EL1: number = placeOf('sctlr_el1')
export const S_CPACR_EL1: number = placeOf('cpacr_el1')
export const S_TCR_EL1: number = placeOf('tcr_el1')
export const S_MDSCR_EL1: number = placeOf('mdscr_el1')
export const S_OSLSR_EL1: number = placeOf('oslsr_el1')
export const S_CNTKCTL_EL1: number = placeOf('cntkctl_el1')
export const S_HCR_EL2: number = placeOf('hcr_el2')
export const S_CPTR_EL2: number = placeOf('cptr_el2')
export const S_HSTR_EL2: number = placeOf('hstr_el2')
export const S_MDCR_EL2: number = placeOf('mdcr_el2')
export const S_CNTHCTL_EL2: number = placeOf('cnthctl_el2')
export const S_VPIDR_EL2: number = placeOf('vpidr_el2')
export const S_VSESR_EL2: number = placeOf('vsesr_el2')
export const S_CSSELR_EL1: number = placeOf('csselr_el1')
export const S_DBGCLAIM_EL1: number = placeOf('dbgclaim_el1')
export const S_DISR_EL1: number = placeOf('disr_el1')
export const S_TPIDR_EL1: number = placeOf('tpidr_el1')
export const S_CONTEXTIDR_EL1: number = placeOf('contextidr_el1')
/** DBGWCRn_EL1 and DBGWVRn_EL1. */
export const WATCHPOINT_CONTROLS: readonly number[] = [0, 1, 2, 3].map((i) => placeOf(`dbgwcr${i}_el1`))
export const WATCHPOINT_VALUES: readonly number[] = [0, 1, 2, 3].map((i) => placeOf(`dbgwvr${i}_el1`))
