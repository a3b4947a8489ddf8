import type { CodeInfo } from '@retrap/x86-decoder'

/**
 * The features that a processor model chooses from, all of them implemented: one row each. CPUID is generated from the
 * table, and whatever depends on a feature (instructions, bits of control registers, MSRs) asks the model for its name.
 *
 * Source: Intel SDM vol. 2A, "CPUID—CPU Identification"; AMD APM vol. 3, appendix E, "Obtaining Processor Information
 * Via the CPUID Instruction".
 */

/** A 32-bit word of CPUID that holds feature flags: leaf, sub-leaf, and register (0 EAX to 3 EDX). */
export interface CpuidWord {
  /** EAX before CPUID. */
  readonly leaf: number
  /** ECX before CPUID. */
  readonly subleaf: number
  /** Register that holds the word: 0 EAX, 1 EBX, 2 ECX, 3 EDX. */
  readonly register: number
}

type WordName =
  | '1.ecx'
  | '1.edx'
  | '7.ebx'
  | '7.ecx'
  | '7.edx'
  | '7.1.eax'
  | '7.1.edx'
  | 'd.1.eax'
  | '80000001.ecx'
  | '80000001.edx'
  | '80000007.edx'
  | '80000008.ebx'
  | '80000021.eax'

/** The words of the table, by the names that its rows use. */
const CPUID_WORDS: Readonly<Record<WordName, CpuidWord>> = {
  '1.ecx': { leaf: 1, subleaf: 0, register: 2 },
  '1.edx': { leaf: 1, subleaf: 0, register: 3 },
  '7.ebx': { leaf: 7, subleaf: 0, register: 1 },
  '7.ecx': { leaf: 7, subleaf: 0, register: 2 },
  '7.edx': { leaf: 7, subleaf: 0, register: 3 },
  '7.1.eax': { leaf: 7, subleaf: 1, register: 0 },
  '7.1.edx': { leaf: 7, subleaf: 1, register: 3 },
  'd.1.eax': { leaf: 0xd, subleaf: 1, register: 0 },
  '80000001.ecx': { leaf: 0x8000_0001, subleaf: 0, register: 2 },
  '80000001.edx': { leaf: 0x8000_0001, subleaf: 0, register: 3 },
  '80000007.edx': { leaf: 0x8000_0007, subleaf: 0, register: 3 },
  '80000008.ebx': { leaf: 0x8000_0008, subleaf: 0, register: 1 },
  '80000021.eax': { leaf: 0x8000_0021, subleaf: 0, register: 0 },
}

/** One feature. */
export interface CpuFeature {
  /** Name, spelled as `CodeInfo.feature` of x86-decoder where instructions belong to it. */
  readonly name: string
  /** Word and bit that report it; undefined for a feature that CPUID does not tell of. */
  readonly cpuid: { readonly word: CpuidWord; readonly bit: number } | undefined
  /** Names of the features that it cannot be without. */
  readonly needs: readonly string[]
  /** AMD's processors alone report it. */
  readonly amd: boolean
  /** The feature's instructions are not in every program: see {@link loadInstructions}. The model `max` is without it. */
  readonly extended: boolean
}

/** Name, behind an asterisk if it is extended; word, bit, what it needs. */
type Row = readonly [name: string, word: WordName | '', bit: number, needs?: string]

const ROWS: readonly Row[] = [
  ['FPU', '1.edx', 0],
  ['VME', '1.edx', 1],
  ['DE', '1.edx', 2],
  ['PSE', '1.edx', 3],
  ['TSC', '1.edx', 4],
  ['MSR', '1.edx', 5],
  ['PAE', '1.edx', 6],
  ['MCE', '1.edx', 7, 'MSR'],
  ['CX8', '1.edx', 8],
  ['APIC', '1.edx', 9],
  ['SEP', '1.edx', 11, 'MSR'],
  ['MTRR', '1.edx', 12, 'MSR'],
  ['PGE', '1.edx', 13],
  ['MCA', '1.edx', 14, 'MCE'],
  ['CMOV', '1.edx', 15],
  ['PAT', '1.edx', 16, 'MSR'],
  ['PSE36', '1.edx', 17, 'PSE'],
  ['CLFSH', '1.edx', 19],
  ['MMX', '1.edx', 23],
  ['FXSR', '1.edx', 24],
  ['SSE', '1.edx', 25, 'FXSR MMX'],
  ['SSE2', '1.edx', 26, 'SSE'],
  ['SSE3', '1.ecx', 0, 'SSE2'],
  ['PCLMULQDQ', '1.ecx', 1, 'SSE2'],
  ['MONITOR', '1.ecx', 3],
  ['SSSE3', '1.ecx', 9, 'SSE3'],
  ['FMA', '1.ecx', 12, 'AVX'],
  ['CX16', '1.ecx', 13, 'LM CX8'],
  ['PCID', '1.ecx', 17, 'LM'],
  ['SSE4_1', '1.ecx', 19, 'SSSE3'],
  ['SSE4_2', '1.ecx', 20, 'SSE4_1'],
  ['X2APIC', '1.ecx', 21, 'APIC_BASE'],
  ['MOVBE', '1.ecx', 22],
  ['POPCNT', '1.ecx', 23],
  ['TSC_DEADLINE', '1.ecx', 24, 'APIC TSC MSR'],
  ['AES', '1.ecx', 25, 'SSE2'],
  ['XSAVE', '1.ecx', 26, 'FXSR'],
  ['AVX', '1.ecx', 28, 'XSAVE SSE2'],
  ['F16C', '1.ecx', 29, 'AVX'],
  ['RDRAND', '1.ecx', 30],
  ['HYPERVISOR', '1.ecx', 31],
  ['FSGSBASE', '7.ebx', 0, 'LM'],
  ['TSC_ADJUST', '7.ebx', 1, 'TSC MSR'],
  ['BMI1', '7.ebx', 3],
  ['AVX2', '7.ebx', 5, 'AVX'],
  ['SMEP', '7.ebx', 7],
  ['BMI2', '7.ebx', 8],
  ['ERMS', '7.ebx', 9],
  ['INVPCID', '7.ebx', 10],
  ['RDSEED', '7.ebx', 18],
  ['ADX', '7.ebx', 19],
  ['SMAP', '7.ebx', 20],
  ['CLFLUSHOPT', '7.ebx', 23, 'CLFSH'],
  ['CLWB', '7.ebx', 24, 'CLFSH'],
  ['SHA', '7.ebx', 29, 'SSE2'],
  ['UMIP', '7.ecx', 2],
  ['PKU', '7.ecx', 3, 'LM XSAVE'],
  ['GFNI', '7.ecx', 8, 'SSE2'],
  ['VAES', '7.ecx', 9, 'AVX AES'],
  ['VPCLMULQDQ', '7.ecx', 10, 'AVX PCLMULQDQ'],
  ['LA57', '7.ecx', 16, 'LM'],
  ['*MOVDIRI', '7.ecx', 27],
  ['*MOVDIR64B', '7.ecx', 28],
  ['PKS', '7.ecx', 31, 'LM MSR'],
  ['ARCH_CAPABILITIES', '7.edx', 29, 'MSR'],
  ['*SHA512', '7.1.eax', 0, 'AVX2'],
  ['*SM3', '7.1.eax', 1, 'AVX'],
  ['*SM4', '7.1.eax', 2, 'AVX2'],
  ['*RAO_INT', '7.1.eax', 3, 'LM'],
  ['AVX_VNNI', '7.1.eax', 4, 'AVX2'],
  ['*CMPCCXADD', '7.1.eax', 7, 'LM'],
  ['*AVX_IFMA', '7.1.eax', 23, 'AVX2'],
  ['*MOVRS', '7.1.eax', 31, 'LM'],
  ['*AVX_VNNI_INT8', '7.1.edx', 4, 'AVX2'],
  ['*AVX_NE_CONVERT', '7.1.edx', 5, 'AVX2'],
  ['*AVX_VNNI_INT16', '7.1.edx', 10, 'AVX2'],
  ['XSAVEOPT', 'd.1.eax', 0, 'XSAVE'],
  ['XSAVEC', 'd.1.eax', 1, 'XSAVE'],
  ['XGETBV1', 'd.1.eax', 2, 'XSAVE'],
  ['XSAVES', 'd.1.eax', 3, 'XSAVEC MSR'],
  ['LAHF_LM', '80000001.ecx', 0, 'LM'],
  ['LZCNT', '80000001.ecx', 5],
  ['PREFETCHW', '80000001.ecx', 8],
  ['SYSCALL', '80000001.edx', 11, 'MSR'],
  ['NX', '80000001.edx', 20, 'PAE MSR'],
  ['PDPE1GB', '80000001.edx', 26, 'LM'],
  ['RDTSCP', '80000001.edx', 27, 'TSC MSR'],
  ['LM', '80000001.edx', 29, 'PAE MSR SSE2 SYSCALL'],
  ['INVARIANT_TSC', '80000007.edx', 8, 'TSC'],
  ['XSAVEERPTR', '80000008.ebx', 2, 'FXSR'],
  ['NULL_BASE', '80000021.eax', 6, 'LM'],
  ['SRSO_NO', '80000021.eax', 29],
  // CPUID says nothing of these; processors before the P6 family lack them.
  ['NOPL', '', 0],
  ['RDPMC', '', 0],
  ['APIC_BASE', '', 0, 'APIC MSR'],
]

/**
 * Features of AMD's processors: error pointers that are always restored, null selectors that clear a base, no speculative
 * return stack overflow.
 */
const AMD_ONLY: ReadonlySet<string> = new Set(['XSAVEERPTR', 'NULL_BASE', 'SRSO_NO'])

/** All features, in the order of their CPUID words. */
export const CPU_FEATURES: readonly CpuFeature[] = ROWS.map(([given, word, bit, needs = '']) => {
  const name = given.replace('*', '')
  return {
    name,
    cpuid: word === '' ? undefined : { word: CPUID_WORDS[word], bit },
    needs: needs === '' ? [] : needs.split(' '),
    amd: AMD_ONLY.has(name),
    extended: name !== given,
  }
})

/** The same by name. */
export const FEATURE_BY_NAME: ReadonlyMap<string, CpuFeature> = new Map(CPU_FEATURES.map((f) => [f.name, f]))

/**
 * Features of x86-decoder that every model has the instructions of, because they are no-operations where the feature is
 * absent. ENDBR32 and ENDBR64 are among the reserved no-operations.
 */
const NO_OPERATIONS = ['PAUSE', 'CET_IBT']

/** The features, as x86-decoder names them, whose instructions are implemented. Everything else is #UD. */
export const FEATURES: ReadonlySet<string> = decoderFeatures(CPU_FEATURES.map((feature) => feature.name))
/** Those of them whose instructions every program has. */
export const BASE_FEATURES: ReadonlySet<string> = decoderFeatures(
  CPU_FEATURES.filter(({ extended }) => !extended).map(({ name }) => name),
)

/** The features of a model together with those that x86-decoder tells apart and CPUID does not. */
export function decoderFeatures(features: Iterable<string>): ReadonlySet<string> {
  return new Set([...features, ...NO_OPERATIONS])
}

/** Of the virtualisation extensions only the calls to a hypervisor exist: the host decides whether they do. */
const HYPERCALLS: ReadonlySet<string> = new Set(['VMCALL', 'VMMCALL'])

/** The feature of instructions that came without a CPUID bit; '' for one that every model has. */
function unreportedFeature(info: CodeInfo): string {
  if (info.mnemonic === 'RDPMC') return 'RDPMC'
  // 0F 0D and 0F 18 to 0F 1F: no-operations from the P6 family on.
  if ((info.mnemonic === 'NOP' && info.map === 1) || info.feature === 'CET_IBT') return 'NOPL'
  return ''
}

/** Whether everything that x86-decoder names as needed (`A+B`, or nothing) is among `features`. */
export function isOffered(feature: string, features: ReadonlySet<string> = FEATURES): boolean {
  return feature === '' || feature.split('+').every((name) => features.has(name))
}

/** Whether a processor with `features` has an instruction. */
export function isImplemented(info: CodeInfo, features: ReadonlySet<string> = FEATURES): boolean {
  if (info.mnemonic === 'INVALID' || info.encoding === 'evex') return false
  if (HYPERCALLS.has(info.mnemonic)) return true
  return isOffered(info.feature, features) && isOffered(unreportedFeature(info), features)
}
