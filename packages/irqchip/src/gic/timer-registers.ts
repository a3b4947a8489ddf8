/* Encodings of the generic timer's registers, and its interrupts. */

/** INTID of the virtual timer's private interrupt, as boards have it: Arm BSA, "PPI assignments". */
export const VIRTUAL_TIMER_PPI = 27
/** INTID of the physical timer's private interrupt. */
export const PHYSICAL_TIMER_PPI = 30

const register = (op1: number, crm: number, op2: number): number =>
  (3 << 14) | (op1 << 11) | (14 << 7) | (crm << 3) | op2

/** Frequency of the counter. */
export const CNTFRQ_EL0: number = register(3, 0, 0)
/** Physical count. */
export const CNTPCT_EL0: number = register(3, 0, 1)
/** Virtual count. */
export const CNTVCT_EL0: number = register(3, 0, 2)
/** Controls what EL0 may access, and the event stream. */
export const CNTKCTL_EL1: number = register(0, 1, 0)
/** Physical timer: ticks that are left. */
export const CNTP_TVAL_EL0: number = register(3, 2, 0)
/** Physical timer: control. */
export const CNTP_CTL_EL0: number = register(3, 2, 1)
/** Physical timer: count that it waits for. */
export const CNTP_CVAL_EL0: number = register(3, 2, 2)
/** Virtual timer: ticks that are left. */
export const CNTV_TVAL_EL0: number = register(3, 3, 0)
/** Virtual timer: control. */
export const CNTV_CTL_EL0: number = register(3, 3, 1)
/** Virtual timer: count that it waits for. */
export const CNTV_CVAL_EL0: number = register(3, 3, 2)
