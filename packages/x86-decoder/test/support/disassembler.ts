/** Other people's disassemblers on other people's programs. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { bytesOf } from './bytes.ts'

/** One line of a listing. */
export interface Line {
  readonly bytes: Uint8Array
  /** Without prefixes. */
  readonly mnemonic: string
  readonly operands: string
}

/** Words before the mnemonic: prefixes that a disassembler spells out. */
const PREFIX_WORD =
  /^(data16|data32|addr32|addr16|[cdefgs]s|rep|repz|repnz|repe|repne|lock|bnd|notrack|xacquire|xrelease|rex(\.[WRXB]+)?|\{\w+\})$/

/** Where the `.text` section of an ELF file is, and how long. */
export function textRange(file: string): { address: number; size: number } {
  const listing = execFileSync('objdump', ['-h', '-w', file], { encoding: 'utf8' })
  const match = /\s\.text\s+([0-9a-f]+)\s+([0-9a-f]+)/.exec(listing)
  if (match === null) throw new Error(`${file} has no .text`)
  return { address: parseInt(match[2] as string, 16), size: parseInt(match[1] as string, 16) }
}

function parse(listing: string): Line[] {
  const lines: Line[] = []
  for (const line of listing.split('\n')) {
    const match = /^\s*[0-9a-f]+:\s+((?:[0-9a-f]{2}[ \t])+)\s*(\S.*)?$/.exec(line)
    if (match === null) continue
    const words = (match[2] ?? '').trim().split(/\s+/)
    while (words.length > 1 && PREFIX_WORD.test(words[0] as string)) words.shift()
    lines.push({
      bytes: bytesOf((match[1] as string).trim()),
      mnemonic: words.shift() ?? '',
      operands: words.join(' '),
    })
  }
  return lines
}

/** `objdump`'s listing of part of a file. */
export function objdumpLines(file: string, start: number, stop: number): Line[] {
  const range = [`--start-address=${start}`, `--stop-address=${stop}`]
  const listing = execFileSync('objdump', ['-d', '-w', '-M', 'intel', '-j', '.text', ...range, file], {
    encoding: 'utf8',
    maxBuffer: 1 << 29,
  })
  return parse(listing)
}

/** `llvm-objdump`'s listing of part of a file. */
export function llvmLines(file: string, start: number, stop: number): Line[] {
  const range = [`--start-address=${start}`, `--stop-address=${stop}`]
  const listing = execFileSync('llvm-objdump', ['-d', '--x86-asm-syntax=intel', '-j', '.text', ...range, file], {
    encoding: 'utf8',
    maxBuffer: 1 << 29,
  })
  return parse(listing)
}

/** Whether a program can be run. */
export const hasProgram = (name: string): boolean =>
  (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(`${folder}/${name}`))

/** Programs and libraries of an ordinary Debian, of which a test takes those that are there. */
export const debianFiles = [
  '/bin/bash',
  '/usr/lib/x86_64-linux-gnu/libc.so.6',
  '/usr/lib/x86_64-linux-gnu/libm.so.6',
  '/usr/lib/x86_64-linux-gnu/libstdc++.so.6',
  '/usr/lib/x86_64-linux-gnu/libcrypto.so.3',
  '/usr/lib/x86_64-linux-gnu/libavcodec.so.59',
  '/usr/bin/python3.11',
  '/usr/bin/perl',
  '/usr/lib/gcc/x86_64-linux-gnu/12/cc1',
].filter((file) => existsSync(file))

/** Spellings of objdump and LLVM → ours. Closed: whatever is not here must be equal. */
const SPELLINGS: Readonly<Record<string, string>> = {
  movabs: 'MOV',
  iret: 'IRETD',
  'fneni(8087': 'FNENI',
  'fndisi(8087': 'FNDISI',
  'fnsetpm(287': 'FNSETPM',
  fwait: 'FWAIT',
  wait: 'FWAIT',
  pushf: 'PUSHFQ',
  popf: 'POPFQ',
  icebp: 'INT1',
  xlat: 'XLATB',
  sysretd: 'SYSRET',
  sysretl: 'SYSRET',
  sysexitl: 'SYSEXIT',
  ljmp: 'JMPF',
  lcall: 'CALLF',
  rep: 'RET',
  sal: 'SHL',
  fcompi: 'FCOMIP',
  fucompi: 'FUCOMIP',
  // LLVM
  ud2b: 'UD1',
  retq: 'RET',
  callq: 'CALL',
  jmpq: 'JMP',
}
const STRING_SIZES: Readonly<Record<string, string>> = { BYTE: 'B', WORD: 'W', DWORD: 'D', QWORD: 'Q' }

/** VPCMPB to VPCMPUQ, whose immediate is the predicate: EVEX map 3, 1E, 1F, 3E, 3F. */
function isMaskComparison(bytes: Uint8Array): boolean {
  const at = bytes.indexOf(0x62)
  return at >= 0 && ((bytes[at + 1] as number) & 7) === 3 && [0x1e, 0x1f, 0x3e, 0x3f].includes(bytes[at + 4] as number)
}

/** Our mnemonic for a line's. */
export function spelled({ mnemonic, operands, bytes }: Line): string {
  const known = SPELLINGS[mnemonic]
  if (known !== undefined) return known
  if (/^(movs|stos|lods|scas|cmps|ins|outs)$/.test(mnemonic)) {
    return mnemonic.toUpperCase() + (STRING_SIZES[/(\w+) PTR/i.exec(operands)?.[1]?.toUpperCase() ?? ''] ?? '?')
  }
  const compare = /^cmp(eq|lt|le|unord|neq|nlt|nle|ord)([ps][sd])$/.exec(mnemonic)
  if (compare !== null) return `CMP${(compare[2] as string).toUpperCase()}`
  const vector = /^vcmp(?:eq|n?lt|n?le|unord|neq|ord|n?ge|n?gt|false|true)(?:_(?:uq|os|us|oq|s))?([ps][sdh])$/.exec(
    mnemonic,
  )
  if (vector !== null) return `VCMP${(vector[1] as string).toUpperCase()}`
  const integers = /^vpcmp(?:eq|n?lt|n?le|neq|nle|nlt)(u?[bwdq])$/.exec(mnemonic)
  // The destination tells the masks' comparison from the vectors'.
  if (integers !== null && isMaskComparison(bytes)) {
    return `VPCMP${(integers[1] as string).toUpperCase()}`
  }
  if (/^v?pclmul[lh]q[lh]qdq$/.test(mnemonic)) return mnemonic.startsWith('v') ? 'VPCLMULQDQ' : 'PCLMULQDQ'
  // 66 90 and its like.
  if (mnemonic === 'xchg' && operands === 'ax,ax' && bytes.at(-1) === 0x90) return 'NOP'
  return mnemonic.toUpperCase()
}
