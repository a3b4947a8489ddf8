import { X86CpuError } from '../errors.ts'
import { checkCpuModel, type CpuModel, type CpuVendor } from './cpu-model.ts'
import { CPU_FEATURES, PENDING, type CpuFeature } from './feature-table.ts'

/** The features that all models share: a guest is told that it runs on a hypervisor, as all of them report it. */
const ALWAYS = 'HYPERVISOR'

/** P54C: 75 MHz and up, with a local APIC that no MSR moves. */
const PENTIUM = 'FPU VME DE PSE TSC MSR MCE CX8 APIC'
/** The features of P6 and its descendants up to the Pentium 4, and 64-bit mode. */
const X86_64 =
  `${PENTIUM} PAE SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 SSE3 CX16 LAHF_LM SYSCALL NX LM ` +
  'NOPL RDPMC APIC_BASE'

/** Left out of `max`: a guest that finds it takes five levels for every walk, whether it needs them or not. */
const NOT_IN_MAX: ReadonlySet<string> = new Set(['LA57'])

function set(names: string): Set<string> {
  return new Set(`${names} ${ALWAYS}`.split(' '))
}

/** The features that are implemented and that a vendor's processors have. */
function implemented(vendor: CpuVendor, isLeftOut: (feature: CpuFeature) => boolean): Set<string> {
  const features = CPU_FEATURES.filter((one) => !isLeftOut(one) && (!one.amd || vendor === 'AuthenticAMD'))
  return new Set(features.map(({ name }) => name))
}

function max(vendor: CpuVendor): CpuModel {
  const amd = vendor === 'AuthenticAMD'
  return {
    name: 'max',
    vendor,
    // Intel: family 6, model 2CH, stepping 2, which kernels keep no list of defects for. AMD: family 19H, model 11H.
    signature: amd ? 0x00a1_0f11 : 0x0002_06c2,
    brand: 'retrap virtual x86-64 processor',
    features: implemented(vendor, ({ name, extended }) => extended || NOT_IN_MAX.has(name)),
    physicalAddressBits: 40,
    highestLeaf: 0x16,
    highestExtendedLeaf: amd ? 0x8000_0021 : 0x8000_0008,
  }
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
const MODELS: ReadonlyMap<string, Entry> = new Map<string, Entry>([
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
        features: implemented(vendor, ({ name }) => PENDING.has(name)),
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
 * `+NAME` adds a feature, `-NAME` removes one, `vendor=intel` or `vendor=amd` gives it another maker's rules, and
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
  else features.delete(name)
}
