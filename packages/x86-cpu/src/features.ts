import { decoderOptions } from '@retrap/x86-decoder'

/**
 * The CPUID features, as x86-decoder names them, whose instructions are implemented. Everything else is #UD, and CPUID
 * says so.
 */
export const FEATURES: ReadonlySet<string> = new Set([
  'ADX',
  'AES',
  'AVX',
  'AVX+AES',
  'AVX+GFNI',
  'AVX+PCLMULQDQ',
  'AVX2',
  'AVX_VNNI',
  'BMI1',
  'BMI2',
  'CLFLUSHOPT',
  'CLFSH',
  'CLWB',
  'CMOV',
  'CX16',
  'CX8',
  'F16C',
  'FMA',
  'FPU',
  'FSGSBASE',
  'FXSR',
  'GFNI',
  'INVPCID',
  'LZCNT',
  'MMX',
  'MONITOR',
  'MOVBE',
  'MSR',
  'PAUSE',
  'PCLMULQDQ',
  'POPCNT',
  'PREFETCHW',
  'RDRAND',
  'RDSEED',
  'RDTSCP',
  'SEP',
  'SHA',
  'SMAP',
  'SSE',
  'SSE2',
  'SSE3',
  'SSE4_1',
  'SSE4_2',
  'SSSE3',
  'SYSCALL',
  'TSC',
  'VAES',
  'VPCLMULQDQ',
  'XSAVE',
  'XSAVEOPT',
  // No-ops where the feature is absent.
  'CET_IBT',
])

/** For `decodeInto`: what bytes mean to a processor with these features. Without CET F3 0F 1E C8 is a no-operation. */
export const DECODER_OPTIONS: number = decoderOptions({ features: FEATURES })

/** Whether everything that x86-decoder names as needed (`A+B`, or nothing) is implemented. */
export function isOffered(feature: string): boolean {
  return feature === '' || feature.split('+').every((name) => FEATURES.has(name))
}
