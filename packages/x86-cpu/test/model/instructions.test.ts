import { eax, ecx } from '@retrap/x86-assembler'
import { codes } from '@retrap/x86-decoder'
import { describe, expect, test } from 'vitest'
import { cpuModel } from '../../src/model/models.ts'
import { Processor } from '../../src/model/processor.ts'
import { BareCpu } from '../support/bare-cpu.ts'

const HANDLER = 0x5200

/** Where a program of these bytes ends: in the handler of #UD, or at the HLT behind them. */
function endOf(cpu: string, mode: 'real' | 'long', bytes: readonly number[]): string {
  const pc = new BareCpu({ mode, cpu })
  pc.load(HANDLER, [0xf4])
  pc.vector(6, HANDLER)
  pc.program((asm) => asm.db(Uint8Array.from(bytes)).hlt())
  expect(pc.run().reason).toBe('hlt')
  return pc.rip === HANDLER + 1 ? '#UD' : 'done'
}

describe('instructions that a model lacks are #UD', () => {
  test.each([
    { name: 'CMOVE', bytes: [0x0f, 0x44, 0xc1], has: ['core2', 'opteron', 'max'] },
    { name: 'FCMOVE', bytes: [0xda, 0xc9], has: ['core2', 'opteron', 'max'] },
    { name: 'CMPXCHG8B', bytes: [0x0f, 0xc7, 0x0e, 0, 0x20], has: ['pentium', 'core2', 'opteron', 'max'] },
    { name: 'RDTSC', bytes: [0x0f, 0x31], has: ['pentium', 'core2', 'opteron', 'max'] },
    { name: 'RDTSCP', bytes: [0x0f, 0x01, 0xf9], has: ['opteron', 'max'] },
    { name: 'EMMS', bytes: [0x0f, 0x77], has: ['core2', 'opteron', 'max'] },
    { name: 'SFENCE', bytes: [0x0f, 0xae, 0xf8], has: ['core2', 'opteron', 'max'] },
    { name: 'NOP of several bytes', bytes: [0x0f, 0x1f, 0xc0], has: ['core2', 'opteron', 'max'] },
    { name: 'POPCNT', bytes: [0xf3, 0x0f, 0xb8, 0xc1], has: ['max'] },
    { name: 'MOVBE', bytes: [0x0f, 0x38, 0xf0, 0x06, 0, 0x20], has: ['max'] },
    { name: 'PREFETCHW', bytes: [0x0f, 0x0d, 0x0e, 0, 0x20], has: ['core2', 'opteron', 'max'] },
    { name: 'RDRAND', bytes: [0x0f, 0xc7, 0xf0], has: ['max'] },
    { name: 'CLAC', bytes: [0x0f, 0x01, 0xca], has: ['max'] },
  ])('$name: $has', ({ bytes, has }) => {
    const found = ['pentium', 'core2', 'opteron', 'max'].filter((cpu) => endOf(cpu, 'real', bytes) === 'done')
    expect(found).toEqual(has)
  })

  test.each([
    { name: 'LAHF', bytes: [0x9f], has: ['core2', 'opteron', 'max'], without: 'lahf_lm' },
    { name: 'SAHF', bytes: [0x9e], has: ['core2', 'opteron', 'max'], without: 'lahf_lm' },
    { name: 'INVPCID', bytes: [0x66, 0x0f, 0x38, 0x82, 0x0c, 0x24], has: ['max'], without: 'invpcid' },
    { name: 'ANDN', bytes: [0xc4, 0xe2, 0x78, 0xf2, 0xc1], has: ['max'], without: 'bmi1' },
  ])('64-bit mode, $name: $has', ({ bytes, has, without }) => {
    const models = ['core2', 'opteron', 'max', `max,-${without}`]
    expect(models.filter((cpu) => endOf(cpu, 'long', bytes) === 'done')).toEqual(has)
  })
})

describe('bytes that mean something else without a feature (SDM vol. 2A, LZCNT, TZCNT: "is treated as BSR, BSF")', () => {
  test.each([
    { cpu: 'max', tail: 0xbd, result: 23 },
    { cpu: 'core2', tail: 0xbd, result: 8 },
    { cpu: 'max', tail: 0xbc, result: 4 },
    { cpu: 'pentium', tail: 0xbc, result: 4 },
  ])('F3 0F $tail on $cpu', ({ cpu, tail, result }) => {
    const pc = new BareCpu({ mode: 'protected', cpu })
    pc.program((asm) =>
      asm
        .mov(ecx, 0x110)
        .db(Uint8Array.from([0xf3, 0x0f, tail, 0xc1]))
        .hlt(),
    )
    expect(pc.run().reason).toBe('hlt')
    expect(Number(pc.register('rax'))).toBe(result)
  })

  test.each([
    { cpu: 'max', expected: 32 },
    { cpu: 'core2', expected: 7 },
  ])('of zero on $cpu: $expected', ({ cpu, expected }) => {
    const pc = new BareCpu({ mode: 'protected', cpu })
    pc.program((asm) =>
      asm
        .mov(ecx, 0)
        .mov(eax, 7)
        .db(Uint8Array.from([0xf3, 0x0f, 0xbc, 0xc1]))
        .hlt(),
    )
    expect(pc.run().reason).toBe('hlt')
    expect(Number(pc.register('rax'))).toBe(expected)
  })
})

describe('the instruction set of a model (x86-decoder names the feature of every instruction)', () => {
  test.each(['pentium', 'core2', 'opteron', 'max,vendor=amd'])('%s executes nothing of what it lacks', (cpu) => {
    const processor = new Processor(cpuModel(cpu))
    const known = new Set(['PAUSE', 'CET_IBT', 'VMX', 'SVM'])
    const wrong = codes.filter(
      (info) =>
        processor.executes(info, true) &&
        info.feature.split('+').some((name) => name !== '' && !known.has(name) && !processor.has(name)),
    )
    expect(wrong.map(({ form }) => form)).toEqual([])
  })
})
