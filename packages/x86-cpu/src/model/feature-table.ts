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

/** Rows of features by leaf, sub-leaf and register: name, bit, needed features. */
const ROWS: Readonly<Record<string, string>> = {
  '1.0.edx':
    'FPU 0, VME 1, DE 2, PSE 3, TSC 4, MSR 5, PAE 6, MCE 7 MSR, CX8 8, APIC 9, SEP 11 MSR, MTRR 12 MSR, PGE 13, ' +
    'MCA 14 MCE, CMOV 15, PAT 16 MSR, PSE36 17 PSE, CLFSH 19, MMX 23, FXSR 24, SSE 25 FXSR MMX, SSE2 26 SSE',
  '1.0.ecx':
    'SSE3 0 SSE2, PCLMULQDQ 1 SSE2, MONITOR 3, SSSE3 9 SSE3, FMA 12 AVX, CX16 13 LM CX8, PCID 17 LM, ' +
    'SSE4_1 19 SSSE3, SSE4_2 20 SSE4_1, X2APIC 21 APIC_BASE, MOVBE 22, POPCNT 23, TSC_DEADLINE 24 APIC TSC MSR, ' +
    'AES 25 SSE2, XSAVE 26 FXSR, AVX 28 XSAVE SSE2, F16C 29 AVX, RDRAND 30, HYPERVISOR 31',
  '7.0.ebx':
    'FSGSBASE 0 LM, TSC_ADJUST 1 TSC MSR, BMI1 3, AVX2 5 AVX, SMEP 7, BMI2 8, ERMS 9, INVPCID 10, RDSEED 18, ' +
    'ADX 19, SMAP 20, CLFLUSHOPT 23 CLFSH, CLWB 24 CLFSH, SHA 29 SSE2',
  '7.0.ecx':
    'UMIP 2, PKU 3 LM XSAVE, GFNI 8 SSE2, VAES 9 AVX AES, VPCLMULQDQ 10 AVX PCLMULQDQ, LA57 16 LM, ' + 'PKS 31 LM MSR',
  '7.0.edx': 'ARCH_CAPABILITIES 29 MSR',
  '7.1.eax': 'AVX_VNNI 4 AVX2',
  'd.1.eax': 'XSAVEOPT 0 XSAVE, XSAVEC 1 XSAVE, XGETBV1 2 XSAVE, XSAVES 3 XSAVEC MSR',
  '80000001.0.ecx': 'LAHF_LM 0 LM, LZCNT 5, PREFETCHW 8',
  '80000001.0.edx': 'SYSCALL 11 MSR, NX 20 PAE MSR, PDPE1GB 26 LM, RDTSCP 27 TSC MSR, LM 29 PAE MSR SSE2 SYSCALL',
  '80000007.0.edx': 'INVARIANT_TSC 8 TSC',
  '80000008.0.ebx': 'XSAVEERPTR 2 FXSR',
  '80000021.0.eax': 'NULL_BASE 6 LM, SRSO_NO 29',
  // CPUID says nothing of these, or in a number; processors before the P6 family lack NOPL, RDPMC and APIC_BASE.
  '': 'NOPL 0, RDPMC 0, APIC_BASE 0 APIC MSR',
}

/**
 * Features of AMD's processors: error pointers that are always restored, null selectors that clear a base, no speculative
 * return stack overflow.
 */
const AMD_ONLY: ReadonlySet<string> = new Set(['XSAVEERPTR', 'NULL_BASE', 'SRSO_NO'])

function wordOf(name: string): CpuidWord | undefined {
  const [leaf, subleaf, register = ''] = name.split('.')
  if (register === '') return undefined
  return { leaf: Number(`0x${leaf}`), subleaf: Number(subleaf), register: 'abcd'.indexOf(register[1]!) }
}

/** All features, in the order of their CPUID words; those that are `extended` come last, once they are added. */
export const CPU_FEATURES: readonly CpuFeature[] = []
/** The same by name. */
export const FEATURE_BY_NAME: Map<string, CpuFeature> = new Map()

/**
 * Features of x86-decoder that every model has the instructions of, because they are no-operations where the feature is
 * absent. ENDBR32 and ENDBR64 are among the reserved no-operations.
 */
const NO_OPERATIONS = ['PAUSE', 'CET_IBT']

/** The features, as x86-decoder names them, whose instructions are implemented. Everything else is #UD. */
export const FEATURES: Set<string> = new Set(NO_OPERATIONS)
/** The features whose instructions every program has. */
export const BASE_FEATURES: Set<string> = new Set(NO_OPERATIONS)

/**
 * Adds rows of features by leaf, sub-leaf and register.
 *
 * @param rows - separated by a comma and a space: name, bit, needed features. In front of the name, `*`: the feature is extended
 */
export function addFeatures(rows: Readonly<Record<string, string>>): void {
  for (const [wordName, text] of Object.entries(rows)) {
    const word = wordOf(wordName)
    for (const row of text.split(', ')) {
      const [marked = '', bit, ...needs] = row.split(' ')
      const name = marked.replace('*', '')
      const extended = name !== marked
      const feature = { name, cpuid: word && { word, bit: Number(bit) }, needs, amd: AMD_ONLY.has(name), extended }
      ;(CPU_FEATURES as CpuFeature[]).push(feature)
      FEATURE_BY_NAME.set(name, feature)
      FEATURES.add(name)
      if (!extended) BASE_FEATURES.add(name)
    }
  }
}
addFeatures(ROWS)

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
  if (info.mnemonic === 'INVALID') return false
  if (HYPERCALLS.has(info.mnemonic)) return true
  return isOffered(info.feature, features) && isOffered(unreportedFeature(info), features)
}
