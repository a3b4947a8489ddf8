/**
 * Option bits of `decodeInto`'s mode: whose processor it is, and which of the features it lacks that decide what bytes mean.
 *
 * Source: Intel SDM vol. 2A, "Instruction Format", vol. 2D, Appendix A; AMD APM vol. 3, appendix A: what an opcode is
 * before the extension that took it.
 */
import { DecoderError, requireOptions, shown } from './errors.ts'
import * as K from './kinds.ts'

/**
 * Features whose absence changes the meaning of an opcode (F3 0F BC is TZCNT or BSF). Rows with the attribute `else`
 * name one of these; the order matches the option bits from `FIRST_FEATURE_BIT` on.
 */
const DECIDING_FEATURES = [
  'BMI1',
  'LZCNT',
  'CET_IBT',
  'CET_SS',
  'MPX',
  'WBNOINVD',
  'CLDEMOTE',
  'PAUSE',
  'PREFETCHW',
  'PREFETCHWT1',
  'PREFETCHI',
  'MOVRS',
] as const

/** Prefixes and the opcode 0F 0F, which exist as soon as one of some features does. */
const PREFIX_FEATURES: readonly (readonly [bit: number, features: RegExp])[] = [
  [K.DECODE_NO_VEX, /^(AVX|BMI|FMA|F16C|XOP|AMX_|CMPCCXADD|VAES|VPCLMULQDQ|MSR_IMM|USER_MSR)/],
  [K.DECODE_NO_EVEX, /^(AVX512|AVX10|APX|AMX_AVX512)/],
  [K.DECODE_NO_XOP, /^(XOP|TBM|LWP)$/],
  [K.DECODE_NO_APX, /^APX/],
  [K.DECODE_NO_3DNOW, /^3DNOW/],
]

/** Number of the option bit that says that a feature is absent, or -1 if no bytes change their meaning with it. */
export function featureBit(feature: string): number {
  const index = (DECIDING_FEATURES as readonly string[]).indexOf(feature)
  return index < 0 ? -1 : K.FIRST_FEATURE_BIT + index
}

/** The properties of a processor that affect decoding. */
export interface ProcessorOptions {
  /** The vendor whose decoding applies where vendors differ; default Intel. */
  readonly vendor?: 'intel' | 'amd'
  /**
   * The CPUID features that it has, spelled as in `CodeInfo.feature`; all unless given. An instruction of a feature that is
   * absent is what the bytes were before: F3 0F BC without BMI1 is BSF, 0F 1B without MPX a no-operation, D5 in 64-bit
   * mode without APX no instruction. Where the bytes had no other meaning they are decoded all the same, and
   * `CodeInfo.feature` says what they need.
   */
  readonly features?: ReadonlySet<string>
}

/**
 * The option bits to add to `decodeInto`'s mode for a processor. 0: an Intel processor with all features.
 *
 * @throws DecoderError `ERR_OPTION` for another vendor, and for features that are no set
 */
export function decoderOptions(options: ProcessorOptions): number {
  requireOptions(options)
  const { vendor = 'intel', features } = options
  if (vendor !== 'intel' && vendor !== 'amd') {
    throw new DecoderError('ERR_OPTION', `vendor is ${shown(vendor)}, expected intel or amd`)
  }
  if (features !== undefined && typeof features?.has !== 'function') {
    throw new DecoderError('ERR_OPTION', 'features must be a set of names')
  }
  let bits = vendor === 'amd' ? K.DECODE_AMD : 0
  if (features === undefined) return bits
  for (const feature of DECIDING_FEATURES) if (!features.has(feature)) bits |= 1 << featureBit(feature)
  const names = [...features]
  for (const [bit, pattern] of PREFIX_FEATURES) if (!names.some((name) => pattern.test(name))) bits |= bit
  return bits
}
