import { al, eax, qword, rax } from '@retrap/x86-assembler'
import { describe, expect } from 'vitest'
import {
  X86CpuError,
  readModelSpecificRegister,
  restoreVcpu,
  saveVcpu,
  saveVcpuRegisters,
  writeModelSpecificRegister,
} from '../src/index.ts'
import { BareCpu } from './support/bare-cpu.ts'
import { expectHalt, test } from './support/with-bare-cpu.ts'

const IA32_PAT = 0x277
const IA32_MTRR_DEF_TYPE = 0x2ff

describe('model-specific registers from outside', () => {
  test('what WRMSR accepts is written and read back', () => {
    const { cpu } = new BareCpu()
    expect(writeModelSpecificRegister(cpu, IA32_MTRR_DEF_TYPE, 0xc06n)).toBe(true)
    expect(readModelSpecificRegister(cpu, IA32_MTRR_DEF_TYPE)).toBe(0xc06n)
  })

  test('what WRMSR refuses changes nothing and leaves no exception behind', ({ pc }) => {
    expect(writeModelSpecificRegister(pc.cpu, IA32_PAT, 2n)).toBe(false)
    expect(readModelSpecificRegister(pc.cpu, IA32_PAT)).toBe(0x0007_0406_0007_0406n)
    expect(readModelSpecificRegister(pc.cpu, 0x1234_5678)).toBeUndefined()
    pc.program((asm) => asm.mov(eax, 7).hlt())
    expectHalt(pc, { rax: 7n })
  })
})

describe('saved state', () => {
  test('a processor goes on elsewhere as if nothing had happened, and its state survives JSON', () => {
    const build = (pc: BareCpu): void => {
      pc.program((asm) => {
        const loop = asm.here()
        asm.add(rax, 3).dec(qword(0x9000)).jnz(loop).hlt()
      })
      pc.write64(0x9000, 100n)
    }
    const first = new BareCpu()
    build(first)
    expect(first.run(100).reason).toBe('budget')
    const second = new BareCpu()
    build(second)
    second.write64(0x9000, first.read64(0x9000))
    restoreVcpu(second.cpu, JSON.parse(JSON.stringify(saveVcpu(first.cpu))) as ReturnType<typeof saveVcpu>)
    expect(second.run().reason).toBe('hlt')
    expect(first.run().reason).toBe('hlt')
    expect(second.register('rax')).toBe(300n)
    expect(saveVcpu(second.cpu)).toEqual(saveVcpu(first.cpu))
  })

  test('numbers are written in hexadecimal digits, without zeros before them', ({ pc }) => {
    const values = { rax: 0n, rbx: 0xffn, rcx: 0x8000_0000n, rdx: 0x1_0000_000an, rsi: 0xffff_ffff_ffff_fff0n }
    for (const [name, value] of Object.entries(values)) pc.setRegister(name as 'rax', value)
    const { registers, ymm } = saveVcpu(pc.cpu)
    for (const [name, value] of Object.entries(values)) expect(registers[name]).toBe(`0x${value.toString(16)}`)
    expect(registers['rflags']).toBe('0x2')
    expect(ymm[0]).toBe('00'.repeat(32))
    expect(saveVcpuRegisters(pc.cpu)).toEqual(registers)
  })

  test('an instruction that waits for a device is in the way, until it is answered or cancelled', ({ pc }) => {
    pc.program((asm) => asm.mov(al, 1).mov(rax, qword(0xa000)).hlt())
    const before = saveVcpu(pc.cpu)
    pc.host.devices.set(0xa, { read: () => undefined, write: () => true })
    expect(pc.run().reason).toBe('blocked')
    expect(() => saveVcpu(pc.cpu)).toThrow(X86CpuError)
    expect(() => saveVcpuRegisters(pc.cpu)).toThrow(X86CpuError)
    restoreVcpu(pc.cpu, before)
    expect(pc.run(0).reason).toBe('budget')
    expect(saveVcpu(pc.cpu)).toEqual(before)
  })

  test.each([
    ['max,physical-bits=41', '40 physical address bits, expected 41'],
    ['max,vendor=amd', 'vendor GenuineIntel, expected AuthenticAMD; without null_base, srso_no, xsaveerptr'],
    ['max,-rdrand', 'with rdrand'],
    ['max,+la57', 'without la57'],
  ])('of max is refused on %s', (cpu, difference) => {
    const saved = saveVcpu(new BareCpu().cpu)
    const other = new BareCpu({ cpu })
    const before = saveVcpu(other.cpu)
    const attempt = (): void => restoreVcpu(other.cpu, saved)
    expect(attempt).toThrow(`saved state of CPU model 'max' on a processor of '${cpu}': ${difference}`)
    expect(attempt).toThrow(expect.objectContaining({ code: 'ERR_STATE_MODEL' }))
    expect(saveVcpu(other.cpu)).toEqual(before)
  })

  test('of a model with the same features is taken whatever its name, and so is state that names no model', () => {
    const pc = new BareCpu({ cpu: 'max,-la57' })
    const { model: saved, ...unnamed } = saveVcpu(new BareCpu().cpu)
    expect(saved).toMatchObject({ name: 'max', vendor: 'GenuineIntel', physicalAddressBits: 40 })
    restoreVcpu(pc.cpu, { ...unnamed, model: saved as NonNullable<typeof saved> })
    restoreVcpu(new BareCpu({ cpu: 'core2' }).cpu, unnamed)
    const model = { ...(saved as NonNullable<typeof saved>), features: undefined as never }
    expect(() => restoreVcpu(pc.cpu, { ...unnamed, model })).toThrow(
      expect.objectContaining({ code: 'ERR_SAVED_STATE' }),
    )
  })

  test('another version, and state with something missing, are refused by name', () => {
    const { cpu } = new BareCpu()
    const saved = saveVcpu(cpu)
    expect(() => restoreVcpu(cpu, { ...saved, version: 1 as 4 })).toThrow('version 1, expected 4')
    const { cr3: _cr3, ...registers } = saved.registers
    expect(() => restoreVcpu(cpu, { ...saved, registers })).toThrow('cr3')
  })

  test.each(['x', '', '7', '-0x1', '0x10000000000000000', 1.5, NaN, null])('a register of %s is refused', (value) => {
    const { cpu } = new BareCpu()
    const saved = saveVcpu(cpu)
    const cs = { ...saved.segments['cs']!, base: value as string }
    for (const wrong of [
      { registers: { ...saved.registers, lstar: value as string } },
      { segments: { ...saved.segments, cs } },
    ])
      expect(() => restoreVcpu(cpu, { ...saved, ...wrong })).toThrow(
        expect.objectContaining({ code: 'ERR_SAVED_STATE' }),
      )
  })

  test.each(['zz'.repeat(32), '0'.repeat(63), '0'.repeat(66), undefined])('%s is no vector register', (first) => {
    const { cpu } = new BareCpu()
    const saved = saveVcpu(cpu)
    const ymm = [first as string, ...saved.ymm.slice(1)]
    expect(() => restoreVcpu(cpu, { ...saved, ymm })).toThrow(expect.objectContaining({ code: 'ERR_SAVED_STATE' }))
  })

  test('the top of the x87 stack is one of its eight registers', () => {
    const { cpu } = new BareCpu()
    const saved = saveVcpu(cpu)
    restoreVcpu(cpu, { ...saved, x87: { ...saved.x87, top: '0xffffff03' } })
    expect(saveVcpu(cpu).x87['top']).toBe('0x3')
  })
})
