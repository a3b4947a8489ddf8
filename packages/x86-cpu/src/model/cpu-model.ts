import { X86CpuError } from '../errors.ts'
import { CPU_FEATURES, type CpuFeature } from './feature-table.ts'

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

let findModel: ((cpu: CpuModel | string) => CpuModel) | undefined

/** @internal Has {@link modelOf} know all models. */
export function knowModels(find: (cpu: CpuModel | string) => CpuModel): void {
  findModel = find
}

/** Checks a model, where a caller can have one other than `max`. @throws X86CpuError `ERR_CPU_MODEL` */
export function checkModel(model: CpuModel): void {
  findModel?.(model)
}

/**
 * The processor of an option. A page has the models other than `max` once `loadInstructions` has loaded them.
 *
 * @param cpu - a model, or a text for `cpuModel`
 * @throws X86CpuError `ERR_CPU_MODEL` for a model that cannot be, a text that names none, and one whose models are not loaded
 */
export function modelOf(cpu: CpuModel | string): CpuModel {
  if (cpu === 'max') return max('GenuineIntel')
  if (findModel !== undefined) return findModel(cpu)
  const name = typeof cpu === 'string' ? cpu : cpu.name
  throw new X86CpuError('ERR_CPU_MODEL', `${name}: call loadInstructions of this model first`)
}
