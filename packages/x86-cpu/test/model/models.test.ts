import { spawnSync } from 'node:child_process'
import { DECODED, decodeInto, decoderOptions, Instruction, INVALID } from '@retrap/x86-decoder'
import { describe, expect, test } from 'vitest'
import { BASE_FEATURES, CPU_FEATURES } from '../../src/model/feature-table.ts'
import { CPU_MODELS, cpuModel } from '../../src/model/models.ts'
import { Processor } from '../../src/model/processor.ts'
import { S_CR4, S_GPR } from '../../src/state/state-layout.ts'
import { cpuidLeaf } from '../../src/system/cpuid.ts'
import { resetState, RESET_POWER_ON } from '../../src/system/reset.ts'
import { X86CpuError } from '../../src/errors.ts'
import { Bench, gprOffset } from '../system/bench.ts'

function on(cpu: string, make: () => Bench = () => Bench.protected32()): Bench {
  const b = make()
  b.cpu.processor = new Processor(cpuModel(cpu))
  return b
}

function leaf(b: Bench, number: number, subleaf = 0): number[] {
  const into = new Uint32Array(4)
  cpuidLeaf(b.s, number, subleaf, into)
  return [...into]
}

describe('a model by its name', () => {
  test.each([
    ['core3', `no CPU model 'core3': expected ${CPU_MODELS.map(({ name }) => name).join(', ')}`],
    ['core2,+avx2', 'core2,+avx2: avx2 needs xsave, avx'],
    ['granite-rapids,-gfni,+avx10.2', 'granite-rapids,-gfni,+avx10.2: avx10_2 needs gfni, avx10_1'],
    ['pentium,+lm', 'pentium,+lm: lm needs pae, mmx, fxsr, sse, sse2, syscall'],
    ['max,-fpu', 'max,-fpu: fpu is missing; every model has it'],
    ['max,+avx512er', "no CPU feature 'avx512er'"],
    ['max,sse3', "'sse3': expected +FEATURE, -FEATURE, vendor= or physical-bits="],
    ['max,vendor=via', 'vendor=via: expected intel or amd'],
    ['max,speed=9', "'speed=': expected vendor or physical-bits"],
    ['max,physical-bits=53', 'physicalAddressBits 53: expected a whole number from 32 to 52'],
    ['max,physical-bits=', 'physicalAddressBits 0: expected a whole number from 32 to 52'],
    ['max,+xsaveerptr', 'max,+xsaveerptr: xsaveerptr needs vendor=AuthenticAMD'],
  ])('%s: %s', (text, message) => {
    expect(() => cpuModel(text)).toThrow(new X86CpuError('ERR_CPU_MODEL', message))
  })

  test('features are written in any case, with any of the usual signs', () => {
    for (const text of ['Core2,-SSE4.1', 'core2,-sse4-1', 'core2, -sse4_1']) {
      expect(cpuModel(text).features.has('SSE4_1')).toBe(false)
    }
    expect(cpuModel('core2,+xsave,+avx,+avx2').features.has('AVX2')).toBe(true)
    expect(cpuModel('core2,physical-bits=38').physicalAddressBits).toBe(38)
  })

  test('another vendor brings the features that are its own', () => {
    expect(cpuModel('max,vendor=amd').vendor).toBe('AuthenticAMD')
    expect(cpuModel('max,vendor=AuthenticAMD').features.has('XSAVEERPTR')).toBe(true)
    expect(cpuModel('max').features.has('XSAVEERPTR')).toBe(false)
  })

  test('every model has whatever its features need', () => {
    for (const { name, model } of CPU_MODELS) expect(() => new Processor(model), name).not.toThrow()
  })

  test('a model of a caller is checked', () => {
    const model = cpuModel('core2')
    expect(() => new Processor({ ...model, vendor: 'CyrixInstead' as never })).toThrow('vendor')
    expect(() => new Processor({ ...model, features: new Set(['FPU', 'AVX2']) })).toThrow('avx2 needs')
    expect(() => new Processor({ ...model, features: ['FPU'] as never })).toThrow('expected a Set')
    expect(() => new Processor({ ...model, brand: 'x'.repeat(48) })).toThrow('brand')
    expect(() => new Processor(null as never)).toThrow(X86CpuError)
  })
})

describe('CPUID of the models (Intel AP-485; AMD 32559, "CPUID")', () => {
  const ascii = (words: readonly number[]): string =>
    String.fromCharCode(...words.flatMap((w) => [w & 255, (w >>> 8) & 255, (w >>> 16) & 255, w >>> 24]))

  test('pentium: 0000_03BFH, and nothing above leaf 1', () => {
    const b = on('pentium')
    expect(leaf(b, 0)).toEqual([1, 0x756e_6547, 0x6c65_746e, 0x4965_6e69])
    expect(leaf(b, 1)).toEqual([0x52c, 0x1_0000, 0x8000_0000, 0x3bf])
    expect(leaf(b, 7)).toEqual(leaf(b, 1))
    expect(leaf(b, 0x8000_0000)).toEqual(leaf(b, 1))
  })

  test('core2: up to SSE4.1, 36 bits', () => {
    const b = on('core2', () => Bench.long64())
    expect(leaf(b, 0)[0]).toBe(0xa)
    expect(leaf(b, 1)).toEqual([0x1_0676, 0x1_0800, 0x8008_2209, 0x078b_fbff])
    expect(leaf(b, 7)).toEqual([0, 0, 0, 0])
    expect(leaf(b, 0x8000_0001)).toEqual([0, 0, 1, 0x2010_0800])
    expect(leaf(b, 0x8000_0008)[0]).toBe(0x3024)
    expect(leaf(b, 0x8000_0007)[3]).toBe(0)
  })

  test('opteron: AuthenticAMD, whose leaf 8000_0001H repeats leaf 1', () => {
    const b = on('opteron')
    const [highest = 0, ebx = 0, ecx = 0, edx = 0] = leaf(b, 0)
    expect(ascii([ebx, edx, ecx])).toBe('AuthenticAMD')
    expect(highest).toBe(1)
    expect(leaf(b, 1)).toEqual([0x4_0f12, 0x1_0800, 0x8000_2001, 0x078b_fbff])
    // SYSCALL outside 64-bit mode too; NX, MMXEXT, RDTSCP, LM, and bits 24, 23, 17 to 12 and 9 to 0 of leaf 1.
    expect(leaf(b, 0x8000_0001)).toEqual([0x4_0f12, 0, 0x101, 0x29d3_fbff])
    expect(leaf(b, 0x8000_0000)).toEqual([0x8000_0018, ebx, ecx, edx])
    expect(leaf(b, 0x8000_0008)[0]).toBe(0x3028)
    // A leaf that is not there is zeros, where Intel's processors answer as the highest basic one.
    expect(leaf(b, 4)).toEqual([0, 0, 0, 0])
    expect(leaf(b, 0x8000_0099)).toEqual([0, 0, 0, 0])
  })

  test('a feature that is added brings its leaf, one that is removed takes its bit', () => {
    const b = on('opteron,+smep')
    expect([leaf(b, 0)[0], leaf(b, 7)[1]]).toEqual([7, 1 << 7])
    const every = `max,vendor=amd,${CPU_FEATURES.map(({ name }) => `+${name}`).join(',')}`
    for (const { name, cpuid } of CPU_FEATURES) {
      if (cpuid === undefined) continue
      const { word, bit } = cpuid
      if (name === 'FPU') continue
      const has = new Processor(cpuModel(every)).flags(word.leaf, word.subleaf, word.register)
      const lacks = new Processor(cpuModel(`${every},-${name}`)).flags(word.leaf, word.subleaf, word.register)
      expect([(has >>> bit) & 1, (lacks >>> bit) & 1], name).toEqual([1, 0])
    }
  })

  test('no feature of every program brings EVEX or REX2: builds for pages leave their tables out', () => {
    const bytes = [
      // VADDPS zmm0, zmm0, zmm1; ADD R16, RAX; MOV R16, RAX.
      [0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc1],
      [0x62, 0xf4, 0x7c, 0x18, 0x01, 0xc0],
      [0xd5, 0x18, 0x89, 0xc0],
    ]
    const options = decoderOptions({ features: BASE_FEATURES })
    const insn = new Instruction()
    for (const code of bytes) {
      expect(decodeInto(Uint8Array.from(code), 0, code.length, 64, insn)).toBe(DECODED)
      expect(decodeInto(Uint8Array.from(code), 0, code.length, 64 | options, insn)).toBe(INVALID)
    }
  })

  test('ECX matters to leaves with sub-leaves alone', () => {
    const b = on('max', () => Bench.long64())
    for (const number of [1, 0x8000_0001, 0x8000_0007]) expect(leaf(b, number, 0xdead_beef)).toEqual(leaf(b, number))
    expect(leaf(b, 7, 1)).not.toEqual(leaf(b, 7))
    expect(leaf(b, 7, 16)).toEqual([0, 0, 0, 0])
  })

  test('no two features share a bit', () => {
    const places = CPU_FEATURES.filter((f) => f.cpuid !== undefined).map(({ cpuid }) => JSON.stringify(cpuid))
    expect(new Set(places).size).toBe(places.length)
  })

  test('RDX after reset is the signature', () => {
    const b = on('pentium')
    resetState(b.s, RESET_POWER_ON, true)
    expect(b.s.gpr(2)).toBe(0x52c)
  })
})

describe('bits that a model lacks are reserved', () => {
  test.each([
    ['pentium', 0x5f],
    ['core2', 0x7ff],
    ['opteron', 0x7ff],
    // PCIDE is refused outside IA-32e mode.
    ['max', 0x175_0fff],
    ['max,+la57', 0x175_1fff],
    ['max,-pge,-smep', 0x165_0f7f],
  ])('CR4 of %s', (cpu, bits) => {
    let taken = 0
    for (let bit = 0; bit < 32; bit++) {
      const b = on(cpu)
      b.s.set64(S_GPR, 1 << bit, 0)
      const operands = [
        { kind: 'system', size: 4 },
        { kind: 'reg', size: 4 },
      ] as const
      if (b.outcome('MOV', { offsets: [S_CR4, gprOffset(0)], operands }) === 'ok') taken |= 1 << bit
    }
    expect(taken).toBe(bits)
  })

  const readable = (b: Bench, index: number): boolean => {
    b.s.setGpr(1, 4, index)
    return b.outcome('RDMSR') === 'ok'
  }
  const MSRS = [
    0x10, 0x17, 0x3b, 0x8b, 0xfe, 0x10a, 0x174, 0x179, 0x1a0, 0x1d9, 0x200, 0x277, 0x2ff, 0x400, 0xc000_0080,
    0xc000_0081, 0xc000_0082, 0xc000_0100, 0xc000_0103,
  ]
  test.each([
    ['pentium', [0x10]],
    ['core2', MSRS.filter((index) => ![0x3b, 0x10a, 0xc000_0103].includes(index))],
    ['opteron', MSRS.filter((index) => ![0x17, 0x3b, 0x10a, 0x1a0].includes(index))],
    ['max', MSRS],
    ['max,-mtrr', MSRS.filter((index) => ![0xfe, 0x200, 0x2ff].includes(index))],
    ['max,-rdtscp', MSRS.filter((index) => index !== 0xc000_0103)],
  ])('MSRs of %s', (cpu, expected) => {
    const b = on(cpu)
    expect(MSRS.filter((index) => readable(b, index))).toEqual(expected)
  })

  test.each([
    ['pentium', [0, 1]],
    ['core2', [0, 1, 6, 0x2a, 0xcd]],
    ['opteron', []],
    ['max', [0, 1, 6, 0xce]],
    ['max,-mce,-mca', [6, 0xce]],
    ['max,vendor=amd', []],
  ])('Intel’s MSRs that read as zero, on %s', (cpu, expected) => {
    const b = on(cpu)
    // IA32_SMBASE (9EH) comes with VMX.
    const found = [0, 1, 6, 0x2a, 0x9e, 0xcd, 0xce].filter(
      (index) => readable(b, index) && b.s.gpr(0) === 0 && b.s.gpr(2) === 0,
    )
    expect(found).toEqual(expected)
    const writable = expected.filter((index) => {
      b.s.setGpr(1, 4, index)
      b.s.setGpr(0, 4, 0x40)
      return b.outcome('WRMSR') === 'ok'
    })
    expect(writable).toEqual(expected.filter((index) => index === 6 || index === 0x2a))
    for (const index of expected) expect([readable(b, index), b.s.gpr(0)]).toEqual([true, 0])
  })

  test.each([
    ['pentium', undefined],
    ['core2', 0x101],
    ['opteron', undefined],
    ['max', undefined],
  ])('MSR_BBL_CR_CTL3 of %s says that the L2 cache is enabled, and stays as it is', (cpu, value) => {
    const b = on(cpu)
    expect(readable(b, 0x11e)).toBe(value !== undefined)
    if (value === undefined) return
    expect([b.s.gpr(0), b.s.gpr(2)]).toEqual([value, 0])
    b.s.setGpr(0, 4, 0)
    expect(b.outcome('WRMSR')).toBe('ok')
    expect([readable(b, 0x11e), b.s.gpr(0)]).toEqual([true, value])
  })

  test('AMD keeps SYSCFG and HWCR; those of the northbridge are zero', () => {
    for (const [index, value, kept] of [
      [0xc001_0010, 0x4_0000, 0x4_0000],
      [0xc001_0015, 0x40, 0x40],
      [0xc001_001f, 0x40, 0],
      [0xc001_0055, 0x40, 0],
    ] as const) {
      const b = on('opteron')
      const access = (mnemonic: string, lo: number): string => {
        b.s.setGpr(1, 4, index)
        b.s.setGpr(0, 4, lo)
        b.s.setGpr(2, 4, 0)
        return b.outcome(mnemonic)
      }
      expect([access('WRMSR', value), access('RDMSR', 0), b.s.gpr(0)]).toEqual(['ok', 'ok', kept])
      expect(readable(on('core2'), index)).toBe(false)
    }
    const b = on('opteron')
    b.s.setGpr(1, 4, 0xc001_0010)
    b.s.setGpr(0, 4, 1)
    b.s.setGpr(2, 4, 0)
    expect(b.outcome('WRMSR')).toBe('#GP(0)')
  })

  // AMD64 Architecture Programmer's Manual vol. 2, 13.2, and vol. 3, "RDPMC": PerfEvtSel0-3, PerfCtr0-3.
  test.each([
    ['opteron', 'ok', 'ok'],
    ['max,vendor=amd', 'ok', 'ok'],
    ['max', '#GP(0)', '#GP(0)'],
    ['pentium,vendor=amd', '#GP(0)', undefined],
  ])('the four counters that AMD has since the Athlon, on %s: they count nothing', (cpu, outcome, counter) => {
    const b = on(cpu)
    const access = (mnemonic: string, index: number, lo: number): string => {
      b.s.setGpr(1, 4, index)
      b.s.setGpr(0, 4, lo)
      b.s.setGpr(2, 4, lo)
      return b.outcome(mnemonic)
    }
    for (let index = 0xc001_0000; index <= 0xc001_0007; index++) {
      expect([access('WRMSR', index, 0x1234), access('RDMSR', index, 0xabcd)]).toEqual([outcome, outcome])
      if (outcome === 'ok') expect([b.s.gpr(0), b.s.gpr(2)]).toEqual([0, 0])
    }
    if (counter === undefined) return
    expect([0, 3, 4].map((index) => access('RDPMC', index, 5))).toEqual([counter, counter, '#GP(0)'])
    access('RDPMC', 3, 5)
    if (counter === 'ok') expect([b.s.gpr(0), b.s.gpr(2)]).toEqual([0, 0])
  })

  test.each([
    ['max', 0x901],
    ['max,-nx', 0x101],
    ['core2', 0x901],
    ['opteron', 0x901],
  ])('EFER of %s', (cpu, bits) => {
    const b = on(cpu)
    let taken = 0
    for (let bit = 0; bit < 32; bit++) {
      b.s.setGpr(1, 4, 0xc000_0080)
      b.s.setGpr(0, 4, 1 << bit)
      b.s.setGpr(2, 4, 0)
      // LMA is read-only: a write of it is ignored.
      if (bit !== 10 && b.outcome('WRMSR') === 'ok') taken |= 1 << bit
    }
    expect(taken).toBe(bits)
  })
})

describe('the newer models', () => {
  /** Without compiler: empty. */
  const march = (name: string): readonly string[] =>
    spawnSync('gcc', [`-march=${name}`, '-dM', '-E', '-'], { input: '', encoding: 'utf8' }).stdout?.match(
      /(?<=__)[A-Z]\w*(?=__)/g,
    ) ?? []
  const names = (name: string): string => name.replaceAll('_', '')
  const vector = /^(AVX|AMX|GFNI|VAES|VPCLMUL|SHA|MOVDIR|XSAVE|ADX|PKU|CLWB|FMA|F16C)/

  test.each([
    ['skylake-server', 6, 0x55, 'skylake-avx512'],
    ['icelake-server', 6, 0x6a, 'icelake-server'],
    ['sapphire-rapids', 6, 0x8f, 'sapphirerapids'],
    ['granite-rapids', 6, 0xad, ''],
    ['diamond-rapids', 19, 1, ''],
    ['zen4', 0x19, 0x11, ''],
    ['zen5', 0x1a, 2, ''],
  ])('%s is family %d, and has what GCC takes it for', (name, family, model, gcc) => {
    const made = cpuModel(name)
    expect(() => new Processor(made)).not.toThrow()
    const { signature, features } = made
    expect([
      ((signature >>> 8) & 15) + ((signature >>> 20) & 255),
      ((signature >>> 4) & 15) + ((signature >>> 12) & 0xf0),
    ]).toEqual([family, model])
    for (const sign of ['avx512f', 'xsave']) {
      const less = cpuModel(`${name},-${sign}`).features
      expect(['AVX512VL', 'AVX512_BF16', 'AVX10_2', sign.toUpperCase()].filter((each) => less.has(each))).toEqual([])
      expect(less.has('BMI2')).toBe(true)
    }
    if (gcc === '') return
    const known = new Set(CPU_FEATURES.map((each) => names(each.name)))
    // GCC 12 has VP2INTERSECT in Sapphire Rapids, which later versions took away again.
    const expected = march(gcc)
      .map(names)
      .filter((each) => vector.test(each) && known.has(each) && each !== 'AVX512VP2INTERSECT')
    const ours = [...features].map(names).filter((each) => vector.test(each))
    expect(expected.length === 0 ? ours.length : ours.toSorted()).toEqual(
      expected.length === 0 ? ours.length : expect.arrayContaining(expected),
    )
    if (expected.length > 0)
      expect(ours.filter((each) => !expected.includes(each) && /^(AVX512|AMX)/.test(each))).toEqual([])
  })
})
