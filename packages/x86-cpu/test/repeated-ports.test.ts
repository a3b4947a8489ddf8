/** REP INS and REP OUTS of a device that answers at once: all iterations in one call, until something comes between two. */
import { ecx, edi, edx, esi, type Assembler } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import { S_CR4 } from '../src/state/state-layout.ts'
import { BareCpu, CODE, STACK, initialState, type TestDevice } from './support/bare-cpu.ts'

const PORT = 0x170
const RAM = 0x3_0000
const HANDLER = 0x4000
const IRQ = 0x40
const NOP = 0x90n
const VECTOR_DB = 1
const CR4_DE = 1 << 3

class Data implements TestDevice {
  accesses = 0
  effect: (access: number) => void = () => {}
  read(): bigint {
    this.effect(++this.accesses)
    return NOP
  }
  write(): boolean {
    this.effect(++this.accesses)
    return true
  }
}

const input = (asm: Assembler): Assembler => asm.mov(edx, PORT).mov(edi, RAM).mov(ecx, 100).rep().insb()
const output = (asm: Assembler): Assembler => asm.mov(edx, PORT).mov(esi, RAM).mov(ecx, 100).rep().outsb()

function machine(code: (asm: Assembler) => Assembler): { pc: BareCpu; device: Data } {
  const pc = new BareCpu()
  const device = new Data()
  pc.host.ports.set(PORT, device)
  pc.program((asm) => code(asm).hlt())
  pc.program((asm) => asm.hlt(), HANDLER)
  pc.vector(IRQ, HANDLER)
  pc.cpu.load({ ...initialState('long'), registers: { rip: CODE, rsp: STACK, rflags: 0x202 } })
  return { pc, device }
}

const rows = [
  { name: 'REP INS', code: input },
  { name: 'REP OUTS', code: output },
]

test.each(rows)('$name is one call of its handler', ({ code }) => {
  const { pc, device } = machine(code)
  expect(pc.run().reason).toBe('hlt')
  expect([device.accesses, pc.register('rcx')]).toEqual([100, 0n])
  // The other one is HLT.
  expect(pc.cpu.counts.systemCalls).toBe(2)
})

test.each(rows)('$name is interrupted after the iteration whose access raises an interrupt', ({ code }) => {
  const { pc, device } = machine(code)
  device.effect = (access) => {
    if (access === 7) pc.interrupt(IRQ)
  }
  expect(pc.run().reason).toBe('hlt')
  expect([device.accesses, pc.register('rcx'), pc.rip]).toEqual([7, 93n, HANDLER + 1])
})

test.each(rows)('$name ends its turn at the iteration at which the budget is used up', ({ code }) => {
  const { pc, device } = machine(code)
  expect(pc.run(3 + 41).reason).toBe('budget')
  expect([device.accesses, pc.register('rcx')]).toEqual([41, 59n])
})

test.each(rows)('$name stops when its device stops the processor', ({ code }) => {
  const { pc, device } = machine(code)
  device.effect = (access) => {
    if (access === 12) pc.cpu.stop()
  }
  expect(pc.run().reason).toBe('budget')
  expect([device.accesses, pc.register('rcx')]).toEqual([12, 88n])
})

test.each(rows)('$name is trapped after the first iteration by a breakpoint on its port', ({ code }) => {
  const { pc, device } = machine(code)
  pc.vector(VECTOR_DB, HANDLER)
  pc.cpu.u32[S_CR4 >>> 2]! |= CR4_DE
  // Enabled, an I/O port, 1 byte.
  pc.breakpoint(0, PORT, 0x2_0001)
  expect(pc.run().reason).toBe('hlt')
  expect([device.accesses, pc.register('rcx'), pc.rip]).toEqual([1, 99n, HANDLER + 1])
})

test('REP INS over its own prefix goes on with the instruction that it has made of itself', () => {
  // 0x1000 mov edx, imm32; mov edi, imm32; mov ecx, imm32; 0x100F rep insb
  const at = CODE + 15
  const { pc, device } = machine((asm) => asm.mov(edx, PORT).mov(edi, at).mov(ecx, 100).rep().insb())
  expect(pc.run().reason).toBe('hlt')
  // NOP in place of the prefix, then one INSB without it.
  expect([device.accesses, pc.register('rcx'), pc.register('rdi')]).toEqual([2, 99n, BigInt(at + 2)])
})

test.each(rows)('$name is trapped after each iteration while single-stepping', ({ code }) => {
  const { pc, device } = machine((asm) => code(asm))
  pc.vector(VECTOR_DB, HANDLER)
  // Stands at the string instruction, behind three MOVs of 5 bytes.
  pc.cpu.load({
    ...initialState('long'),
    registers: { rip: CODE + 15, rsp: STACK, rflags: 0x302, rdx: PORT, rdi: RAM, rsi: RAM, rcx: 100 },
  })
  expect(pc.run().reason).toBe('hlt')
  expect([device.accesses, pc.register('rcx'), pc.rip]).toEqual([1, 99n, HANDLER + 1])
})
