import type { CodeInfo } from '@retrap/x86-decoder'
import { CPU_FEATURES } from './model/feature-table.ts'

/**
 * Features of x86-decoder that every model has the instructions of, because they are no-operations where the feature is
 * absent. ENDBR32 and ENDBR64 are among the reserved no-operations.
 */
const NO_OPERATIONS = ['PAUSE', 'CET_IBT']

/** The features, as x86-decoder names them, whose instructions are implemented. Everything else is #UD. */
export const FEATURES: ReadonlySet<string> = decoderFeatures(CPU_FEATURES.map((feature) => feature.name))

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
