/**
 * Text → assembler → bytes: what the formatters print, GNU as and NASM read, and it means the same.
 *
 * Random instructions have superfluous prefixes and numbers that are wider than need be, so the bytes are often others:
 * then what they mean must be equal.
 */
import { hasProgram } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { decode, type DecodedInstruction, formatAtt, formatIntel, formatNasm } from '../src/index.ts'
import { hexOf } from './support/bytes.ts'
import { assemble, assemblers, meaning, type Mode, randomInstructions, SLOT } from './support/reassemble.ts'

const test = sliceTests(4)

type Syntax = keyof typeof assemblers

interface Exception {
  readonly text: RegExp
  readonly why: string
  readonly modes?: readonly Mode[]
}

/** For both syntaxes of GNU as 2.40. */
const gas: readonly Exception[] = [
  { text: /^(erets|eretu|lkgs|pbndkb)\b/, why: 'newer than binutils 2.40' },
  { text: /^v(pdpw\w+|sm[34]\w+|sha512\w+)\b/, why: 'newer than binutils 2.40' },
  { text: /^tcmm(im|rl)fp16ps /, why: 'newer than binutils 2.40' },
  {
    text: /^(prefetchrst2|movrs|urdmsr|uwrmsr|rdmsr|wrmsrns|tdp\w+8ps|tmmultf32ps|tileloaddrs\w*)\b/,
    why: 'newer than binutils 2.40',
  },
  { text: /^ccs_(hash|encrypt)/, why: 'it lacks them' },
  { text: /^bnd\w+ .*[[(]%?e\w\w/, why: 'it refuses 67 in 64-bit mode, where processors ignore it', modes: [64] },
  { text: /^salc/, why: 'undocumented' },
  { text: /^fstpnce/, why: 'undocumented' },
  { text: /^bswap %?(ax|bx|cx|dx|sp|bp|si|di|r\d+w)$/, why: 'undefined with 16 bits' },
  { text: /^prefetchit[01]/, why: 'outside 64-bit mode it is a no-operation', modes: [16, 32] },
  { text: /data(16|32) (loop|j[er]?cxz)/, why: 'it drops the prefix; no processor has a 16-bit EIP to cut' },
  {
    text: /(ds:\[|[^)x\w$]|^mov )0x[0-9a-f]{5,}(\]|$|,)/,
    why: 'it makes 16-bit numbers of addresses without a register',
    modes: [16],
  },
  {
    text: /^mov .*(ds:\[|[ ])0x[89a-f]\w{7}(\]|$|,)|^rol.*0xffffffbe/,
    why: 'an address of 32 bits is taken for one of 64, whose sign would be another',
    modes: [64],
  },
]

/** Texts that an assembler does not read, or reads as something else. Closed: anything more is a failure. */
const exceptions: Readonly<Record<Syntax, readonly Exception[]>> = {
  intel: [
    ...gas,
    { text: /^(sysret|sysexit)$/, why: 'it wants a suffix, which the manual does not have', modes: [64] },
    { text: /^(call|jmp) far dword ptr/, why: 'it has no spelling for a 16:16 pointer in memory' },
    { text: /(call|jmp|lss|lfs|lgs) .*tbyte ptr/, why: 'it has no spelling for a 16:64 pointer' },
    { text: /^movsxd (\w+, word ptr|(ax|bx|cx|dx|sp|bp|si|di|r\d+w),)/, why: 'the 16-bit form' },
    { text: /(call|jmp) dword ptr/, why: 'it takes them for far pointers', modes: [16] },
    { text: /(call|jmp) 0x\w+:0x/, why: 'it makes 16-bit numbers of them', modes: [16] },
    { text: /^data32 push 0x/, why: 'it makes 16-bit numbers of them', modes: [16] },
  ],
  att: [
    ...gas,
    { text: /^mov[sz]ww /, why: 'the same size twice' },
    { text: /^movsxd .*%(ax|bx|cx|dx|sp|bp|si|di|r\d+w)$/, why: 'the 16-bit form' },
    { text: /^l[sfg]s .*%r\d?\w[^wd]?$/, why: 'it has no spelling for a 16:64 pointer', modes: [64] },
    { text: /^(notrack )?l(call|jmp)q /, why: 'it has no spelling for a 16:64 pointer', modes: [64] },
  ],
  nasm: [
    { text: /^(aes(enc|dec)(wide)?(128|256)kl|encodekey(128|256)|loadiwkey)\b/, why: 'newer than NASM 2.16' },
    { text: /^(erets|eretu|lkgs|pbndkb|rdpru|aadd|aand|aor|axor|prefetchit[01])\b/, why: 'newer than NASM 2.16' },
    { text: /^(seam\w+|tdcall|vmgexit|rmpquery|rmpadjust|rmpupdate|psmash|pvalidate)\b/, why: 'newer than NASM 2.16' },
    { text: /^(mcommit|invlpgb|tlbsync|wrmsrns|(rd|wr)msrlist|clui|stui|testui|uiret)\b/, why: 'newer than NASM 2.16' },
    { text: /^(a32 )?v(pdpw\w+|sm[34]\w+|sha512\w+)\b/, why: 'newer than NASM 2.16' },
    { text: /^(tcmm(im|rl)|tdp)fp16ps /, why: 'newer than NASM 2.16' },
    { text: /^vpermil2p[sd] /, why: 'NASM 2.16 does not know it' },
    { text: /^(fstpnce|fn?setpm)/, why: 'undocumented' },
    { text: /^bswap (ax|bx|cx|dx|sp|bp|si|di|r\d+w)$/, why: 'undefined with 16 bits' },
    { text: /^(xresldtrk|xsusldtrk)/, why: 'newer than NASM 2.16' },
    {
      text: /^(prefetchrst2|movrs|urdmsr|uwrmsr|rdmsr|wrmsrns|tdp\w+8ps|tmmultf32ps|tileloaddrs\w*|ccs_(hash|encrypt))\b/,
      why: 'newer than NASM 2.16, or not known to it',
    },
    { text: /^ptwrite/, why: 'NASM 2.16 forgets the F3 prefix' },
    { text: /^wrssd/, why: 'NASM 2.16 encodes it as ADCX', modes: [16] },
    { text: /^enqcmds? /, why: 'NASM 2.16 takes the address size to be 16', modes: [16, 32] },
    { text: /^mov[sz]xd? (ax|bx|cx|dx|sp|bp|si|di|r\d+w), (word|\w\w$|r\d+w|\w\wd?$)/, why: 'the same size twice' },
    { text: /^v?(pinsr[bw]|pextrw|pmovmskb) .*\br\w+/, why: 'it has not all the 64-bit forms', modes: [64] },
    { text: /^(a32 )?vpdpb(ss|su|uu)ds?|^\{vex\} /, why: 'newer than NASM 2.16, or known to it in EVEX form alone' },
    { text: /^skinit/, why: 'processors have it in all modes, NASM 2.16 has not', modes: [16] },
    { text: /^(rd|wr)pkru/, why: 'processors have it in all modes, NASM 2.16 has not', modes: [16, 32] },
    { text: /^movsxd (e\w\w|r\d+d),/, why: 'the same size twice', modes: [64] },
    { text: /^bnd jmp short/, why: 'MPX says nothing against it, NASM does' },
  ],
}

/**
 * Pairs of instructions that are the same one: the upper half of a register is zeroed anyhow, or undefined, or not read.
 * Closed.
 */
const equivalent: readonly { readonly from: RegExp; readonly to: RegExp; readonly modes?: readonly Mode[] }[] = [
  { from: /^MOV (r\d*[wd]?|[er]?\w\w), [c-gs]s$|^MOV [c-gs]s, /, to: /^MOV / },
  { from: /^(SLDT|STR|SMSW) /, to: /^(SLDT|STR|SMSW) / },
  {
    from: /^V?(PINSR[BW]|PEXTR[BW]|EXTRACTPS|PMOVMSKB|MOVMSKP[SD]) /,
    to: /^V?(PINSR[BW]|PEXTR[BW]|EXTRACTPS|PMOVMSKB|MOVMSKP[SD]) /,
  },
  { from: /^XCHG ax, ax$/, to: /^NOP $/ },
  // In 64-bit mode the upper half of RAX would be zeroed.
  { from: /^XCHG eax, eax$/, to: /^NOP $/, modes: [16, 32] },
  { from: /^(FDIVR?|FSUBR?|FADD|FMUL) st, st$/, to: /^(FDIVR?|FSUBR?|FADD|FMUL) st, st$/ },
]

/** The texts. Branch targets of GNU as are relative to the instruction, because it makes relocations of numbers. */
const formatters: Readonly<Record<Syntax, (decoded: DecodedInstruction) => string>> = {
  nasm: formatNasm,
  intel: (decoded) => formatIntel(decoded, { symbols: relative(decoded) }),
  att: (decoded) => formatAtt(decoded, { symbols: relative(decoded) }),
}

function relative(decoded: DecodedInstruction): (target: bigint) => string | undefined {
  if (!decoded.operands.some(({ kind }) => kind === 'branch')) return () => undefined
  const bits = decoded.instruction.mode === 64 ? 64 : decoded.instruction.operandSize
  return (target) => {
    const delta = BigInt.asIntN(bits, target - decoded.address)
    return delta < 0n ? `.-0x${(-delta).toString(16)}` : `.+0x${delta.toString(16)}`
  }
}

function isSame(mode: Mode, before: string, after: string): boolean {
  // Without the marks in front.
  const [from, to] = [before, after].map((text) => text.replace(/^[^A-Z]*/, '')) as [string, string]
  if (before === after) return true
  return equivalent.some((row) => row.from.test(from) && row.to.test(to) && (row.modes ?? [mode]).includes(mode))
}

describe.each([
  { syntax: 'intel', program: 'as' },
  { syntax: 'att', program: 'as' },
  { syntax: 'nasm', program: 'nasm' },
] as const)('$syntax syntax', ({ syntax, program }) => {
  test.skipIf(!hasProgram(program)).each([16, 32, 64] as const)('is read and means the same in %i-bit mode', (mode) => {
    const format = formatters[syntax]
    const all = randomInstructions(mode, 3, 100_000)
    const readable = all
      .filter((decoded) => {
        const text = format(decoded)
        return !exceptions[syntax].some((row) => row.text.test(text) && (row.modes ?? [mode]).includes(mode))
      })
      // Their slots have moved.
      .map(({ bytes }, i) => decode(bytes, { mode, address: BigInt(i * SLOT) }))
    const texts = readable.map(format)
    const { image, complaints } = assemble(assemblers[syntax], mode, texts)
    expect(complaints).toEqual([])
    const sum = syntax === 'nasm' ? 'address' : 'displacement'
    const wrong: string[] = []
    let sameBytes = 0
    readable.forEach((decoded, i) => {
      const again = decode(image, { mode, offset: i * SLOT, address: decoded.address })
      const bytes = [hexOf(decoded.bytes), hexOf(again.bytes)]
      if (bytes[0] === bytes[1]) sameBytes++
      else if (!isSame(mode, meaning(decoded, sum), meaning(again, sum))) {
        wrong.push(`${bytes[0] as string}: ${texts[i] as string}, back: ${bytes[1] as string}: ${format(again)}`)
      }
    })
    console.log(
      `${syntax}, ${mode}-bit mode: ${readable.length} of ${all.length} random instructions, ${sameBytes} with the same bytes, the others in another encoding`,
    )
    expect(wrong).toEqual([])
    expect(readable.length).toBeGreaterThan(all.length * 0.9)
  })
})
