/**
 * Interrupt controllers and timers of Arm machines.
 *
 * @packageDocumentation
 */
export { defaultAffinity, GicV3, gicV3StateBytes, type GicFrame } from './gicv3.ts'
export { GicV2, gicV2StateBytes, type GicV2Options } from './gicv2.ts'
export { Its, ITS_STATE_BYTES } from './its.ts'
export {
  ICC_AP0R0_EL1,
  ICC_AP1R0_EL1,
  ICC_ASGI1R_EL1,
  ICC_BPR0_EL1,
  ICC_BPR1_EL1,
  ICC_CTLR_EL1,
  ICC_DIR_EL1,
  ICC_EOIR0_EL1,
  ICC_EOIR1_EL1,
  ICC_HPPIR0_EL1,
  ICC_HPPIR1_EL1,
  ICC_IAR0_EL1,
  ICC_IAR1_EL1,
  ICC_IGRPEN0_EL1,
  ICC_IGRPEN1_EL1,
  ICC_PMR_EL1,
  ICC_RPR_EL1,
  ICC_SGI0R_EL1,
  ICC_SGI1R_EL1,
  ICC_SRE_EL1,
} from './registers.ts'
export {
  CNTFRQ_EL0,
  CNTKCTL_EL1,
  CNTP_CTL_EL0,
  CNTP_CVAL_EL0,
  CNTP_TVAL_EL0,
  CNTPCT_EL0,
  CNTV_CTL_EL0,
  CNTV_CVAL_EL0,
  CNTV_TVAL_EL0,
  CNTVCT_EL0,
  PHYSICAL_TIMER_PPI,
  VIRTUAL_TIMER_PPI,
} from './registers.ts'
export {
  GenericTimers,
  genericTimersStateBytes,
  type GenericTimersOptions,
  type GenericTimersState,
} from './generic-timer.ts'
export { IrqchipError } from '../arguments.ts'
export type { ApicClock, ApicTimer } from '../time.ts'
