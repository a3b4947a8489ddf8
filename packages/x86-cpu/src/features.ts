/**
 * The CPUID features, as x86-decoder names them, whose instructions are implemented. Everything else is #UD, and CPUID
 * says so.
 */
export const FEATURES: ReadonlySet<string> = new Set([
  'ADX',
  'BMI1',
  'BMI2',
  'CLFLUSHOPT',
  'CLFSH',
  'CLWB',
  'CMOV',
  'CX16',
  'CX8',
  'FPU',
  'FSGSBASE',
  'FXSR',
  'LZCNT',
  'MMX',
  'MOVBE',
  'MSR',
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

/**
 * Instructions in what older processors define as reserved no-ops: without their feature they do nothing, or, for
 * WBNOINVD, what WBINVD does. Programs run them without asking CPUID.
 */
export const WITHOUT_FEATURE: ReadonlySet<string> = new Set([
  'CLDEMOTE',
  'PREFETCHIT0',
  'PREFETCHIT1',
  'PREFETCHWT1',
  'RDSSPD',
  'RDSSPQ',
  'WBNOINVD',
])
