import type { CpuModel } from './cpu-model.ts'

/** A run of model-specific registers that only some processors have. */
interface MsrRule {
  readonly first: number
  readonly last: number
  /** One of these features is enough. */
  readonly anyOf: readonly string[]
  /** Features of later processors, which have them no longer. */
  readonly noneOf?: readonly string[]
  /** The vendors whose processors have them; both unless given. */
  readonly vendor?: CpuModel['vendor']
}

const INTEL = 'GenuineIntel'
const AMD = 'AuthenticAMD'

/**
 * Source: Intel SDM vol. 4, "Architectural MSRs", column "Architectural MSR Availability", and "MSRs in Processors Based on
 * Intel Core Microarchitecture" for those that no later processor has (2AH, CDH, 11EH); AMD APM vol. 2, appendix A.
 */
const RULES: readonly MsrRule[] = [
  { first: 0, last: 1, anyOf: ['MCE'], vendor: INTEL },
  { first: 6, last: 6, anyOf: ['MONITOR'], vendor: INTEL },
  { first: 0x10, last: 0x10, anyOf: ['TSC'] },
  { first: 0x17, last: 0x17, anyOf: ['APIC_BASE'], vendor: INTEL },
  { first: 0x1b, last: 0x1b, anyOf: ['APIC_BASE'] },
  { first: 0x2a, last: 0x2a, anyOf: ['SSSE3'], noneOf: ['SSE4_2'], vendor: INTEL },
  { first: 0x3b, last: 0x3b, anyOf: ['TSC_ADJUST'] },
  { first: 0x79, last: 0x79, anyOf: ['APIC_BASE'], vendor: INTEL },
  { first: 0x8b, last: 0x8b, anyOf: ['APIC_BASE'] },
  { first: 0xcd, last: 0xcd, anyOf: ['SSSE3'], noneOf: ['SSE4_2'], vendor: INTEL },
  { first: 0xce, last: 0xce, anyOf: ['SSE4_2'], vendor: INTEL },
  { first: 0xe2, last: 0xe2, anyOf: ['MONITOR'], vendor: INTEL },
  { first: 0xfe, last: 0xfe, anyOf: ['MTRR'] },
  { first: 0x10a, last: 0x10a, anyOf: ['ARCH_CAPABILITIES'] },
  { first: 0x11e, last: 0x11e, anyOf: ['SSSE3'], noneOf: ['SSE4_2'], vendor: INTEL },
  { first: 0x174, last: 0x176, anyOf: ['SEP'] },
  { first: 0x179, last: 0x17a, anyOf: ['MCA'] },
  { first: 0x1a0, last: 0x1a0, anyOf: ['SSE2'], vendor: INTEL },
  { first: 0x1d9, last: 0x1d9, anyOf: ['APIC_BASE'] },
  { first: 0x1fc, last: 0x1fc, anyOf: ['SSE4_2'], vendor: INTEL },
  { first: 0x200, last: 0x20f, anyOf: ['MTRR'] },
  { first: 0x250, last: 0x26f, anyOf: ['MTRR'] },
  { first: 0x277, last: 0x277, anyOf: ['PAT'] },
  { first: 0x2ff, last: 0x2ff, anyOf: ['MTRR'] },
  { first: 0x400, last: 0x40f, anyOf: ['MCA'] },
  { first: 0x6e0, last: 0x6e0, anyOf: ['TSC_DEADLINE'] },
  { first: 0x6e1, last: 0x6e1, anyOf: ['PKS'] },
  { first: 0x800, last: 0x8ff, anyOf: ['X2APIC'] },
  { first: 0xda0, last: 0xda0, anyOf: ['XSAVES'] },
  { first: 0xc000_0080, last: 0xc000_0080, anyOf: ['SYSCALL', 'NX', 'LM'] },
  { first: 0xc000_0081, last: 0xc000_0081, anyOf: ['SYSCALL'] },
  { first: 0xc000_0082, last: 0xc000_0084, anyOf: ['LM'] },
  { first: 0xc000_0100, last: 0xc000_0102, anyOf: ['LM'] },
  { first: 0xc000_0103, last: 0xc000_0103, anyOf: ['RDTSCP'] },
  { first: 0xc001_0000, last: 0xc001_0007, anyOf: ['MTRR'], vendor: AMD },
  { first: 0xc001_0010, last: 0xc001_0010, anyOf: ['MTRR'], vendor: AMD },
  { first: 0xc001_0015, last: 0xc001_0015, anyOf: ['LM'], vendor: AMD },
  { first: 0xc001_001f, last: 0xc001_001f, anyOf: ['LM'], vendor: AMD },
  { first: 0xc001_0055, last: 0xc001_0055, anyOf: ['LM'], vendor: AMD },
]

/** The model-specific registers, among those that depend on the model, that it lacks. */
export function absentMsrs({ vendor, features }: CpuModel): ReadonlySet<number> {
  const absent = new Set<number>()
  for (const rule of RULES) {
    const has = (name: string): boolean => features.has(name)
    if (rule.anyOf.some(has) && rule.noneOf?.some(has) !== true && (rule.vendor ?? vendor) === vendor) continue
    for (let index = rule.first; index <= rule.last; index++) absent.add(index)
  }
  return absent
}
