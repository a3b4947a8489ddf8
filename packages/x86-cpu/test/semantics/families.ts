import { codes, type CodeInfo } from '@retrap/x86-decoder'
import { unimplementedMnemonics } from '../../src/engine.ts'
import { BASE_FEATURES, isOffered } from '../../src/model/feature-table.ts'
import { alu } from '../../src/semantics/alu.ts'
import { bitOperations } from '../../src/semantics/bits.ts'
import { control } from '../../src/semantics/control.ts'
import { decimal } from '../../src/semantics/decimal.ts'
import { move } from '../../src/semantics/move.ts'
import { multiplication } from '../../src/semantics/multiply.ts'
import { shifts } from '../../src/semantics/shift.ts'
import { isStringForm } from '../../src/interpreter/code-forms.ts'
import { skipNote } from '@retrap/tooling/skip'
import { modesOf } from './encode.ts'
import { MODES } from './layout.ts'
import type { NativeCpu } from './native.ts'

/** What can be run natively but not compared, and why. */
const EXCLUDED: readonly (readonly [reason: string, names: RegExp])[] = [
  ['enters the host kernel', /^(SYSCALL|SYSENTER|VMCALL|VMMCALL|VMFUNC)$/],
  ['reads what the host has', /^(RDTSCP?|RDPMC|CPUID|RDPID|RDRAND|RDSEED|XGETBV|SGDT|SIDT|SLDT|STR|SMSW)$/],
  ['depends on what the host’s kernel has switched on', /^(RDPKRU|WRPKRU)$/],
  ['depends on the processor’s extended state', /^(XSAVE|XRSTOR|FXSAVE|FXRSTOR)/],
  [
    'virtualisation and monitoring',
    /^(VM(?!OV|UL|AX|IN|ASK|PSAD)|INVEPT|INVVPID|STGI|CLGI|SKINIT|INVLPGA|MONITOR|MWAIT|RSM)/,
  ],
  ['its trap is the debugger’s', /^INT1$/],
]

/** Forms that go together. */
export interface Family {
  readonly name: string
  readonly forms: readonly CodeInfo[]
}

/** A family as a host can run it. */
export interface HostFamily extends Family {
  /** The name of its test, with what the host is without. */
  readonly title: string
}

/** All families, with those of their forms that a host runs; all forms where there is no host, and tests skip. */
export function familiesOn(native: NativeCpu | string): readonly HostFamily[] {
  return families().map(({ name, forms: all }) => {
    if (typeof native === 'string') return { name, title: name, forms: all }
    const forms = all.filter((form) => native.runs(form))
    const lacks = new Set(
      all.flatMap((form) => (native.runs(form) ? [] : native.has(form.feature) ? modesLacking(native) : form.feature)),
    )
    const lack = [...lacks].join(', ')
    const note = forms.length === 0 ? skipNote(false, `the host is without ${lack}`) : lack && ` (without ${lack})`
    return { name, title: name + note, forms }
  })
}

/** What to add to the name of tests that compare with a host: why there is none, or the code that it does not run. */
export function hostNote(native: NativeCpu | string): string {
  if (typeof native === 'string') return skipNote(false, native)
  const lack = modesLacking(native).join(', ')
  return lack && ` (without ${lack})`
}

function modesLacking({ modes }: NativeCpu): readonly string[] {
  return MODES.filter((mode) => !modes.includes(mode)).map((mode) => `${mode}-bit code`)
}

/** Why a form is not compared, or undefined. */
function exclusion(info: CodeInfo): string | undefined {
  if (modesOf(info).length === 0) return 'no instruction in the modes of user processes'
  // Extended features have tests of their own.
  if (!isOffered(info.feature, BASE_FEATURES)) return 'feature not offered'
  return EXCLUDED.find(([, names]) => names.test(info.mnemonic))?.[0]
}

function familyOf(info: CodeInfo): string {
  const { mnemonic, feature } = info
  if (info.privileged) return 'privileged'
  if (/^(LAR|LSL|VERR|VERW|L[DEFGS]S|CALLF|JMPF|RETF|IRET[DQ]?|INT)$/.test(mnemonic) || /Sreg|^POP .S$/.test(info.form))
    return 'segments'
  if (isStringForm(info)) return 'string'
  if (feature === 'FPU' || (info.opcode >= 0xd8 && info.opcode <= 0xdf && info.map === 0)) return 'x87'
  if (feature.startsWith('MMX') || /\bmm\b/.test(info.form)) return 'mmx'
  if (/^(AVX|FMA$|F16C|VAES|VPCLMUL)/.test(feature))
    return feature === 'FMA' ? 'fma' : feature.startsWith('AVX2') ? 'avx2' : 'avx'
  if (/^(AES|PCLMUL|SHA|GFNI)/.test(feature)) return 'cryptography'
  if (/^S?SSE/.test(feature) && !(mnemonic in bitOperations) && !(mnemonic in move)) return 'sse'
  if (mnemonic in alu) return 'alu'
  if (mnemonic in bitOperations) return 'bits'
  if (mnemonic in control && !/Sreg|[C-S]S$/.test(info.form)) return 'control'
  if (mnemonic in decimal) return 'decimal'
  if (mnemonic in move && !info.form.includes('Sreg')) return 'move'
  if (mnemonic in multiplication) return 'multiply'
  if (mnemonic in shifts) return 'shift'
  return 'system'
}

let kept: readonly Family[] | undefined

/** All forms that are compared, by family. */
export function families(): readonly Family[] {
  kept ??= sorted()
  return kept
}

function sorted(): readonly Family[] {
  const found = new Map<string, CodeInfo[]>()
  const missing = new Set(unimplementedMnemonics())
  for (const info of codes) {
    if (exclusion(info) !== undefined || missing.has(info.mnemonic)) continue
    const name = familyOf(info)
    const list = found.get(name) ?? []
    list.push(info)
    found.set(name, list)
  }
  return [...found].map(([name, forms]) => ({ name, forms }))
}

/** Mnemonics whose comparison waits for their implementation. */
export function waiting(): readonly string[] {
  return unimplementedMnemonics()
}
