import { X86CpuError } from '../errors.ts'
import { implemented, knowModels, max, type CpuModel, type CpuVendor } from './cpu-model.ts'
import { checkCpuModel } from './model-checks.ts'
import { addExtendedFeatures } from './extended-features.ts'
import { CPU_FEATURES } from './feature-table.ts'

// The names below are of all features.
addExtendedFeatures()

/** The features that all models share: a guest is told that it runs on a hypervisor, as all of them report it. */
const ALWAYS = 'HYPERVISOR'

/** P54C: 75 MHz and up, with a local APIC that no MSR moves. */
const PENTIUM = 'FPU VME DE PSE TSC MSR MCE CX8 APIC'
/** The features of P6 and its descendants up to the Pentium 4, and 64-bit mode. */
const X86_64 =
  `${PENTIUM} PAE SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 SSE3 CX16 LAHF_LM SYSCALL NX LM ` +
  'NOPL RDPMC APIC_BASE'

/** Xeons from Skylake on. ARCH_CAPABILITIES came later; here each has it, so that kernels mitigate nothing that is not there. */
const SKYLAKE_SERVER =
  `${X86_64} PCLMULQDQ MONITOR SSSE3 FMA PCID SSE4_1 SSE4_2 X2APIC MOVBE POPCNT TSC_DEADLINE AES XSAVE AVX F16C RDRAND FSGSBASE ` +
  'TSC_ADJUST BMI1 AVX2 SMEP BMI2 ERMS INVPCID RDSEED ADX SMAP CLFLUSHOPT CLWB PKU XSAVEOPT XSAVEC XGETBV1 XSAVES LZCNT ' +
  'PREFETCHW PDPE1GB RDTSCP INVARIANT_TSC ARCH_CAPABILITIES AVX512F AVX512DQ AVX512CD AVX512BW AVX512VL'
/** The features of AVX-512 that Ice Lake and Zen 4 share. */
const SECOND_AVX512 =
  'AVX512_IFMA AVX512_VBMI AVX512_VBMI2 AVX512_VNNI AVX512_BITALG AVX512_VPOPCNTDQ GFNI VAES VPCLMULQDQ SHA UMIP LA57'
const ICELAKE_SERVER = `${SKYLAKE_SERVER} ${SECOND_AVX512}`
const SAPPHIRE_RAPIDS = `${ICELAKE_SERVER} AVX_VNNI AVX512_BF16 AVX512_FP16 AMX_TILE AMX_INT8 AMX_BF16 XFD MOVDIRI MOVDIR64B ENQCMD PKS`
const GRANITE_RAPIDS = `${SAPPHIRE_RAPIDS} AMX_FP16 AVX10_1 PREFETCHI`
const DIAMOND_RAPIDS =
  `${GRANITE_RAPIDS} AMX_COMPLEX AMX_FP8 AMX_TF32 AMX_AVX512 AMX_MOVRS AVX10_2 APX_F AVX_IFMA AVX_NE_CONVERT AVX_VNNI_INT8 ` +
  'AVX_VNNI_INT16 CMPCCXADD SHA512 SM3 SM4 MOVRS USER_MSR'
const NOT_OF_AMD: ReadonlySet<string> = new Set(['TSC_DEADLINE', 'TSC_ADJUST', 'ARCH_CAPABILITIES'])
const ZEN4 = `${SKYLAKE_SERVER} ${SECOND_AVX512} AVX512_BF16 XSAVEERPTR NULL_BASE SRSO_NO`
  .split(' ')
  .filter((name) => !NOT_OF_AMD.has(name))
  .join(' ')
const ZEN5 = `${ZEN4} AVX_VNNI AVX512_VP2INTERSECT MOVDIRI MOVDIR64B`

function set(names: string): Set<string> {
  return new Set(`${names} ${ALWAYS}`.split(' '))
}

interface Entry {
  /** The maker's, unless a caller asks for another. */
  readonly vendor: CpuVendor
  make(vendor: CpuVendor): CpuModel
}

/**
 * The models by name. Each has the features of the processor that it is named after, as far as they are implemented.
 *
 * Source: Intel application note AP-485, "Intel Processor Identification and the CPUID Instruction" (signatures and
 * feature flags); Intel "Core 2 Duo Processor E8000 and E7000 Series Datasheet"; AMD publication 32559, "BIOS and Kernel
 * Developer's Guide for AMD NPT Family 0Fh Processors", section on CPUID.
 */
const MODELS = new Map<string, Entry>([
  [
    'max',
    {
      vendor: 'GenuineIntel',
      make: max,
    },
  ],
  [
    'everything',
    {
      vendor: 'GenuineIntel',
      make: (vendor) => ({
        ...max(vendor),
        name: 'everything',
        features: implemented(vendor, () => false),
      }),
    },
  ],
  [
    'pentium',
    {
      vendor: 'GenuineIntel',
      make: (vendor) => ({
        name: 'pentium',
        vendor,
        signature: 0x0000_052c,
        brand: '',
        features: set(PENTIUM),
        physicalAddressBits: 32,
        highestLeaf: 1,
        highestExtendedLeaf: 0,
      }),
    },
  ],
  [
    'core2',
    {
      vendor: 'GenuineIntel',
      make: (vendor) => ({
        name: 'core2',
        vendor,
        signature: 0x0001_0676,
        brand: 'retrap virtual Core 2 processor',
        features: set(`${X86_64} MONITOR SSSE3 SSE4_1`),
        physicalAddressBits: 36,
        highestLeaf: 0xa,
        highestExtendedLeaf: 0x8000_0008,
      }),
    },
  ],
  [
    'opteron',
    {
      vendor: 'AuthenticAMD',
      make: (vendor) => ({
        name: 'opteron',
        vendor,
        signature: 0x0004_0f12,
        brand: 'retrap virtual Opteron processor',
        features: set(`${X86_64} RDTSCP PREFETCHW`),
        physicalAddressBits: 40,
        highestLeaf: 1,
        highestExtendedLeaf: 0x8000_0018,
      }),
    },
  ],
])

/**
 * Newer models: signature, bits of guest-physical addresses, features.
 *
 * Source: SDM vol. 4, table "CPUID Signature Values of DisplayFamily_DisplayModel"; Intel Architecture Instruction Set
 * Extensions Programming Reference; AMD publications 55901, "PPR for AMD Family 19h Model 11h", and 57238, "PPR for AMD Family
 * 1Ah Model 02h".
 */
const NEWER: readonly (readonly [name: string, signature: number, physicalAddressBits: number, features: string])[] = [
  ['skylake-server', 0x0005_0654, 46, SKYLAKE_SERVER],
  ['icelake-server', 0x0006_06a6, 46, ICELAKE_SERVER],
  ['sapphire-rapids', 0x0008_06f8, 46, SAPPHIRE_RAPIDS],
  ['granite-rapids', 0x000a_06d1, 52, GRANITE_RAPIDS],
  ['diamond-rapids', 0x0040_0f10, 52, DIAMOND_RAPIDS],
  ['zen4', 0x00a1_0f11, 52, ZEN4],
  ['zen5', 0x00b0_0f21, 52, ZEN5],
]

for (const [name, signature, physicalAddressBits, names] of NEWER) {
  const amd = name.startsWith('zen')
  const make = (vendor: CpuVendor): CpuModel => {
    const features = set(names)
    for (const one of CPU_FEATURES) if (one.amd && vendor === 'GenuineIntel') features.delete(one.name)
    const brand = `retrap virtual ${name} processor`
    const highestExtendedLeaf = amd ? 0x8000_0021 : 0x8000_0008
    return { name, vendor, signature, brand, features, physicalAddressBits, highestLeaf: 0x16, highestExtendedLeaf }
  }
  MODELS.set(name, { vendor: amd ? 'AuthenticAMD' : 'GenuineIntel', make })
}

/** Removes a feature, and those that need it. */
function removeFeature(features: Set<string>, name: string): void {
  features.delete(name)
  for (const each of CPU_FEATURES)
    if (each.needs.includes(name) && features.has(each.name)) removeFeature(features, each.name)
}

/** A model and what it is, for help texts. */
export interface CpuModelSummary {
  /** The argument of `cpuModel`. */
  readonly name: string
  /** A line that describes it. */
  readonly about: string
  /** The model itself. */
  readonly model: CpuModel
}

/** A line on each model. Machines do without: a bundler leaves the lines out of a page. */
const ABOUT: Readonly<Record<string, string>> = {
  max: 'all up to AVX2 and AVX-VNNI but five-level paging (la57); the default',
  everything: 'max, and all that is newer',
  pentium: 'Intel Pentium (P54C, 1994): 32 bits, no PAE, no CMOV, no MMX, no SSE',
  core2: 'Intel Core 2 Duo (Penryn, 2008): 64 bits, SSE4.1, no AVX, 36-bit physical addresses',
  'skylake-server': 'Intel Xeon (Skylake-SP, 2017): AVX-512 F, CD, BW, DQ and VL',
  'icelake-server':
    'Intel Xeon (Ice Lake-SP, 2021): AVX-512 up to VBMI2, VNNI, BITALG and VPOPCNTDQ; five-level paging',
  'sapphire-rapids': 'Intel Xeon (2023): and BF16, FP16, AMX of integers and BF16',
  'granite-rapids': 'Intel Xeon (2024): and AVX10.1, AMX of FP16',
  'diamond-rapids': 'Intel Xeon (announced): and APX, AVX10.2, the newer AMX',
  zen4: 'AMD EPYC (Genoa, 2022): AVX-512 up to VBMI2, VNNI and BF16',
  zen5: 'AMD EPYC (Turin, 2024): and VP2INTERSECT, AVX-VNNI',
  opteron: 'AMD Opteron (family 0FH revision F, 2006): 64 bits, SSE3, no SSSE3, 40-bit physical addresses',
}

function summaries(): readonly CpuModelSummary[] {
  return [...MODELS].map(([name, entry]) => ({ name, about: ABOUT[name]!, model: entry.make(entry.vendor) }))
}

/** The models that {@link cpuModel} knows. */
export const CPU_MODELS: readonly CpuModelSummary[] = /*#__PURE__*/ summaries()

const VENDORS: Readonly<Record<string, CpuVendor>> = {
  intel: 'GenuineIntel',
  genuineintel: 'GenuineIntel',
  amd: 'AuthenticAMD',
  authenticamd: 'AuthenticAMD',
}

const FEATURE_OF: ReadonlyMap<string, string> = new Map(CPU_FEATURES.map(({ name }) => [plain(name), name]))

/** A name as people write it: `sse4.1`, `SSE4-1` and `sse4_1` are one. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-.]/g, '_')
}

function fail(message: string): never {
  throw new X86CpuError('ERR_CPU_MODEL', message)
}

/**
 * The processor that a text names: a model, then changes to it, all with commas between them.
 *
 * `+NAME` adds a feature, `-NAME` removes one and those that need it, `vendor=intel` or `vendor=amd` gives it another maker's rules, and
 * `physical-bits=N` another width of guest-physical addresses.
 *
 * @param text - such as `max`, `core2,-sse4_1` or `max,vendor=amd`
 * @throws X86CpuError `ERR_CPU_MODEL` for an unknown name, and for a feature without those that it needs
 */
export function cpuModel(text: string): CpuModel {
  if (typeof text !== 'string') fail(`CPU model ${String(text)}: expected a name`)
  const [name = '', ...changes] = text.split(',').map((part) => part.trim())
  const known = MODELS.get(name.toLowerCase())
  if (known === undefined) fail(`no CPU model '${name}': expected ${[...MODELS.keys()].join(', ')}`)
  const values = new Map<string, string>()
  for (const change of changes) {
    const [, key, value] = /^([^=]+)=(.*)$/.exec(change) ?? []
    if (key !== undefined && value !== undefined) values.set(key.toLowerCase(), value)
  }
  const model = known.make(vendorOf(values.get('vendor')) ?? known.vendor)
  const features = new Set(model.features)
  for (const change of changes) {
    if (!change.includes('=')) applyFeature(features, change)
  }
  for (const key of values.keys()) {
    if (key !== 'vendor' && key !== 'physical-bits') fail(`'${key}=': expected vendor or physical-bits`)
  }
  const bits = values.get('physical-bits')
  const made: CpuModel = {
    ...model,
    name: [model.name, ...changes].join(','),
    features,
    physicalAddressBits: bits === undefined ? model.physicalAddressBits : Number(bits),
  }
  checkCpuModel(made)
  return made
}

function vendorOf(text: string | undefined): CpuVendor | undefined {
  if (text === undefined) return undefined
  return VENDORS[text.toLowerCase()] ?? fail(`vendor=${text}: expected intel or amd`)
}

function applyFeature(features: Set<string>, change: string): void {
  const sign = change[0]
  if (sign !== '+' && sign !== '-') fail(`'${change}': expected +FEATURE, -FEATURE, vendor= or physical-bits=`)
  const name = FEATURE_OF.get(plain(change.slice(1)))
  if (name === undefined) fail(`no CPU feature '${change.slice(1)}'`)
  if (sign === '+') features.add(name)
  else removeFeature(features, name)
}

/** Has `modelOf` know all models. A bundler drops a module of which nothing is used: what loads this one calls it. */
export const knowAllModels = (): void =>
  knowModels((cpu) => {
    if (typeof cpu === 'string') return cpuModel(cpu)
    checkCpuModel(cpu)
    return cpu
  })
// Programs that import this module know all models from the start.
knowAllModels()
