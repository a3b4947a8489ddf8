import * as S from '../state/state-layout.ts'
import { X86CpuError } from '../errors.ts'
import type { RegisterBytes } from '../state/state-components.ts'
import * as systemState from '../state/system-state.ts'

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
  /**
   * Registers of AVX-512, AMX and APX that are not all zeros, the first byte first; with a processor that has any of these
   * features.
   */
  readonly extended?: Readonly<Record<string, string>>
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
  ...wide('rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' '), S.S_GPR),
  ['rip', S.S_RIP, 8],
  ['cr0', S.S_CR0, 8],
  ['cr2', S.S_CR2, 8],
  ['cr3', S.S_CR3, 8],
  ['cr4', S.S_CR4, 8],
  ['cr8', S.S_CR8, 8],
  ['xcr0', S.S_XCR0, 8],
  ...numbered('dr', 4, S.S_DR),
  ['dr6', S.S_DR + 48, 8],
  ['dr7', S.S_DR + 56, 8],
  ...numbered('pdpte', 4, S.S_PDPTE),
  ['efer', S.S_EFER, 8],
  ['star', S.S_STAR, 8],
  ['lstar', S.S_LSTAR, 8],
  ['cstar', S.S_CSTAR, 8],
  ['fmask', S.S_SFMASK, 8],
  ['kernelGsBase', S.S_KERNEL_GS_BASE, 8],
  ['sysenterCs', S.S_SYSENTER_CS, 8],
  ['sysenterEsp', S.S_SYSENTER_ESP, 8],
  ['sysenterEip', S.S_SYSENTER_EIP, 8],
  ['pat', S.S_PAT, 8],
  ['tscOffset', S.S_TSC_OFFSET, 8],
  ['tscAdjust', systemState.S_TSC_ADJUST, 8],
  ['tscAux', S.S_TSC_AUX, 8],
  ['xss', S.S_XSS, 8],
  ['pkru', S.S_PKRU, 4],
  ['pkrs', S.S_PKRS, 4],
  ['debugctl', S.S_DEBUGCTL, 8],
  ['miscEnable', systemState.S_MISC_ENABLE, 8],
  ['biosSignId', systemState.S_BIOS_SIGN_ID, 8],
  ['mcgStatus', systemState.S_MCG_STATUS, 8],
  ['syscfg', systemState.S_SYSCFG, 8],
  ['hwcr', systemState.S_HWCR, 8],
  ['mtrrDefType', systemState.S_MTRR_DEF_TYPE, 8],
  ...numbered('mtrrFixed', systemState.MTRR_FIXED_COUNT, systemState.S_MTRR_FIXED),
  ...numbered('mtrrVariable', 2 * systemState.MTRR_VARIABLE_COUNT, systemState.S_MTRR_VARIABLE),
  ...numbered('mcCtl', systemState.MC_BANKS, systemState.S_MC_CTL),
  ...numbered('mcAddr', systemState.MC_BANKS, systemState.S_MC_ADDR),
  ...numbered('mcMisc', systemState.MC_BANKS, systemState.S_MC_MISC),
]

/** Those of `SavedCpu.x87`. */
export const X87: Fields = [
  ['control', S.S_FCW, 4],
  ['status', S.S_FSW, 4],
  ['top', S.S_FTOP, 4],
  ['empty', S.S_FTAG_EMPTY, 4],
  ['opcode', S.S_FOP, 4],
  ['instruction', S.S_FIP, 8],
  ['instructionSelector', S.S_FCS, 4],
  ['data', S.S_FDP, 8],
  ['dataSelector', S.S_FDS, 4],
  ['mxcsr', S.S_MXCSR, 4],
]

/** Those of `SavedCpu.pending`, but for what is computed. */
export const PENDING: Fields = [
  ['activity', systemState.S_ACTIVITY, 4],
  ['events', S.S_EVENTS, 4],
  ['shadow', S.S_SHADOW, 4],
  ['nmiBlocked', systemState.S_NMI_BLOCKED, 4],
  ['debugConditions', systemState.S_PENDING_DEBUG, 4],
  ['fault', systemState.S_PENDING_FAULT, 4],
  ['faultError', systemState.S_PENDING_FAULT_ERROR, 4],
  ['faultHasError', systemState.S_PENDING_FAULT_HAS_ERROR, 4],
  ['faultAddress', systemState.S_PENDING_FAULT_ADDRESS, 8],
  ['stepping', systemState.S_STEPPING, 4],
  ['repeating', systemState.S_REPEATING, 4],
  ['ignne', systemState.S_IGNNE, 4],
  ['startupVector', systemState.S_SIPI_VECTOR, 4],
  ['monitorAddress', S.S_MONITOR_ADDRESS, 8],
  ['mwaitExtensions', systemState.S_MWAIT_EXTENSIONS, 4],
  ['systemManagement', systemState.S_SMM, 4],
  ['smbase', systemState.S_SMBASE, 4],
  ['ioState', systemState.S_IO_STATE, 4],
  ['ioRip', systemState.S_IO_RIP, 8],
  ['ioAddress', systemState.S_IO_ADDRESS, 8],
  ['ioCount', systemState.S_IO_COUNT, 8],
  ['ioIndex', systemState.S_IO_INDEX, 8],
]

/** Those of `SavedCpu.segments`, in their order in the state. */
export const SEGMENTS: readonly string[] = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr', 'gdtr', 'idtr']
/** The first of those that have no selector and no attributes. */
export const FIRST_TABLE = 8

/** The digits of each byte: all registers are written whenever a machine is forked. */
const BYTE_DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Digits of bytes of the state, the first byte first. */
export function bytesOf(s: RegisterBytes, offset: number, count: number): string {
  let digits = ''
  for (let at = offset; at < offset + count; at++) digits += BYTE_DIGITS[s.u8[at]!]
  return digits
}

/** Puts back the result of {@link bytesOf}. @throws X86CpuError `ERR_SAVED_STATE` */
export function spreadBytes(s: RegisterBytes, offset: number, count: number, text: string = ''): void {
  for (let i = 0; i < count; i++) {
    const [high, low] = [digitAt(text, 2 * i), digitAt(text, 2 * i + 1)]
    if (high < 0 || low < 0 || text.length !== 2 * count)
      throw new X86CpuError('ERR_SAVED_STATE', `saved register of ${count} bytes: ${text}`)
    s.u8[offset + i] = (high << 4) | low
  }
}

/** Returns the value of a lower-case hexadecimal digit; -1 if there is none. */
function digitAt(text: string, at: number): number {
  const code = text.charCodeAt(at)
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  return code >= 0x61 && code <= 0x66 ? code - 0x57 : -1
}
