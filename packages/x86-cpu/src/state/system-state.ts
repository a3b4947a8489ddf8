/**
 * State that only system instructions and event delivery use, as offsets of the state area: what `state-layout.ts`
 * leaves free between the pinned records and the TLB sets.
 */

/** The processor's activity: `ACTIVITY_*`. */
export const S_ACTIVITY = 0xe00
/** Non-zero from the delivery of an NMI to the next IRET. */
export const S_NMI_BLOCKED = 0xe04
/** DR6 bits of debug conditions that wait for the end of the instruction (data and I/O breakpoints, task switch). */
export const S_PENDING_DEBUG = 0xe08
/** Vector + 1 of an exception at the new RIP of a task switch that has retired; its error code, and whether it has one. */
export const S_PENDING_FAULT = 0xe0c
/** In S_PENDING_FAULT: an interrupt that was injected, not an exception. */
export const PENDING_EXTERNAL = 0x200
export const S_PENDING_FAULT_ERROR = 0xf40
export const S_PENDING_FAULT_HAS_ERROR = 0xf44
/** CR2 value of a #PF there, 64 bits. */
export const S_PENDING_FAULT_ADDRESS = 0xf48
/** Non-zero: TF was set when the current instruction began, and it causes no single-step trap all the same. */
export const S_STEP_SUPPRESSED = 0xe38
/** Non-zero: TF was set when the instruction that has just retired, or is in the middle of a logged pass, began. */
export const S_STEPPING = 0xe3c
/** Non-zero: what retired last was an iteration, not the last one, of a repeated string instruction. */
export const S_REPEATING = 0xf50
/**
 * IGNNE#, for CR0.NE = 0. 1: asserted, until no x87 exception is pending; 2: and the instruction that runs has its pending
 * exception hidden.
 */
export const S_IGNNE = 0xf54
/** Vector of the start-up IPI that waits, as EVENT_SIPI says. */
export const S_SIPI_VECTOR = 0xf58
/** IA32_TSC_ADJUST, 64 bits. */
export const S_TSC_ADJUST = 0xe10
/** IA32_MISC_ENABLE, 64 bits. */
export const S_MISC_ENABLE = 0xe18
/** IA32_MTRR_DEF_TYPE, 64 bits. */
export const S_MTRR_DEF_TYPE = 0xe20
/** IA32_MCG_STATUS, 64 bits. */
export const S_MCG_STATUS = 0xe28
/** IA32_BIOS_SIGN_ID, 64 bits: the low half is always zero. */
export const S_BIOS_SIGN_ID = 0xe30
/** IA32_MTRR_FIX*: 64K_00000, 16K_80000, 16K_A0000, 4K_C0000 … 4K_F8000; 11 × 64 bits. */
export const S_MTRR_FIXED = 0xe40
/** IA32_MTRR_PHYSBASEn and PHYSMASKn, 8 pairs of 64 bits. */
export const S_MTRR_VARIABLE = 0xea0
/** IA32_MCn_CTL, {@link MC_BANKS} × 64 bits. */
export const S_MC_CTL = 0xf20
/** IA32_MCn_ADDR and IA32_MCn_MISC, {@link MC_BANKS} × 64 bits each. */
export const S_MC_ADDR = 0xf60
export const S_MC_MISC = 0xf80

/** ECX of the MWAIT that waits. */
export const S_MWAIT_EXTENSIONS = 0xfc4

/** System-management mode: `SMM_*`. */
export const S_SMM = 0xfd0
/** SMBASE, 32 bits: where SMI's handler and the state save area are. */
export const S_SMBASE = 0xfd4
/**
 * The I/O instruction that has retired with an SMI pending, which comes right after it: the I/O state field of Intel's
 * save area, or 0.
 */
export const S_IO_STATE = 0xfd8
/** RIP of that instruction, 64 bits. */
export const S_IO_RIP = 0xfe0
/** Linear address of its memory operand, 64 bits. */
export const S_IO_ADDRESS = 0xfe8
/** RCX, and RSI or RDI, before its last iteration, 64 bits each. */
export const S_IO_COUNT = 0xff0
export const S_IO_INDEX = 0xff8

/** SMBASE after reset (SDM vol. 3C, "SMBASE Relocation"). */
export const SMBASE_RESET = 0x3_0000

/** Out of system-management mode. */
export const SMM_OUTSIDE = 0
/** In it: SMI, NMI and INIT are held off. */
export const SMM_INSIDE = 1
/** SMI is being delivered: memory is seen as from inside. */
export const SMM_ENTERING = 2

/** MWAIT, ECX: a masked interrupt ends the wait too. */
export const MWAIT_BREAKS = 1

/** IA32_MISC_ENABLE: MONITOR and MWAIT exist. */
export const MISC_ENABLE_MONITOR: number = 1 << 18
/** AMD's SYSCFG and HWCR, 64 bits each. */
export const S_SYSCFG = 0xfa0
export const S_HWCR = 0xfa8

/** IA32_MISC_ENABLE: CPUID has no leaves above 2. */
export const MISC_ENABLE_LIMIT_CPUID: number = 1 << 22
/** IA32_MISC_ENABLE, high word: there is no execute-disable bit. */
export const MISC_ENABLE_HI_NO_XD: number = 1 << 2

export const MTRR_VARIABLE_COUNT = 8
export const MTRR_FIXED_COUNT = 11
/** Machine-check banks (IA32_MCG_CAP). */
export const MC_BANKS = 4

/** Executes instructions. */
export const ACTIVITY_RUNNING = 0
/** HLT: until an interrupt, NMI, INIT or SMI. */
export const ACTIVITY_HALTED = 1
/** Triple fault: until INIT, NMI or reset. */
export const ACTIVITY_SHUTDOWN = 2
/** After INIT of an application processor: until a start-up IPI. */
export const ACTIVITY_WAIT_FOR_SIPI = 3
/** MWAIT: until the monitored line is written, or an event comes that ends a wait. */
export const ACTIVITY_MWAIT = 4
