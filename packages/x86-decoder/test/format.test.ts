import { describe, expect, test } from 'vitest'
import * as decoder from '../src/index.ts'
import { bytesOf } from './support/bytes.ts'
import { randomInstructions } from './support/reassemble.ts'

/** The lines of a table, whose columns have `|` between them. */
const rowsOf = (table: string): string[][] =>
  table
    .trim()
    .split('\n')
    .map((row) => row.split(' | '))

describe('one instruction in three syntaxes', () => {
  test.each(
    rowsOf(`
f0 48 01 44 8b 10 | lock add qword ptr [rbx+rcx*4+0x10], rax | lock add %rax, 0x10(%rbx,%rcx,4) | lock add qword [rbx+rcx*4+0x10], rax
c7 00 01 00 00 00 | mov dword ptr [rax], 0x1 | movl $0x1, (%rax) | mov dword [rax], 0x1
48 83 ec 08 | sub rsp, 0x8 | sub $0x8, %rsp | sub rsp, 0x8
48 83 e4 f0 | and rsp, -0x10 | and $0xfffffffffffffff0, %rsp | and rsp, -0x10
0f b6 c1 | movzx eax, cl | movzbl %cl, %eax | movzx eax, cl
48 63 c8 | movsxd rcx, eax | movslq %eax, %rcx | movsxd rcx, eax
48 98 | cdqe | cltq | cdqe
f3 48 a5 | rep movsq qword ptr es:[rdi], qword ptr [rsi] | rep movsq %ds:(%rsi), %es:(%rdi) | rep movsq
f2 ae | repne scasb al, byte ptr es:[rdi] | repnz scas %es:(%rdi), %al | repne scasb
ff 20 | jmp qword ptr [rax] | jmp *(%rax) | jmp qword [rax]
ff 18 | call fword ptr [rax] | lcall *(%rax) | call dword far [rax]
64 8b 04 25 28 00 00 00 | mov eax, dword ptr fs:[0x28] | mov %fs:0x28, %eax | mov eax, dword [fs:0x28]
48 8d 05 10 00 00 00 | lea rax, [rip+0x10] | lea 0x10(%rip), %rax | lea rax, [rel $+0x17]
48 b8 08 07 06 05 04 03 02 01 | movabs rax, 0x102030405060708 | movabs $0x102030405060708, %rax | mov rax, 0x102030405060708
c8 10 00 01 | enter 0x10, 0x1 | enter $0x10, $0x1 | enter 0x10, 0x1
dc e9 | fsub st(1), st | fsubr %st, %st(1) | fsub st1, st0
d8 e9 | fsubr st, st(1) | fsubr %st(1), %st | fsubr st0, st1
db 28 | fld tbyte ptr [rax] | fldt (%rax) | fld tword [rax]
f2 48 0f 2a 00 | cvtsi2sd xmm0, qword ptr [rax] | cvtsi2sdq (%rax), %xmm0 | cvtsi2sd xmm0, qword [rax]
e6 70 | out 0x70, al | out %al, $0x70 | out 0x70, al
ec | in al, dx | in (%dx), %al | in al, dx
0f 21 f8 | mov rax, dr7 | mov %db7, %rax | mov rax, dr7
66 d9 30 | data16 fnstenv [rax] | fnstenvs (%rax) | o16 fnstenv [rax]
3e ff e0 | notrack jmp rax | notrack jmp *%rax | ds jmp rax
c5 fd 5a 00 | vcvtpd2ps xmm0, ymmword ptr [rax] | vcvtpd2psy (%rax), %xmm0 | vcvtpd2ps xmm0, yword [rax]
06 | (bad) | (bad) | (bad)
    `),
  )('%s', (hex = '', ...texts) => {
    const decoded = decoder.decode(bytesOf(hex))
    expect([decoder.formatIntel(decoded), decoder.formatAtt(decoded), decoder.formatNasm(decoded)]).toEqual(texts)
  })
})

describe('options', () => {
  const add = decoder.decode(bytesOf('f0 48 01 84 8b ab 00 00 00'))
  test.each(
    rowsOf(`
{"hex": "suffix"} | lock add qword ptr [rbx+rcx*4+0abh], rax | lock add %rax, 0xab(%rbx,%rcx,4) | lock add qword [rbx+rcx*4+0abh], rax
{"upperCase": true} | LOCK ADD QWORD PTR [RBX+RCX*4+0xAB], RAX | LOCK ADD %RAX, 0xAB(%RBX,%RCX,4) | LOCK ADD QWORD [RBX+RCX*4+0xAB], RAX
{"upperCase": true, "hex": "suffix"} | LOCK ADD QWORD PTR [RBX+RCX*4+0ABH], RAX | LOCK ADD %RAX, 0xAB(%RBX,%RCX,4) | LOCK ADD QWORD [RBX+RCX*4+0ABH], RAX
{"spacing": "tight"} | lock add qword ptr [rbx+rcx*4+0xab],rax | lock add %rax,0xab(%rbx,%rcx,4) | lock add qword [rbx+rcx*4+0xab],rax
{"spacing": "loose"} | lock add qword ptr [rbx + rcx*4 + 0xab], rax | lock add %rax, 0xab(%rbx,%rcx,4) | lock add qword [rbx + rcx*4 + 0xab], rax
{"mnemonicWidth": 12} | lock add    qword ptr [rbx+rcx*4+0xab], rax | lock add    %rax, 0xab(%rbx,%rcx,4) | lock add    qword [rbx+rcx*4+0xab], rax
    `),
  )('%s', (given = '', ...texts) => {
    const options = JSON.parse(given) as decoder.FormatOptions
    expect([decoder.formatIntel, decoder.formatAtt, decoder.formatNasm].map((format) => format(add, options))).toEqual(
      texts,
    )
  })

  test('a resolver names branch targets and operands, in the case that it gives', () => {
    const symbols = (address: bigint): string => `Name_${address.toString(16)}`
    const texts = [...decoder.decodeAll(bytesOf('e8 fb ff ff ff 8b 05 01 00 00 00'), { address: 0x1000n })].map(
      (decoded) =>
        [decoder.formatIntel, decoder.formatAtt, decoder.formatNasm].map((format) =>
          format(decoded, { symbols, upperCase: true }),
        ),
    )
    expect(texts).toEqual([
      ['CALL Name_1000', 'CALL Name_1000', 'CALL Name_1000'],
      ['MOV EAX, DWORD PTR [RIP+Name_100c]', 'MOV Name_100c(%RIP), %EAX', 'MOV EAX, DWORD [REL Name_100c]'],
    ])
  })
})

describe('tokens', () => {
  const kinds = (tokens: readonly decoder.Token[]): string =>
    tokens.map(({ kind, text }) => `${kind}:${text}`).join(' | ')

  test('say what each piece is', () => {
    const decoded = decoder.decode(bytesOf('f0 83 40 10 ff'))
    expect(kinds(decoder.tokensIntel(decoded))).toBe(
      'prefix:lock | space:  | mnemonic:add | space:  | keyword:dword | space:  | keyword:ptr | space:  | punctuation:[ | ' +
        'register:rax | punctuation:+ | number:0x10 | punctuation:] | punctuation:, | space:  | punctuation:- | number:0x1',
    )
    expect(kinds(decoder.tokensAtt(decoder.decode(bytesOf('eb fe'))))).toBe('mnemonic:jmp | space:  | address:0x0')
    expect(kinds(decoder.tokensNasm(decoder.decode(bytesOf('eb fe')), { symbols: () => 'start' }))).toBe(
      'mnemonic:jmp | space:  | keyword:short | space:  | symbol:start',
    )
  })

  test.each([16, 32, 64] as const)('are the text, piece by piece, in %i-bit mode', (mode) => {
    const pairs: readonly [
      (target: decoder.DecodedInstruction, options?: decoder.FormatOptions) => string,
      (target: decoder.DecodedInstruction, options?: decoder.FormatOptions) => readonly decoder.Token[],
    ][] = [
      [decoder.formatIntel, decoder.tokensIntel],
      [decoder.formatAtt, decoder.tokensAtt],
      [decoder.formatNasm, decoder.tokensNasm],
    ]
    for (const decoded of randomInstructions(mode, 1, 20_000)) {
      for (const [format, tokens] of pairs) {
        const pieces = tokens(decoded)
        expect(decoder.joinTokens(pieces)).toBe(format(decoded))
        expect(pieces.every(({ kind, text }) => text !== '' && (kind === 'space') === /^ +$/.test(text))).toBe(true)
        expect(pieces.filter(({ kind }) => kind === 'mnemonic')).toHaveLength(1)
        expect(format(decoded)).not.toMatch(/undefined|NaN|\s$/)
      }
    }
  })
})
