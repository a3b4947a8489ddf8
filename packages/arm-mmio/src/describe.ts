/** Syndromes in words. */
import { requireSyndrome } from './checks.ts'
import { type AbortSyndrome, decodeAbortSyndrome, ESR_ISV, faultName, type SyndromeFormat } from './syndrome.ts'

/**
 * Exception classes by number. Classes that only one of the two registers has are marked.
 *
 * Source: Arm ARM (DDI 0487), "ESR_EL2", field EC; part G, "HSR", field EC.
 */
const CLASSES: Readonly<Record<number, string>> = {
  0x00: 'unknown reason',
  0x01: 'trapped WFI or WFE',
  0x03: 'trapped MCR or MRC, coprocessor 15',
  0x04: 'trapped MCRR or MRRC, coprocessor 15',
  0x05: 'trapped MCR or MRC, coprocessor 14',
  0x06: 'trapped LDC or STC',
  0x07: 'trapped SVE, SIMD or floating-point instruction',
  0x08: 'trapped VMRS of an ID register',
  0x09: 'trapped pointer authentication instruction',
  0x0a: 'trapped LD64B, ST64B, or another instruction of its own syndrome',
  0x0c: 'trapped MRRC, coprocessor 14',
  0x0d: 'branch target exception',
  0x0e: 'illegal execution state',
  0x11: 'SVC in AArch32',
  0x12: 'HVC in AArch32',
  0x13: 'SMC in AArch32',
  0x14: 'trapped MSRR, MRRS or 128-bit system instruction',
  0x15: 'SVC in AArch64',
  0x16: 'HVC in AArch64',
  0x17: 'SMC in AArch64',
  0x18: 'trapped MSR, MRS or system instruction',
  0x19: 'trapped SVE instruction',
  0x1a: 'trapped ERET',
  0x1b: 'trapped TSTART',
  0x1c: 'pointer authentication failure',
  0x1d: 'trapped SME instruction',
  0x1e: 'granule protection check',
  0x20: 'instruction abort from a lower exception level',
  0x21: 'instruction abort from this exception level',
  0x22: 'misaligned PC',
  0x24: 'data abort from a lower exception level',
  0x25: 'data abort from this exception level',
  0x26: 'misaligned SP',
  0x27: 'memory copy or set in the wrong state',
  0x28: 'floating-point exception in AArch32',
  0x2c: 'floating-point exception in AArch64',
  0x2d: 'guarded control stack',
  0x2f: 'SError',
  0x30: 'breakpoint, lower exception level',
  0x31: 'breakpoint, this exception level',
  0x32: 'software step, lower exception level',
  0x33: 'software step, this exception level',
  0x34: 'watchpoint, lower exception level',
  0x35: 'watchpoint, this exception level',
  0x38: 'BKPT in AArch32',
  0x3a: 'vector catch in AArch32',
  0x3c: 'BRK in AArch64',
  0x3d: 'profiling exception',
}

/** One field of a decoded syndrome. */
export interface DescribedField {
  /** Name in the manual: `EC`, `SAS`. */
  readonly name: string
  /** `31:26`. */
  readonly bits: string
  /** Value. */
  readonly value: number
  /** The meaning of the value. */
  readonly text: string
}

/** A syndrome in words. */
export interface DescribedSyndrome {
  /** The fields, the highest first. */
  readonly fields: readonly DescribedField[]
  /** The event in a sentence. */
  readonly sentence: string
}

/** Takes a value apart that lies below a bit. */
function bits(value: number, high: number, low: number): number {
  return (value >>> low) & (2 ** (high - low + 1) - 1)
}

/**
 * Describes a syndrome for a person. Aborts are taken apart; of other classes only EC, IL and ISS are named.
 *
 * @param value - ESR_EL2's low 32 bits, or HSR
 */
export function describeSyndrome(value: number, format: SyndromeFormat = 'esr'): DescribedSyndrome {
  requireSyndrome(value, format)
  const word = value >>> 0
  const fields: DescribedField[] = []
  const add = (name: string, high: number, low: number, text: (field: number) => string): void => {
    const field = bits(word, high, low)
    fields.push({ name, bits: high === low ? `${high}` : `${high}:${low}`, value: field, text: text(field) })
  }
  const exceptionClass = bits(word, 31, 26)
  const className = CLASSES[exceptionClass] ?? 'reserved'
  add('EC', 31, 26, () => className)
  add('IL', 25, 25, (il) => (il === 1 ? 'instruction of 4 bytes, or not known' : 'instruction of 2 bytes'))
  const data = exceptionClass === 0x24 || exceptionClass === 0x25
  const instruction = exceptionClass === 0x20 || exceptionClass === 0x21
  if (!data && !instruction) {
    add('ISS', 24, 0, () => 'not taken apart: this is no abort')
    return { fields, sentence: `${capital(className)}.` }
  }
  if (data) describeData(word, format, add)
  else {
    add('FnV', 10, 10, (fnv) =>
      fnv === 1 ? 'the fault address register holds no address' : 'the fault address is valid',
    )
    add('EA', 9, 9, (ea) => (ea === 1 ? 'external abort type 1' : 'no external abort type'))
    add('S1PTW', 7, 7, describeWalk)
  }
  add(data ? 'DFSC' : 'IFSC', 5, 0, faultName)
  return { fields, sentence: sentenceOf(decodeAbortSyndrome(word, format), format) }
}

const describeWalk = (walk: number): string =>
  walk === 1 ? 'stage 2 failed on a walk of stage 1' : 'not on a walk of stage 1'

function describeData(
  word: number,
  format: SyndromeFormat,
  add: (name: string, high: number, low: number, text: (field: number) => string) => void,
): void {
  add('ISV', 24, 24, (isv) => (isv === 1 ? 'the syndrome describes the access' : 'the instruction must be decoded'))
  if ((word & ESR_ISV) !== 0) {
    add('SAS', 23, 22, (sas) => `${1 << sas} byte${sas === 0 ? '' : 's'}`)
    add('SSE', 21, 21, (sse) => (sse === 1 ? 'sign-extended' : 'zero-extended'))
    if (format === 'esr') {
      add('SRT', 20, 16, (srt) => (srt === 31 ? 'the zero register' : `register ${srt}`))
      add('SF', 15, 15, (sf) => (sf === 1 ? '64-bit register' : '32-bit register'))
    } else add('SRT', 19, 16, (srt) => `R${srt} of the current mode`)
    add('AR', 14, 14, (ar) => (ar === 1 ? 'acquire or release' : 'neither acquire nor release'))
  }
  if (format === 'esr')
    add('VNCR', 13, 13, (vncr) => (vncr === 1 ? 'an access that VNCR_EL2 redirects' : 'no VNCR_EL2 access'))
  add('FnV', 10, 10, (fnv) =>
    fnv === 1 ? 'the fault address register holds no address' : 'the fault address is valid',
  )
  add('EA', 9, 9, (ea) => (ea === 1 ? 'external abort type 1' : 'no external abort type'))
  add('CM', 8, 8, (cm) => (cm === 1 ? 'cache maintenance or address translation' : 'no cache maintenance'))
  add('S1PTW', 7, 7, describeWalk)
  add('WnR', 6, 6, (wnr) => (wnr === 1 ? 'write' : 'read'))
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

/** `A 4-byte read into W0 hit a translation fault, level 3; the syndrome is all that is needed to emulate it.` */
function sentenceOf(syndrome: AbortSyndrome, format: SyndromeFormat): string {
  const { access } = syndrome
  const fault = `${faultName(syndrome.faultStatus)}${syndrome.stage1Walk ? ', on a walk of stage 1' : ''}`
  if (syndrome.kind === 'instruction') return `An instruction fetch hit: ${fault}.`
  if (syndrome.cacheMaintenance)
    return `Cache maintenance or an address translation hit: ${fault}; no device is to be accessed.`
  if (access === undefined) {
    return `A ${syndrome.write ? 'write' : 'read'} hit: ${fault}; the syndrome does not describe it, so the instruction at PC must be decoded.`
  }
  const register = registerName(access.register, access.registerBits, format)
  const what = syndrome.write ? `write of ${register}` : `read into ${register}`
  const extension = access.signExtend ? ', sign-extended' : ''
  return `A ${access.size}-byte ${what}${extension} hit: ${fault}; the syndrome is all that is needed to emulate it.`
}

function registerName(number: number, width: 32 | 64, format: SyndromeFormat): string {
  if (format === 'hsr') return `R${number}`
  const letter = width === 64 ? 'X' : 'W'
  return number === 31 ? `${letter}ZR` : `${letter}${number}`
}
