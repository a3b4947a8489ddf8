import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { DECODE_AMD, decode, decodeInto, formatIntel, Instruction, INVALID, REASON_LOCK } from '../src/index.ts'
import { bytesOf } from './support/bytes.ts'

const shown = (decoded: ReturnType<typeof decode>): string =>
  decoded.status === 'decoded' ? formatIntel(decoded) : decoded.status

const rules = readFileSync(new URL('rules.txt', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => {
    const [mode, hex, result, length, ...about] = line.split(/\s{2,}/) as [string, string, string, string, ...string[]]
    return {
      mode: Number(mode) as 16 | 32 | 64,
      bytes: bytesOf(hex === '-' ? '' : hex),
      result,
      length: Number(length),
      name: `${mode}  ${hex}  ${result}  ${about.join(' ')}`,
    }
  })

describe('instruction format (SDM vol. 2A, chapter 2)', () => {
  test.each(rules)('$name', ({ mode, bytes, result, length }) => {
    const decoded = decode(bytes, { mode, address: 0x1000n })
    expect([shown(decoded), decoded.length]).toEqual([result, length])
  })
})

describe('AMD processors', () => {
  test.each([
    { mode: 64, bytes: '66 e8 00 10', intel: 'truncated', amd: 'data16 call 0x2004' },
    { mode: 64, bytes: '66 0f 84 00 10', intel: 'truncated', amd: 'data16 je 0x2005' },
    { mode: 64, bytes: '66 ff e0', intel: 'jmp rax', amd: 'jmp ax' },
    { mode: 64, bytes: '66 c3', intel: 'ret', amd: 'data16 ret' },
    { mode: 64, bytes: '48 ff 28', intel: 'jmp tbyte ptr [rax]', amd: 'jmp fword ptr [rax]' },
    { mode: 64, bytes: '48 ff 18', intel: 'call tbyte ptr [rax]', amd: 'call fword ptr [rax]' },
    { mode: 64, bytes: '48 0f b2 00', intel: 'lss rax, tbyte ptr [rax]', amd: 'lss eax, fword ptr [rax]' },
    { mode: 64, bytes: '66 0f b4 00', intel: 'lfs ax, dword ptr [rax]', amd: 'lfs ax, dword ptr [rax]' },
    { mode: 32, bytes: 'f0 0f 20 c0', intel: 'invalid', amd: 'mov eax, cr8' },
    { mode: 64, bytes: 'f0 44 0f 20 c0', intel: 'invalid', amd: 'invalid' },
    { mode: 32, bytes: 'f0 0f 20 d0', intel: 'invalid', amd: 'invalid' },
  ] as const)('$bytes in $mode-bit mode is $amd, on Intel $intel', ({ mode, bytes, intel, amd }) => {
    const text = (vendor: 'intel' | 'amd'): string => shown(decode(bytesOf(bytes), { mode, vendor, address: 0x1000n }))
    expect([text('intel'), text('amd')]).toEqual([intel, amd])
  })

  test('a 16-bit near return is one in the operand size too', () => {
    const insn = new Instruction()
    const sizeOf = (flags: number): number => (decodeInto(bytesOf('66 c3'), 0, 2, flags, insn), insn.operandSize)
    expect([sizeOf(64 | DECODE_AMD), sizeOf(64)]).toEqual([16, 64])
  })
})

describe('the reason of an invalid instruction', () => {
  test.each([
    { bytes: 'f0 90', reason: 'LOCK is not allowed here' },
    { bytes: '06', reason: 'no such instruction in this mode' },
    { bytes: '8e c8', reason: 'no such register' },
    { bytes: '66 c4 e2 70 f2 c2', reason: 'a prefix before VEX that must not be there' },
    { bytes: 'c4 e3 73 f0 c2 05', reason: 'VEX.vvvv must be 1111b' },
    { bytes: `${'66 '.repeat(15)}90`, reason: 'longer than 15 bytes' },
  ])('$bytes: $reason', ({ bytes, reason }) => {
    expect(decode(bytesOf(bytes)).reason).toBe(reason)
  })

  test('is a number in the record', () => {
    const insn = new Instruction()
    expect(decodeInto(bytesOf('f0 90'), 0, 2, 64, insn)).toBe(INVALID)
    expect([insn.code, insn.reason]).toEqual([0, REASON_LOCK])
  })
})

describe('a processor that lacks a feature', () => {
  const text = (bytes: string, mode: 16 | 32 | 64, features?: ReadonlySet<string>): string =>
    shown(decode(bytesOf(bytes), { mode, ...(features && { features }) }))
  test.each([
    { mode: 64, bytes: 'f3 0f bc c1', all: 'tzcnt eax, ecx', none: 'bsf eax, ecx' },
    { mode: 64, bytes: '66 f3 0f bd c1', all: 'lzcnt ax, cx', none: 'bsr ax, cx' },
    { mode: 64, bytes: 'f3 0f 09', all: 'wbnoinvd', none: 'wbinvd' },
    { mode: 64, bytes: 'f3 0f 1e fa', all: 'endbr64', none: 'nop edx, edi' },
    { mode: 64, bytes: 'f3 48 0f 1e c8', all: 'rdsspq rax', none: 'nop rax, rcx' },
    { mode: 64, bytes: '0f 1c 00', all: 'cldemote [rax]', none: 'nop dword ptr [rax], eax' },
    { mode: 64, bytes: '0f 0d 10', all: 'prefetchwt1 [rax]', none: 'nop dword ptr [rax], edx' },
    { mode: 64, bytes: '0f 18 38', all: 'prefetchit0 [rax]', none: 'nop dword ptr [rax], edi' },
    { mode: 64, bytes: 'f3 90', all: 'pause', none: 'nop' },
    { mode: 32, bytes: 'c5 f8 77', all: 'vzeroupper', none: 'invalid' },
    { mode: 32, bytes: 'c5 38', all: 'lds edi, fword ptr [eax]', none: 'lds edi, fword ptr [eax]' },
    { mode: 64, bytes: '8f e9 78 81 c1', all: 'vfrczpd xmm0, xmm1', none: 'invalid' },
    { mode: 64, bytes: '8f 00', all: 'pop qword ptr [rax]', none: 'pop qword ptr [rax]' },
    { mode: 64, bytes: '0f 0f c1 9e', all: 'pfadd mm0, mm1', none: 'invalid' },
  ] as const)('$bytes in $mode-bit mode is "$all", without the feature "$none"', ({ mode, bytes, all, none }) => {
    expect([text(bytes, mode), text(bytes, mode, new Set())]).toEqual([all, none])
  })

  test('only that feature matters', () => {
    expect(text('f3 0f bc c1', 64, new Set(['BMI1']))).toBe('tzcnt eax, ecx')
    expect(text('f3 0f bd c1', 64, new Set(['BMI1']))).toBe('bsr eax, ecx')
  })
})
