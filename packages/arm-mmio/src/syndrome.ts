/**
 * Syndromes of aborts taken to EL2: ESR_EL2 of AArch64, HSR of AArch32.
 *
 * Source: Arm ARM (DDI 0487), "ESR_EL2, Exception Syndrome Register (EL2)", encodings "ISS encoding for an exception from a
 * Data Abort" and "… from an Instruction Abort"; part G, "HSR, Hyp Syndrome Register".
 */
import { requireObject, requireSyndrome, ArmMmioError } from './checks.ts'

// Exception classes, bits 31:26.
export const EC_INSTRUCTION_ABORT_LOWER = 0x20
export const EC_INSTRUCTION_ABORT_SAME = 0x21
export const EC_DATA_ABORT_LOWER = 0x24
export const EC_DATA_ABORT_SAME = 0x25

/** Instruction length: set for 4 bytes, and wherever ISV is clear. */
export const ESR_IL: number = 1 << 25
/** Bits 23:14 are valid. */
export const ESR_ISV: number = 1 << 24
/** Size of the access: log2 of the bytes. */
export const ESR_SAS_SHIFT = 22
/** The loaded value is sign-extended. */
export const ESR_SSE: number = 1 << 21
/** Register number; 4 bits in HSR. */
export const ESR_SRT_SHIFT = 16
/** The register has 64 bits. AArch64 only. */
export const ESR_SF: number = 1 << 15
/** Acquire or release. */
export const ESR_AR: number = 1 << 14
/** The access was one that VNCR_EL2 redirects. AArch64 only. */
export const ESR_VNCR: number = 1 << 13
/** The fault address register holds no address. */
export const ESR_FNV: number = 1 << 10
/** External abort type. */
export const ESR_EA: number = 1 << 9
/** Cache maintenance or address translation. */
export const ESR_CM: number = 1 << 8
/** The second stage failed on a walk of the first. */
export const ESR_S1PTW: number = 1 << 7
/** Write, not read. Atomics: clear if their read would fail. */
export const ESR_WNR: number = 1 << 6
/** Fault status code. */
export const ESR_FSC = 0x3f

/** Fault status codes by number; a level is in the low bits of the first groups. */
const FAULTS: Readonly<Record<number, string>> = {
  0x10: 'synchronous external abort',
  0x11: 'synchronous tag check fault',
  0x18: 'synchronous parity or ECC error',
  0x21: 'alignment fault',
  0x30: 'TLB conflict abort',
  0x31: 'unsupported atomic hardware update',
  0x34: 'fault of an implementation: lockdown',
  0x35: 'fault of an implementation: unsupported exclusive or atomic access',
}

const LEVELLED: Readonly<Record<number, string>> = {
  0x00: 'address size fault',
  0x04: 'translation fault',
  0x08: 'access flag fault',
  0x0c: 'permission fault',
  0x14: 'synchronous external abort on a table walk',
  0x1c: 'synchronous parity or ECC error on a table walk',
  0x24: 'granule protection fault on a table walk',
}

/** Level -1 has separate codes. */
const LEVEL_MINUS_ONE: Readonly<Record<number, string>> = {
  0x13: 'synchronous external abort on a table walk',
  0x1b: 'synchronous parity or ECC error on a table walk',
  0x23: 'granule protection fault on a table walk',
  0x28: 'granule protection fault',
  0x29: 'address size fault',
  0x2b: 'translation fault',
}

/** Kind of a fault status code. */
export type FaultKind =
  | 'address-size'
  | 'translation'
  | 'access-flag'
  | 'permission'
  | 'external'
  | 'alignment'
  | 'other'

/** Returns the kind of fault of a status code. External: also parity errors, and external aborts of walks. */
export function faultKind(status: number): FaultKind {
  if (status === 0x29) return 'address-size'
  if (status === 0x2b) return 'translation'
  if (status === 0x10 || (status >= 0x13 && status <= 0x1f)) return 'external'
  if (status === 0x21) return 'alignment'
  return (['address-size', 'translation', 'access-flag', 'permission'] as const)[status >> 2] ?? 'other'
}

/** Text of a fault status code: `translation fault, level 3`. */
export function faultName(status: number): string {
  const minus = LEVEL_MINUS_ONE[status]
  if (minus !== undefined) return `${minus}, level -1`
  const plain = FAULTS[status]
  if (plain !== undefined) return plain
  const levelled = LEVELLED[status & ~3]
  return levelled === undefined ? `reserved fault status 0x${status.toString(16)}` : `${levelled}, level ${status & 3}`
}

/** The register of a syndrome. */
export type SyndromeFormat = 'esr' | 'hsr'

/** The access that an abort with valid syndrome describes. */
export interface SyndromeAccess {
  /** Bytes: 1, 2, 4, 8. */
  readonly size: number
  /** SSE: a loaded value is sign-extended. */
  readonly signExtend: boolean
  /** Register number in the syndrome's numbering: 31 is the zero register in ESR_EL2. */
  readonly register: number
  /** Bits of the register: 32 or 64. */
  readonly registerBits: 32 | 64
  /** AR: the access has acquire or release semantics. */
  readonly acquireRelease: boolean
}

/** A data or instruction abort's syndrome, field by field. Fields that are not valid are undefined. */
export interface AbortSyndrome {
  /** EC. */
  readonly exceptionClass: number
  /** Whether data or an instruction was accessed. */
  readonly kind: 'data' | 'instruction'
  /** Taken from a lower exception level, or from EL2 itself. */
  readonly from: 'lower' | 'same'
  /** Bytes of the instruction, as IL says: no more than a hint where `access` is undefined. */
  readonly length: 2 | 4
  /** Undefined where ISV is clear: the instruction must be decoded. */
  readonly access: SyndromeAccess | undefined
  /** Whether FAR holds the address (FnV). */
  readonly faultAddressValid: boolean
  /** EA: its meaning is implementation-defined. */
  readonly externalAbortType: boolean
  /** CM: the abort is of a cache maintenance or address translation instruction. */
  readonly cacheMaintenance: boolean
  /** The second stage failed on a walk of the first stage. */
  readonly stage1Walk: boolean
  /** WnR: the access was a write. */
  readonly write: boolean
  /** VNCR: the access went through VNCR_EL2. */
  readonly vncr: boolean
  /** DFSC or IFSC. */
  readonly faultStatus: number
}

const wrong = (what: string): ArmMmioError => new ArmMmioError('ERR_SYNDROME', what)

/**
 * Takes a syndrome apart.
 *
 * @param value - ESR_EL2 (the low 32 bits) or HSR
 * @throws ArmMmioError `ERR_SYNDROME` if it is not that of a data or instruction abort
 */
export function decodeAbortSyndrome(value: number, format: SyndromeFormat = 'esr'): AbortSyndrome {
  requireSyndrome(value, format)
  const exceptionClass = (value >>> 26) & 0x3f
  const kind = abortKind(exceptionClass)
  if (kind === undefined) {
    throw wrong(`0x${(value >>> 0).toString(16)} is no abort: its class is 0x${exceptionClass.toString(16)}`)
  }
  const esr = format === 'esr'
  const data = kind === 'data'
  const valid = data && (value & ESR_ISV) !== 0
  const status = value & ESR_FSC
  return {
    exceptionClass,
    kind,
    from: (exceptionClass & 1) === 0 ? 'lower' : 'same',
    length: (value & ESR_IL) === 0 ? 2 : 4,
    access: valid
      ? {
          size: 1 << ((value >>> ESR_SAS_SHIFT) & 3),
          signExtend: (value & ESR_SSE) !== 0,
          register: (value >>> ESR_SRT_SHIFT) & (esr ? 31 : 15),
          registerBits: esr && (value & ESR_SF) !== 0 ? 64 : 32,
          acquireRelease: (value & ESR_AR) !== 0,
        }
      : undefined,
    // FnV is valid for external aborts only.
    faultAddressValid: status !== 0x10 || (value & ESR_FNV) === 0,
    externalAbortType: (value & ESR_EA) !== 0,
    cacheMaintenance: data && (value & ESR_CM) !== 0,
    stage1Walk: (value & ESR_S1PTW) !== 0,
    write: data && (value & ESR_WNR) !== 0,
    vncr: esr && data && (value & ESR_VNCR) !== 0,
    faultStatus: status,
  }
}

function abortKind(exceptionClass: number): 'data' | 'instruction' | undefined {
  if (exceptionClass === EC_DATA_ABORT_LOWER || exceptionClass === EC_DATA_ABORT_SAME) return 'data'
  const isFetch = exceptionClass === EC_INSTRUCTION_ABORT_LOWER || exceptionClass === EC_INSTRUCTION_ABORT_SAME
  return isFetch ? 'instruction' : undefined
}

/**
 * Encodes a syndrome: the reverse of `decodeAbortSyndrome`.
 *
 * @throws ArmMmioError `ERR_SYNDROME` for a field that the format cannot hold
 */
export function encodeAbortSyndrome(syndrome: AbortSyndrome, format: SyndromeFormat = 'esr'): number {
  requireObject(syndrome, 'a syndrome', 'ERR_SYNDROME')
  const { access } = syndrome
  const flag = (set: boolean, bit: number): number => (set ? bit : 0)
  let value =
    syndrome.exceptionClass * 2 ** 26 +
    (flag(syndrome.length === 4, ESR_IL) |
      flag(!syndrome.faultAddressValid, ESR_FNV) |
      flag(syndrome.externalAbortType, ESR_EA) |
      flag(syndrome.cacheMaintenance, ESR_CM) |
      flag(syndrome.stage1Walk, ESR_S1PTW) |
      flag(syndrome.write, ESR_WNR) |
      flag(syndrome.vncr, ESR_VNCR) |
      (syndrome.faultStatus & ESR_FSC))
  if (abortKind(syndrome.exceptionClass) !== syndrome.kind) {
    throw wrong(`class 0x${syndrome.exceptionClass.toString(16)} is not that of a ${syndrome.kind} abort`)
  }
  if (access !== undefined) {
    const registers = format === 'esr' ? 32 : 16
    if (![1, 2, 4, 8].includes(access.size) || access.register < 0 || access.register >= registers) {
      throw wrong(
        `an access of ${access.size} bytes to register ${access.register} does not fit ${format.toUpperCase()}`,
      )
    }
    value +=
      ESR_ISV +
      Math.log2(access.size) * 2 ** ESR_SAS_SHIFT +
      (flag(access.signExtend, ESR_SSE) | (access.register << ESR_SRT_SHIFT)) +
      (flag(format === 'esr' && access.registerBits === 64, ESR_SF) | flag(access.acquireRelease, ESR_AR))
  }
  return value >>> 0
}
