import { decoderOptions } from '@retrap/x86-decoder'

/**
 * The CPUID features, as x86-decoder names them, whose instructions are implemented. Everything else is #UD, and CPUID
 * says so.
 */
export const FEATURES: ReadonlySet<string> = new Set([
  'ADX',
  'AVX',
  'AVX2',
  'BMI1',
  'BMI2',
  'CLFLUSHOPT',
  'CLFSH',
  'CLWB',
  'CMOV',
  'CX16',
  'CX8',
  'FMA',
  'FPU',
  'FSGSBASE',
  'FXSR',
  'INVPCID',
  'LZCNT',
  'MMX',
  'MOVBE',
  'MSR',
  'PAUSE',
  'POPCNT',
  'PREFETCHW',
  'RDRAND',
  'RDSEED',
  'RDTSCP',
  'SEP',
  'SMAP',
  'SSE',
  'SSE2',
  'SSE3',
  'SSE4_1',
  'SSE4_2',
  'SSSE3',
  'SYSCALL',
  'TSC',
  'XSAVE',
  'XSAVEOPT',
  // No-ops where the feature is absent.
  'CET_IBT',
])

/** For `decodeInto`: what bytes mean to a processor with these features. Without CET F3 0F 1E C8 is a no-operation. */
export const DECODER_OPTIONS: number = decoderOptions({ features: FEATURES })
