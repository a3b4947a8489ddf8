import { X86CpuError } from '../errors.ts'
import type { CpuModel } from './cpu-model.ts'
import { CPU_FEATURES, FEATURE_BY_NAME } from './feature-table.ts'

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
