import {
  S_CR0,
  S_CR2,
  S_CR3,
  S_CR4,
  S_CR8,
  S_CSTAR,
  S_DEBUGCTL,
  S_DR,
  S_EFER,
  S_EVENTS,
  S_FCS,
  S_FCW,
  S_FDP,
  S_FDS,
  S_FIP,
  S_FOP,
  S_FSW,
  S_FTAG_EMPTY,
  S_FTOP,
  S_GPR,
  S_KERNEL_GS_BASE,
  S_LSTAR,
  S_MONITOR_ADDRESS,
  S_MXCSR,
  S_PAT,
  S_PDPTE,
  S_PKRS,
  S_PKRU,
  S_RIP,
  S_SFMASK,
  S_SHADOW,
  S_STAR,
  S_SYSENTER_CS,
  S_SYSENTER_EIP,
  S_SYSENTER_ESP,
  S_TSC_AUX,
  S_TSC_OFFSET,
  S_XCR0,
  S_XSS,
} from '../state/state-layout.ts'
import {
  MC_BANKS,
  MTRR_FIXED_COUNT,
  MTRR_VARIABLE_COUNT,
  S_ACTIVITY,
  S_BIOS_SIGN_ID,
  S_MCG_STATUS,
  S_MC_ADDR,
  S_MC_CTL,
  S_MC_MISC,
  S_MISC_ENABLE,
  S_HWCR,
  S_MTRR_DEF_TYPE,
  S_MTRR_FIXED,
  S_MTRR_VARIABLE,
  S_NMI_BLOCKED,
  S_PENDING_DEBUG,
  S_PENDING_FAULT,
  S_PENDING_FAULT_ADDRESS,
  S_PENDING_FAULT_ERROR,
  S_PENDING_FAULT_HAS_ERROR,
  S_IGNNE,
  S_IO_ADDRESS,
  S_IO_COUNT,
  S_IO_INDEX,
  S_IO_RIP,
  S_IO_STATE,
  S_SMBASE,
  S_SMM,
  S_MWAIT_EXTENSIONS,
  S_REPEATING,
  S_SIPI_VECTOR,
  S_STEPPING,
  S_SYSCFG,
  S_TSC_ADJUST,
} from '../state/system-state.ts'

/** A 64-bit value, as `0x` and hexadecimal digits: it survives JSON. */
export type Hex = string

/** A segment register with its hidden part. */
export interface SavedSegment {
  /** The visible selector. */
  readonly selector: number
  /** Linear address of its first byte. */
  readonly base: Hex
  /** In bytes. */
  readonly limit: number
  /** Bits 15:0 as bits 55:40 of a descriptor. */
  readonly attributes: number
}

/** The CPU model that a state belongs to, in what decides which state there is. */
export interface SavedModel {
  /** For people, as in `CpuModel`. */
  readonly name: string
  /** The vendor, as in `CpuModel`. */
  readonly vendor: string
  /** Names of all features, in alphabetical order. */
  readonly features: readonly string[]
  /** Bits of guest-physical addresses. */
  readonly physicalAddressBits: number
}

/** The architectural state of a processor, as plain data. Field names are the registers'. */
export interface SavedCpu {
  /** Layout of the state. */
  readonly version: 4
  /** The processor's model; states that were saved before it was recorded have none, and any model takes them. */
  readonly model?: SavedModel
  /** RAX … R15, RIP, RFLAGS, CR0 … CR8, XCR0, DR0 … DR7 and model-specific registers. */
  readonly registers: Readonly<Record<string, Hex>>
  /** Segment and descriptor-table registers, by name. */
  readonly segments: Readonly<Record<string, SavedSegment>>
  /** x87 words; `empty`: one bit for each physical register. */
  readonly x87: Readonly<Record<string, Hex>>
  /** R0–R7 of the x87 unit, physical order, 10 bytes each, the first byte first. */
  readonly x87Registers: readonly string[]
  /** YMM0–YMM15, 32 bytes each, the first byte first. */
  readonly ymm: readonly string[]
  /** The events that wait, and those that are held off. */
  readonly pending: Readonly<Record<string, Hex>>
}

/** Registers with their places in the state, and their sizes in bytes. */
export type Fields = readonly (readonly [name: string, offset: number, bytes: 4 | 8])[]

const wide = (names: readonly string[], offset: number): Fields => names.map((name, i) => [name, offset + 8 * i, 8])
const numbered = (name: string, count: number, offset: number): Fields =>
  wide(
    Array.from({ length: count }, (_, i) => `${name}${i}`),
    offset,
  )

/** Those of `SavedCpu.registers`, but for RFLAGS. */
export const REGISTERS: Fields = [
  ...wide('rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' '), S_GPR),
  ['rip', S_RIP, 8],
  ['cr0', S_CR0, 8],
  ['cr2', S_CR2, 8],
  ['cr3', S_CR3, 8],
  ['cr4', S_CR4, 8],
  ['cr8', S_CR8, 8],
  ['xcr0', S_XCR0, 8],
  ...numbered('dr', 4, S_DR),
  ['dr6', S_DR + 48, 8],
  ['dr7', S_DR + 56, 8],
  ...numbered('pdpte', 4, S_PDPTE),
  ['efer', S_EFER, 8],
  ['star', S_STAR, 8],
  ['lstar', S_LSTAR, 8],
  ['cstar', S_CSTAR, 8],
  ['fmask', S_SFMASK, 8],
  ['kernelGsBase', S_KERNEL_GS_BASE, 8],
  ['sysenterCs', S_SYSENTER_CS, 8],
  ['sysenterEsp', S_SYSENTER_ESP, 8],
  ['sysenterEip', S_SYSENTER_EIP, 8],
  ['pat', S_PAT, 8],
  ['tscOffset', S_TSC_OFFSET, 8],
  ['tscAdjust', S_TSC_ADJUST, 8],
  ['tscAux', S_TSC_AUX, 8],
  ['xss', S_XSS, 8],
  ['pkru', S_PKRU, 4],
  ['pkrs', S_PKRS, 4],
  ['debugctl', S_DEBUGCTL, 8],
  ['miscEnable', S_MISC_ENABLE, 8],
  ['biosSignId', S_BIOS_SIGN_ID, 8],
  ['mcgStatus', S_MCG_STATUS, 8],
  ['syscfg', S_SYSCFG, 8],
  ['hwcr', S_HWCR, 8],
  ['mtrrDefType', S_MTRR_DEF_TYPE, 8],
  ...numbered('mtrrFixed', MTRR_FIXED_COUNT, S_MTRR_FIXED),
  ...numbered('mtrrVariable', 2 * MTRR_VARIABLE_COUNT, S_MTRR_VARIABLE),
  ...numbered('mcCtl', MC_BANKS, S_MC_CTL),
  ...numbered('mcAddr', MC_BANKS, S_MC_ADDR),
  ...numbered('mcMisc', MC_BANKS, S_MC_MISC),
]

/** Those of `SavedCpu.x87`. */
export const X87: Fields = [
  ['control', S_FCW, 4],
  ['status', S_FSW, 4],
  ['top', S_FTOP, 4],
  ['empty', S_FTAG_EMPTY, 4],
  ['opcode', S_FOP, 4],
  ['instruction', S_FIP, 8],
  ['instructionSelector', S_FCS, 4],
  ['data', S_FDP, 8],
  ['dataSelector', S_FDS, 4],
  ['mxcsr', S_MXCSR, 4],
]

/** Those of `SavedCpu.pending`, but for what is computed. */
export const PENDING: Fields = [
  ['activity', S_ACTIVITY, 4],
  ['events', S_EVENTS, 4],
  ['shadow', S_SHADOW, 4],
  ['nmiBlocked', S_NMI_BLOCKED, 4],
  ['debugConditions', S_PENDING_DEBUG, 4],
  ['fault', S_PENDING_FAULT, 4],
  ['faultError', S_PENDING_FAULT_ERROR, 4],
  ['faultHasError', S_PENDING_FAULT_HAS_ERROR, 4],
  ['faultAddress', S_PENDING_FAULT_ADDRESS, 8],
  ['stepping', S_STEPPING, 4],
  ['repeating', S_REPEATING, 4],
  ['ignne', S_IGNNE, 4],
  ['startupVector', S_SIPI_VECTOR, 4],
  ['monitorAddress', S_MONITOR_ADDRESS, 8],
  ['mwaitExtensions', S_MWAIT_EXTENSIONS, 4],
  ['systemManagement', S_SMM, 4],
  ['smbase', S_SMBASE, 4],
  ['ioState', S_IO_STATE, 4],
  ['ioRip', S_IO_RIP, 8],
  ['ioAddress', S_IO_ADDRESS, 8],
  ['ioCount', S_IO_COUNT, 8],
  ['ioIndex', S_IO_INDEX, 8],
]

/** Those of `SavedCpu.segments`, in their order in the state. */
export const SEGMENTS: readonly string[] = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr', 'gdtr', 'idtr']
/** The first of those that have no selector and no attributes. */
export const FIRST_TABLE = 8
