// Code that an earlier machine has compiled: it is executed where the state is as it assumes, by processors that decode alike.
import { al, byte, dword, eax, ebx, ecx, edx, esi, xmm0, xmm1 } from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { MemoryKeeper } from '@retrap/tooling/kept-code'
import { describe, expect, test as base } from 'vitest'
import { cpuModel } from '../../src/index.ts'
import type { JitCounts } from '../../src/index.ts'
import { restoreVcpu, saveVcpu } from '../../src/inspect.ts'
import { BareCpu, CODE, STACK, initialState } from '../support/bare-cpu.ts'
import type { BareOptions } from '../support/bare-cpu.ts'

const DATA = 0x1_0000
const test = base.extend('keep', () => new MemoryKeeper())

/** A loop with memory, calls, a computed branch, SSE, x87 and instructions that functions and handlers execute. */
function mixed(asm: Assembler): void {
  const [again, double, over] = [asm.label('again'), asm.label('double'), asm.label('over')]
  asm.xor(eax, eax).mov(ecx, 3000).mov(ebx, DATA)
  asm
    .bind(again)
    .add(eax, dword(ebx, { disp: 4 }))
    .imul(eax, eax, 17)
    .mov(dword(ebx, { disp: 8 }), eax)
  asm.call(double)
  asm.cvtsi2sd(xmm0, ecx).addsd(xmm1, xmm0)
  asm.test(al, 1).jz(over).add(byte(ebx), 3).bind(over)
  // rdtsc would differ; cpuid is a handler's
  asm.mov(esi, ecx).xor(eax, eax).xor(ecx, ecx).cpuid().mov(ecx, esi)
  asm.mov(ebx, DATA).mov(eax, dword(ebx, { disp: 8 }))
  asm.dec(ecx).jnz(again).hlt()
  asm.bind(double).add(eax, eax).adc(edx, 0).ret()
}

/** Runs it. */
function play(options: BareOptions, code = mixed): BareCpu {
  const pc = new BareCpu(options)
  pc.program(code)
  expect(pc.run(1_000_000).reason).toBe('hlt')
  expect(pc.engine.jitCounts?.failures ?? 0).toBe(0)
  return pc
}

/** All that it leaves. */
const seen = ({ cpu, host, memory }: BareCpu): unknown => [
  ...[cpu.retired, cpu.cost, saveVcpu(cpu)],
  memory.read(host.ramMa + DATA, 0x20),
]

describe('code that was kept', () => {
  const jit = { threshold: 20, watch: 0 }

  test.each(['long', 'protected'] as const)(
    'does what the interpreter does, wherever it lies and whatever was decoded before: %s mode',
    (mode) => {
      const keep = new MemoryKeeper()
      const interpreted = play({ mode, jit: false })
      const [cold, warm] = [false, true].map((isOther) => play({ mode, jit: { ...jit, keep }, isOther }))
      expect([cold, warm].map((pc) => seen(pc!))).toEqual([seen(interpreted), seen(interpreted)])
      expect(cold!.engine.jitCounts).toMatchObject({ loaded: 0 })
      expect(warm!.engine.jitCounts).toMatchObject({ units: 0 })
      expect(warm!.engine.jitCounts!.loaded).toBeGreaterThan(0)
      expect(warm!.engine.jitCounts!.executed).toBeGreaterThan(30_000)
    },
  )

  test('is the same of two machines whose addresses and numbers differ', () => {
    const keeps = [false, true].map((isOther) => {
      const keep = new MemoryKeeper()
      play({ jit: { ...jit, keep }, isOther })
      return [...keep.codes.values()].map(({ bytes }) => bytes)
    })
    expect(keeps[0]!.length).toBeGreaterThan(0)
    expect(keeps[1]).toEqual(keeps[0])
  })

  test('is not found by a processor that decodes other instructions', ({ keep }) => {
    play({ jit: { ...jit, keep } })
    for (const cpu of ['max,-adx', 'max,vendor=AuthenticAMD'])
      expect(play({ cpu, jit: { ...jit, keep } }).engine.jitCounts).toMatchObject({ loaded: 0 })
    // A name is no difference.
    const model = { ...cpuModel('max'), name: 'another', brand: 'another' }
    expect(play({ cpu: model, jit: { ...jit, keep } }).engine.jitCounts).toMatchObject({ units: 0 })
  })

  test('is not taken where a segment has another base', ({ keep }) => {
    // again: call add; dec cx; jnz again; retf; add: inc ax; ret
    const code = [0xe8, 0x04, 0x00, 0x49, 0x75, 0xfa, 0xcb, 0x40, 0xc3]
    const counts = [0x500, 0x500, 0x400].map((segment) => {
      const pc = new BareCpu({ jit: { ...jit, keep }, mode: 'real' })
      pc.load(0x5000, code)
      const ip = 0x5000 - segment * 16
      // mov cx, 1000; call segment:ip; hlt
      pc.program((asm) => asm.db(0xb9, 0xe8, 0x03, 0x9a, ip & 0xff, ip >> 8, segment & 0xff, segment >> 8, 0xf4))
      expect(pc.run(1_000_000).reason).toBe('hlt')
      expect(pc.register('rax') & 0xffffn).toBe(1000n)
      return pc.engine.jitCounts!
    })
    expect(counts.map(({ units, loaded }) => [units > 0, loaded > 0])).toEqual([
      [true, false],
      [false, true],
      [true, false],
    ])
    expect(counts[2]!.exits.guard).toBeLessThan(100)
  })

  test('goes on by the same functions, whichever mode is compiled first', ({ keep }) => {
    /** Runs a loop with a computed branch in one mode, then in the other. */
    const both = (modes: readonly ('long' | 'protected')[]): JitCounts => {
      const pc = new BareCpu({ jit: { ...jit, keep } })
      for (const mode of modes) {
        pc.cpu.load(initialState(mode))
        pc.program(mode === 'long' ? mixed : (asm) => mixed(asm.bits(32)), mode === 'long' ? CODE : 0x2000)
        pc.rip = mode === 'long' ? CODE : 0x2000
        expect(pc.run(1_000_000).reason).toBe('hlt')
      }
      return pc.engine.jitCounts!
    }
    const [cold, warm] = [both(['long', 'protected']), both(['protected', 'long'])]
    expect([cold.failures, warm.failures, warm.units]).toEqual([0, 0, 0])
    expect(warm.loaded).toBe(cold.units)
  })

  test('is taken by a processor that has been restored', ({ keep }) => {
    play({ jit: { ...jit, keep } })
    const before = new BareCpu({ jit: false })
    before.program(mixed)
    before.turn(5000)
    const pc = new BareCpu({ jit: { ...jit, keep }, isOther: true })
    pc.program(mixed)
    restoreVcpu(pc.cpu, saveVcpu(before.cpu))
    pc.load(DATA, [...before.memory.read(before.host.ramMa + DATA, 0x20)])
    pc.load(STACK - 0x100, [...before.memory.read(before.host.ramMa + STACK - 0x100, 0x100)])
    expect([before.run(1_000_000).reason, pc.run(1_000_000).reason]).toEqual(['hlt', 'hlt'])
    expect(pc.memory.read(pc.host.ramMa + DATA, 0x20)).toEqual(before.memory.read(before.host.ramMa + DATA, 0x20))
    expect(pc.engine.jitCounts).toMatchObject({ units: 0 })
    expect(pc.engine.jitCounts!.loaded).toBeGreaterThan(0)
  })
})
