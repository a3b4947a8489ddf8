/** Mnemonics of others, as the manual spells them. Closed: whatever is not here must be equal. */
import { type CodeInfo, codes, type Instruction } from '../../src/index.ts'

/** objdump and LLVM, in Intel syntax → ours. */
const ALIASES: Readonly<Record<string, readonly string[]>> = {
  movabs: ['MOV'],
  wait: ['FWAIT'],
  call: ['CALL', 'CALLF'],
  jmp: ['JMP', 'JMPF'],
  ljmp: ['JMPF'],
  lcall: ['CALLF'],
  fcompi: ['FCOMIP'],
  fucompi: ['FUCOMIP'],
  retfq: ['RETF'],
  sgdtw: ['SGDT'],
  sidtw: ['SIDT'],
  lgdtw: ['LGDT'],
  lidtw: ['LIDT'],
  sgdtd: ['SGDT'],
  sidtd: ['SIDT'],
  lgdtd: ['LGDT'],
  lidtd: ['LIDT'],
  popaw: ['POPA'],
  popal: ['POPAD'],
  pushaw: ['PUSHA'],
  pushal: ['PUSHAD'],
  cmpexadd: ['CMPZXADD'],
  cmpnexadd: ['CMPNZXADD'],
  cmpaexadd: ['CMPNBXADD'],
  cmpaxadd: ['CMPNBEXADD'],
  cmpgexadd: ['CMPNLXADD'],
  cmpgxadd: ['CMPNLEXADD'],
  xstorerng: ['XSTORE'],
}

/** objdump alone. */
const OBJDUMP: Readonly<Record<string, readonly string[]>> = {
  iret: ['IRET', 'IRETD'],
  iretw: ['IRET'],
  'fneni(8087': ['FNENI'],
  'fndisi(8087': ['FNDISI'],
  'fnsetpm(287': ['FNSETPM'],
  pushf: ['PUSHF', 'PUSHFD', 'PUSHFQ'],
  popf: ['POPF', 'POPFD', 'POPFQ'],
  pusha: ['PUSHA', 'PUSHAD'],
  popa: ['POPA', 'POPAD'],
  icebp: ['INT1'],
  xlat: ['XLATB'],
  sysretd: ['SYSRET'],
  sysretl: ['SYSRET'],
  sysexitd: ['SYSEXIT'],
  sysexitl: ['SYSEXIT'],
  sal: ['SHL'],
  // With the FWAIT before it.
  fstcw: ['FNSTCW'],
  fstsw: ['FNSTSW'],
  fstenv: ['FNSTENV'],
  fsave: ['FNSAVE'],
  finit: ['FNINIT'],
  fclex: ['FNCLEX'],
  // A prefix alone where the next byte ends the section, or `rep ret`.
  rep: ['RET'],
  'xstore-rng': ['XSTORE'],
  'xcrypt-ecb': ['XCRYPTECB'],
  'xcrypt-cbc': ['XCRYPTCBC'],
  'xcrypt-ctr': ['XCRYPTCTR'],
  'xcrypt-cfb': ['XCRYPTCFB'],
  'xcrypt-ofb': ['XCRYPTOFB'],
  ud2b: ['UD1'],
  loopw: ['LOOP'],
  loopel: ['LOOPE'],
  loopd: ['LOOP'],
}

const STRING_SIZES: Readonly<Record<string, string>> = { BYTE: 'B', WORD: 'W', DWORD: 'D', QWORD: 'Q' }
const PREDICATES = 'eq|lt|le|unord|neq|nlt|nle|ord'
const LONG_PREDICATES = `${PREDICATES}|nge|ngt|false|ge|gt|true`
const SUFFIXES = '_os|_uq|_us|_oq|_s|_q'

/** Comparisons whose immediate has become part of the name. */
function comparison(mnemonic: string): string | undefined {
  const legacy = new RegExp(`^cmp(?:${PREDICATES})([ps][sd])$`).exec(mnemonic)
  if (legacy !== null) return `CMP${(legacy[1] as string).toUpperCase()}`
  const vex = new RegExp(`^vcmp(?:${LONG_PREDICATES})(?:${SUFFIXES})?([ps][hsd]|pbf16)$`).exec(mnemonic)
  if (vex !== null) return `VCMP${(vex[1] as string).toUpperCase()}`
  const integer = /^vp(cmp|com)(?:eq|lt|le|neq|nlt|nle|false|true|gt|ge)(u?[bwdq])$/.exec(mnemonic)
  if (integer !== null) return `VP${(integer[1] as string).toUpperCase()}${(integer[2] as string).toUpperCase()}`
  if (/^v?pclmul[lh]q[lh]qdq$/.test(mnemonic)) return mnemonic.startsWith('v') ? 'VPCLMULQDQ' : 'PCLMULQDQ'
  return undefined
}

/** What objdump's mnemonic may be of ours. */
export function objdumpSpelling(
  mnemonic: string,
  operands: string,
  length: number,
  insn: Instruction,
): readonly string[] {
  const known = OBJDUMP[mnemonic] ?? ALIASES[mnemonic]
  if (known !== undefined) return known
  if (/^(?:movs|stos|lods|scas|cmps|ins|outs)$/.test(mnemonic)) {
    return [mnemonic.toUpperCase() + (STRING_SIZES[/(\w+) PTR/.exec(operands)?.[1] ?? ''] ?? '?')]
  }
  const upper = mnemonic.toUpperCase()
  const predicate = comparison(mnemonic)
  if (predicate !== undefined) return [predicate, upper]
  // 66 90 and its like.
  if (mnemonic === 'xchg' && /^(?:ax,ax|eax,eax|rax,rax)$/.test(operands)) return ['NOP', 'XCHG']
  // In 16-bit code the 32-bit forms have a suffix, in 32-bit code the 16-bit forms.
  const sized =
    /^(call|jmp|ret|retf|lret|frstor|fnsave|fldenv|fnstenv|push|pop|leave|enter|iret|pusha|popa|pushf|popf|lgdt|lidt|sgdt|sidt|sysret|loope?|loopne)[dw]$/.exec(
      mnemonic,
    )
  if (sized !== null) {
    const base = (sized[1] as string).toUpperCase()
    return [base, `${base}D`, `${base}F`, upper]
  }
  // The suffix of a size that the operands do not show.
  const { mnemonic: ours } = codes[insn.code] as CodeInfo
  if (length > 0 && `${ours}Q` === upper) return [ours]
  return [upper]
}

const llvmKnown = new Map<string, readonly string[]>()

/** What LLVM's mnemonic may be of ours. */
export function llvmSpelling(mnemonic: string): readonly string[] {
  let known = llvmKnown.get(mnemonic)
  if (known === undefined) {
    const predicate = comparison(mnemonic)
    const upper = mnemonic.toUpperCase()
    known = ALIASES[mnemonic] ?? (predicate === undefined ? [upper] : [predicate, upper])
    llvmKnown.set(mnemonic, known)
  }
  return known
}
