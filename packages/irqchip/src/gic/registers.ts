/* Offsets, bits and encodings of the registers: Arm IHI 0069, chapter 12; IHI 0048, chapter 4. */

export const GICD_CTLR = 0x0000
export const GICD_TYPER = 0x0004
export const GICD_IIDR = 0x0008
export const GICD_IGROUPR = 0x0080
export const GICD_IPRIORITYR = 0x0400
export const GICD_ICFGR = 0x0c00
export const GICD_IROUTER = 0x6000

export const GICR_CTLR = 0x0000
export const GICR_IIDR = 0x0004
export const GICR_TYPER = 0x0008
export const GICR_WAKER = 0x0014
export const GICR_PROPBASER = 0x0070
export const GICR_PENDBASER = 0x0078
/** Offset of a redistributor's second frame, which has the registers of SGIs and PPIs. */
export const GICR_SGI_FRAME = 0x1_0000
/** Bytes of a redistributor's two frames. */
export const GICR_BYTES = 0x2_0000

/** Bits of GICD_CTLR with one security state. */
export const GICD_CTLR_GROUPS = 3
export const GICD_CTLR_ARE: number = 1 << 4
export const GICD_CTLR_DS: number = 1 << 6

export const WAKER_PROCESSOR_SLEEP = 2
export const WAKER_CHILDREN_ASLEEP = 4

/** No interrupt: the special INTID that reads of acknowledge registers return. */
export const INTID_SPURIOUS = 1023
/** First of the special INTIDs. */
export const FIRST_SPECIAL_INTID = 1020
/** First LPI. */
export const FIRST_LPI = 8192

/** Encodes a system register as op0:op1:CRn:CRm:op2, as MRS and MSR have it. */
const register = (op1: number, crn: number, crm: number, op2: number): number =>
  (3 << 14) | (op1 << 11) | (crn << 7) | (crm << 3) | op2

/** Priority mask. */
export const ICC_PMR_EL1: number = register(0, 4, 6, 0)
/** Acknowledges an interrupt of group 0. */
export const ICC_IAR0_EL1: number = register(0, 12, 8, 0)
/** Ends an interrupt of group 0. */
export const ICC_EOIR0_EL1: number = register(0, 12, 8, 1)
/** Highest priority pending interrupt, if it is of group 0. */
export const ICC_HPPIR0_EL1: number = register(0, 12, 8, 2)
/** Binary point of group 0. */
export const ICC_BPR0_EL1: number = register(0, 12, 8, 3)
/** Active priorities of group 0. */
export const ICC_AP0R0_EL1: number = register(0, 12, 8, 4)
/** Active priorities of group 1. */
export const ICC_AP1R0_EL1: number = register(0, 12, 9, 0)
/** Deactivates an interrupt. */
export const ICC_DIR_EL1: number = register(0, 12, 11, 1)
/** Running priority. */
export const ICC_RPR_EL1: number = register(0, 12, 11, 3)
/** Sends an SGI of group 1. */
export const ICC_SGI1R_EL1: number = register(0, 12, 11, 5)
/** Sends an SGI of the other security state. */
export const ICC_ASGI1R_EL1: number = register(0, 12, 11, 6)
/** Sends an SGI of group 0. */
export const ICC_SGI0R_EL1: number = register(0, 12, 11, 7)
/** Acknowledges an interrupt of group 1. */
export const ICC_IAR1_EL1: number = register(0, 12, 12, 0)
/** Ends an interrupt of group 1. */
export const ICC_EOIR1_EL1: number = register(0, 12, 12, 1)
/** Highest priority pending interrupt, if it is of group 1. */
export const ICC_HPPIR1_EL1: number = register(0, 12, 12, 2)
/** Binary point of group 1. */
export const ICC_BPR1_EL1: number = register(0, 12, 12, 3)
/** Control of the CPU interface. */
export const ICC_CTLR_EL1: number = register(0, 12, 12, 4)
/** System register enable. */
export const ICC_SRE_EL1: number = register(0, 12, 12, 5)
/** Enables group 0. */
export const ICC_IGRPEN0_EL1: number = register(0, 12, 12, 6)
/** Enables group 1. */
export const ICC_IGRPEN1_EL1: number = register(0, 12, 12, 7)

/** ICC_CTLR_EL1: group 1 uses ICC_BPR0_EL1 too. */
export const CONTROL_CBPR = 1
/** ICC_CTLR_EL1: EOIR only drops the priority; DIR deactivates. */
export const CONTROL_EOI_MODE = 2

// The generic timer: encodings of its registers, and its interrupts. Arm ARM DDI 0487, "Generic Timer registers".

/** INTID of the virtual timer's private interrupt, as boards have it: Arm BSA, "PPI assignments". */
export const VIRTUAL_TIMER_PPI = 27
/** INTID of the physical timer's private interrupt. */
export const PHYSICAL_TIMER_PPI = 30

const timerRegister = (op1: number, crm: number, op2: number): number =>
  (3 << 14) | (op1 << 11) | (14 << 7) | (crm << 3) | op2

/** Frequency of the counter. */
export const CNTFRQ_EL0: number = timerRegister(3, 0, 0)
/** Physical count. */
export const CNTPCT_EL0: number = timerRegister(3, 0, 1)
/** Virtual count. */
export const CNTVCT_EL0: number = timerRegister(3, 0, 2)
/** Controls what EL0 may access, and the event stream. */
export const CNTKCTL_EL1: number = timerRegister(0, 1, 0)
/** Physical timer: remaining ticks. */
export const CNTP_TVAL_EL0: number = timerRegister(3, 2, 0)
/** Physical timer: control. */
export const CNTP_CTL_EL0: number = timerRegister(3, 2, 1)
/** Physical timer: count that it waits for. */
export const CNTP_CVAL_EL0: number = timerRegister(3, 2, 2)
/** Virtual timer: remaining ticks. */
export const CNTV_TVAL_EL0: number = timerRegister(3, 3, 0)
/** Virtual timer: control. */
export const CNTV_CTL_EL0: number = timerRegister(3, 3, 1)
/** Virtual timer: count that it waits for. */
export const CNTV_CVAL_EL0: number = timerRegister(3, 3, 2)
