import { X86CpuError } from '../errors.ts'
import { CPU_FEATURES, FEATURE_BY_NAME, type CpuFeature } from './feature-table.ts'

/** The maker of a processor, as CPUID leaf 0 spells it. It decides the rules in which the two makers differ. */
export type CpuVendor = 'GenuineIntel' | 'AuthenticAMD'

/** A kind of processor: what CPUID says of it, and what software finds. */
export interface CpuModel {
  /** For people: the name of the model that it began with, and what was changed. */
  readonly name: string
  /** The vendor of the processor. */
  readonly vendor: CpuVendor
  /** CPUID leaf 1, EAX: family, model and stepping. */
  readonly signature: number
  /** CPUID leaves 8000_0002H to 8000_0004H: at most 47 characters. */
  readonly brand: string
  /** Names of {@link CPU_FEATURES}, closed under what each needs. */
  readonly features: ReadonlySet<string>
  /** State save area of system-management mode, where there is 64-bit mode: the maker's (default), or AMD's. */
  readonly saveArea?: 'maker' | 'amd' | undefined
  /** Bits of guest-physical addresses, 32 to 52. */
  readonly physicalAddressBits: number
  /** Highest basic leaf of CPUID. */
  readonly highestLeaf: number
  /** Highest extended leaf of CPUID, 0 for none. */
  readonly highestExtendedLeaf: number
}

/** Bytes of a model's vector registers. */
export const vectorBytesOf = ({ features }: CpuModel): number => (features.has('AVX512F') ? 64 : 32)

function lower(names: Iterable<string>): string {
  return [...names].map((name) => name.toLowerCase()).join(', ')
}

/** All that a feature needs, directly or not, and that is missing. */
function missingFor(name: string, features: ReadonlySet<string>): string[] {
  const missing = new Set<string>()
  const look = (feature: string): void => {
    for (const needed of FEATURE_BY_NAME.get(feature)?.needs ?? []) {
      if (!features.has(needed)) missing.add(needed)
      look(needed)
    }
  }
  look(name)
  // A machine is made in a few milliseconds, and nothing is missing as a rule.
  if (missing.size === 0) return []
  return CPU_FEATURES.map((feature) => feature.name).filter((feature) => missing.has(feature))
}

function fail(message: string): never {
  throw new X86CpuError('ERR_CPU_MODEL', message)
}

/** Returns a value as a message shows it. */
function show(value: unknown): string {
  return typeof value === 'string' ? `'${value.slice(0, 60)}'` : String(value)
}

function requireWhole(name: string, value: unknown, least: number, most: number): void {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return
  fail(`${name} ${show(value)}: expected a whole number from ${least} to ${most}`)
}

/**
 * Checks a model that a caller wrote.
 *
 * @throws X86CpuError `ERR_CPU_MODEL`, naming the field, its value and what was expected
 */
export function checkCpuModel(model: CpuModel): void {
  if (typeof model !== 'object' || model === null) fail(`CPU model ${show(model)}: expected a name or an object`)
  if (typeof model.name !== 'string') fail(`name ${show(model.name)}: expected text`)
  if (model.vendor !== 'GenuineIntel' && model.vendor !== 'AuthenticAMD') {
    fail(`vendor ${show(model.vendor)}: expected GenuineIntel or AuthenticAMD`)
  }
  if (typeof model.brand !== 'string' || model.brand.length > 47 || /[^ -~]/.test(model.brand)) {
    fail(`brand ${show(model.brand)}: expected at most 47 ASCII characters`)
  }
  requireWhole('signature', model.signature, 0, 0xffff_ffff)
  requireWhole('physicalAddressBits', model.physicalAddressBits, 32, 52)
  requireWhole('highestLeaf', model.highestLeaf, 1, 0x16)
  if (model.highestExtendedLeaf !== 0) {
    requireWhole('highestExtendedLeaf', model.highestExtendedLeaf, 0x8000_0001, 0x8000_0021)
  }
  if (!(model.features instanceof Set)) fail('features: expected a Set of names')
  checkFeatures(model)
}

function checkFeatures({ name, vendor, features }: CpuModel): void {
  if (!features.has('FPU')) fail(`${name}: fpu is missing; every model has it`)
  const wanting: string[] = []
  for (const feature of features) {
    const known = FEATURE_BY_NAME.get(feature)
    if (known === undefined) fail(`${name}: no feature ${show(feature)}`)
    if (known.amd && vendor !== 'AuthenticAMD') fail(`${name}: ${lower([feature])} needs vendor=AuthenticAMD`)
    const missing = missingFor(feature, features)
    if (missing.length > 0) wanting.push(`${lower([feature])} needs ${lower(missing)}`)
  }
  if (wanting.length > 0) fail(`${name}: ${wanting.join('; ')}`)
}

/** Left out of `max`: a guest that finds it takes five levels for every walk, whether it needs them or not. */
const NOT_IN_MAX: ReadonlySet<string> = new Set(['LA57'])

/** The features that are implemented and that a vendor's processors have. */
export function implemented(vendor: CpuVendor, isLeftOut: (feature: CpuFeature) => boolean): Set<string> {
  const features = CPU_FEATURES.filter((one) => !isLeftOut(one) && (!one.amd || vendor === 'AuthenticAMD'))
  return new Set(features.map(({ name }) => name))
}

/** The default model. */
export function max(vendor: CpuVendor): CpuModel {
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

let nameModel: ((text: string) => CpuModel) | undefined

/** @internal Has {@link modelOf} know all models. */
export function knowModels(name: (text: string) => CpuModel): void {
  nameModel = name
}

/**
 * The processor of an option. A page has the models other than `max` once `loadInstructions` has loaded them.
 *
 * @param cpu - a model, or a text for `cpuModel`
 * @throws X86CpuError `ERR_CPU_MODEL` for a model that cannot be, a text that names none, and one whose models are not loaded
 */
export function modelOf(cpu: CpuModel | string): CpuModel {
  if (cpu === 'max') return max('GenuineIntel')
  if (typeof cpu === 'string') return nameModel?.(cpu) ?? fail(`${cpu}: call loadInstructions of this model first`)
  checkCpuModel(cpu)
  return cpu
}
