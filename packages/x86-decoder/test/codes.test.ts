import { describe, expect, test } from 'vitest'
import { codes, codesByMnemonic, decoderOptions, MODE_16, MODE_32, MODE_64, OperandKind } from '../src/index.ts'
import { DECODE_NO_3DNOW, DECODE_NO_APX, DECODE_NO_EVEX, DECODE_NO_VEX, DECODE_NO_XOP } from '../src/kinds.ts'

const valid = codes.slice(1)
const find = (form: string): (typeof codes)[number][] => codes.filter((info) => info.form === form)

describe('the table of codes', () => {
  test('is dense, and its code 0 is the invalid instruction', () => {
    expect(codes.every(({ code }, index) => code === index)).toBe(true)
    expect(codes[0]).toMatchObject({ mnemonic: 'INVALID', modes: 0, operands: [] })
    expect(valid.every(({ modes }) => modes !== 0)).toBe(true)
  })

  test('is found by its mnemonics: each code but 0 once, and under its own', () => {
    const found = [...codesByMnemonic()].flatMap(([mnemonic, own]) => own.map((code) => [code, mnemonic] as const))
    expect(found.sort(([a], [b]) => a - b)).toEqual(valid.map(({ code, mnemonic }) => [code, mnemonic]))
    expect([...codesByMnemonic().values()].filter((own) => own.some((code, i) => code <= own[i - 1]!))).toEqual([])
  })

  // Exception types of the SDM's pages, and of Intel's XED for AVX10.2.
  test.each([
    ['VPSHUFBITQMB k, zmm, zmm/m512', 'E4', true, 1, 'VPSHUFBITQMB'],
    ['VCVTNE2PS2BF16 zmm, zmm, zmm/m512', 'E4NF', false, 2, 'VCVTNE2PS2BF16'],
    ['VCVT2PS2PHX zmm, zmm, zmm/m512', 'E2', true, 2, 'VCVT2PS2PHX'],
    ['VCVTPH2BF8 ymm, zmm/m512', 'E4NF', false, 1, 'VCVTPH2BF8'],
    ['VMPSADBW zmm, zmm, zmm/m512, imm8', 'E4NF', false, 2, 'VMPSADBW'],
    ['VPSLLD zmm, zmm, xmm/m128', 'E4NF', false, 4, 'VPSLLD'],
    ['VMOVDQU8 zmm, zmm/m512', 'E4', true, 1, 'VMOVUPS'],
  ])('%s is of type %s, suppresses faults: %s, has elements of %d bytes, does what %s does', (form, ...facts) => {
    const { exceptionClass, faultSuppression, elementBytes, operation } = find(form).at(-1)!
    expect([exceptionClass, faultSuppression, elementBytes, operation]).toEqual(facts)
  })

  test('has one code only for each encoding', () => {
    const encodings = valid.map((info) =>
      [
        info.encoding,
        info.map,
        info.prefix,
        info.opcode,
        info.extension,
        info.modrmByte,
        info.memory,
        info.operandSize,
        info.addressSize,
        info.vexW,
        info.vexL,
        info.evexNd,
        info.noFlags === 'always',
        info.condition,
        info.modes,
        info.mnemonic === 'NOP' || info.mnemonic === 'PAUSE' ? info.form : '',
        // MOVLPS and MOVHLPS, WRUSS and the like share an opcode; mod and operands tell them apart.
        info.operands.map(({ kind, memorySize }) => `${kind}/${memorySize}`).join(),
      ].join(' '),
    )
    expect(encodings.filter((encoding, index) => encodings.indexOf(encoding) !== index)).toEqual([])
  })

  test('has no code whose feature, by itself, leaves its prefix without meaning', () => {
    const bits = { legacy: 0, vex: DECODE_NO_VEX, evex: DECODE_NO_EVEX, xop: DECODE_NO_XOP, rex2: DECODE_NO_APX }
    const lost = valid.filter(({ feature, encoding }) => {
      const bit = feature.startsWith('3DNOW') ? DECODE_NO_3DNOW : bits[encoding]
      return (decoderOptions({ features: new Set(feature.split('+')) }) & bit) !== 0
    })
    expect(new Set(lost.map(({ encoding, feature }) => `${encoding} ${feature}`))).toEqual(new Set())
  })

  test('has sizes that an operand can have', () => {
    for (const { form, operands } of valid) {
      for (const { size, memorySize } of operands) {
        expect([0, 1, 2, 4, 6, 8, 10, 14, 16, 28, 32, 48, 64, 94, 108, 512], form).toContain(size)
        expect([0, 1, 2, 4, 6, 8, 10, 14, 16, 28, 32, 48, 64, 94, 108, 512], form).toContain(memorySize)
      }
    }
  })

  test('says how each operand size comes about', () => {
    for (const { form, sizeClass, operandSize } of valid) {
      if (sizeClass === 'v') expect([16, 32, 64], form).toContain(operandSize)
      else if (sizeClass === 'z') expect([16, 32], form).toContain(operandSize)
      else if (sizeClass === 'y') expect([32, 64], form).toContain(operandSize)
      else expect([0, 8], form).toContain(operandSize)
    }
  })

  test('allows LOCK only where the destination is written and may be memory (SDM vol. 2A, LOCK)', () => {
    const lockable = [...new Set(valid.filter((info) => info.lockable).map(({ mnemonic }) => mnemonic))].toSorted()
    expect(lockable.join(' ')).toBe(
      'ADC ADD AND BTC BTR BTS CMPXCHG CMPXCHG16B CMPXCHG8B DEC INC NEG NOT OR SBB SUB XADD XCHG XOR',
    )
    for (const info of valid.filter(({ lockable: allowed }) => allowed)) {
      expect([OperandKind.RM, OperandKind.MEM], info.form).toContain(info.operands[0]?.kind)
      expect(info.operands[0]?.access, info.form).toBe('rw')
    }
  })

  test.each([
    { form: 'PUSH r32', modes: MODE_16 | MODE_32 },
    { form: 'PUSH r64', modes: MODE_64 },
    { form: 'PUSH r16', modes: MODE_16 | MODE_32 | MODE_64 },
    { form: 'AAA', modes: MODE_16 | MODE_32 },
    { form: 'SYSCALL', modes: MODE_16 | MODE_32 | MODE_64 },
    { form: 'SWAPGS', modes: MODE_64 },
    { form: 'IRETQ', modes: MODE_64 },
    { form: 'CALL rel32', modes: MODE_16 | MODE_32 },
    { form: 'MOV r64, imm64', modes: MODE_64 },
    { form: 'JRCXZ rel8', modes: MODE_64 },
  ])('$form exists in modes $modes', ({ form, modes }) => {
    expect(find(form).map((info) => info.modes)).toContain(modes)
  })

  test.each([
    { form: 'ADC r/m32, r32', read: 0x001, written: 0x8d5, undefined_: 0 },
    { form: 'AND r/m32, r32', read: 0, written: 0x8c5, undefined_: 0x010 },
    { form: 'SHL r/m32, imm8', read: 0, written: 0x0c5, undefined_: 0x810 },
    { form: 'SHL r/m32, 1', read: 0, written: 0x8c5, undefined_: 0x010 },
    { form: 'INC r/m32', read: 0, written: 0x8d4, undefined_: 0 },
    { form: 'CMOVLE r32, r/m32', read: 0x8c0, written: 0, undefined_: 0 },
    { form: 'MOVSD m32, m32', read: 0x400, written: 0, undefined_: 0 },
    { form: 'MOVSD xmm, xmm/m64', read: 0, written: 0, undefined_: 0 },
    { form: 'CMPSD m32, m32', read: 0x400, written: 0x8d5, undefined_: 0 },
    { form: 'CMPSD xmm, xmm/m64, imm8', read: 0, written: 0, undefined_: 0 },
  ])('$form: flags', ({ form, read, written, undefined_ }) => {
    const info = find(form)[0]
    expect([info?.flagsRead, info?.flagsWritten, info?.flagsUndefined]).toEqual([read, written, undefined_])
  })

  test.each([
    { form: 'JMP rel32', flow: 'jump' },
    { form: 'JMP r/m64', flow: 'indirect-jump' },
    { form: 'JMPF m80', flow: 'indirect-jump' },
    { form: 'CALL rel32', flow: 'call' },
    { form: 'CALL r/m64', flow: 'indirect-call' },
    { form: 'JE rel8', flow: 'branch' },
    { form: 'RET', flow: 'return' },
    { form: 'INT imm8', flow: 'interrupt' },
    { form: 'UD2', flow: 'exception' },
    { form: 'MOV r/m32, r32', flow: 'next' },
  ])('$form: control flow is $flow', ({ form, flow }) => {
    expect(find(form)[0]?.flow).toBe(flow)
  })
})
