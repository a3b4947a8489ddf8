import { codes } from '@retrap/x86-decoder'
import type { CodeInfo } from '@retrap/x86-decoder'
import { unimplementedMnemonics } from '../../src/engine.ts'
import { isOffered } from '../../src/features.ts'
import { alu } from '../../src/semantics/alu.ts'
import { bitOperations } from '../../src/semantics/bits.ts'
import { control } from '../../src/semantics/control.ts'
import { decimal } from '../../src/semantics/decimal.ts'
import { move } from '../../src/semantics/move.ts'
import { multiplication } from '../../src/semantics/multiply.ts'
import { shifts } from '../../src/semantics/shift.ts'
import { isStringForm } from '../../src/code-forms.ts'
import { modesOf } from './encode.ts'

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

/** Why a form is not compared, or undefined. */
function exclusion(info: CodeInfo): string | undefined {
  if (modesOf(info).length === 0) return 'no instruction in the modes of user processes'
  if (!isOffered(info.feature)) return 'feature not offered'
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

/** All forms that are compared, by family. */
export function families(): readonly Family[] {
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
