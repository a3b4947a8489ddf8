// A debugger's breakpoints, watchpoints and steps, which the guest cannot see.
import * as x86 from '@retrap/x86-assembler'
import { EAGER_JIT, TEST_JIT } from '@retrap/tooling/jit'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DebugControl, type DebugResume, type DebugStop, X86CpuError } from '../src/index.ts'
import type { CpuHost } from '../src/state/host.ts'
import { FLAG_IF, STATUS_DONE, STATUS_RESTART, S_EFLAGS } from '../src/state/state-layout.ts'
import { BareCpu, type BareOptions, CODE, PAGE_TABLE } from './support/bare-cpu.ts'

const HANDLER = 0x4000
const DATA = 0xa000

function debugged(build: (asm: x86.Assembler) => void, jit: BareOptions['jit'] = TEST_JIT) {
  const pc = new BareCpu({ jit })
  for (let vector = 0; vector < 64; vector++) pc.vector(vector, HANDLER)
  pc.program((asm) => asm.hlt(), HANDLER)
  const at = pc.program(build)
  const debug = new DebugControl(pc.cpu)
  const go = (how: DebugResume = {}): DebugStop | string => {
    debug.resume(how)
    for (let i = 0; i < 1000; i++) {
      const { reason } = pc.turn(1000)
      if (reason === 'debug') return debug.stop!
      if (reason !== 'budget') return reason
    }
    return 'budget'
  }
  return { pc, at, debug, go }
}

/** A loop that writes its count, and calls a function in another page. */
function counting(asm: x86.Assembler, times: number): void {
  const next = asm.label('next')
  const far = asm.label('far')
  asm.mov(x86.ecx, times).bind(next)
  asm.inc(x86.rax).bind(asm.label('store'))
  asm.mov(x86.qword(DATA), x86.rax).bind(asm.label('stored'))
  asm.call(far).bind(asm.label('back'))
  asm.dec(x86.ecx).jnz(next).bind(asm.label('end')).hlt()
  for (let i = 0; i < 0x1000; i++) asm.nop()
  asm.bind(far).add(x86.rbx, x86.rax).bind(asm.label('ret')).ret()
}

/** Where the code of low memory is, too. */
const ALIAS = 0x10_0000

/** Operations of several lengths. */
const OPERATIONS: readonly ((asm: x86.Assembler) => unknown)[] = [
  (asm) => asm.inc(x86.rax),
  (asm) => asm.nop(),
  (asm) => asm.add(x86.rbx, x86.rax),
  (asm) => asm.mov(x86.r10, 0x1234_5678_9abc_def0n),
  (asm) => asm.mov(x86.qword(DATA), x86.rbx),
  (asm) => asm.lea(x86.rdx, x86.qword(x86.rdx, { disp: 0x1234_5678 })),
]

/** A loop that calls a function, and the same function at its other place. */
function repeating(asm: x86.Assembler, start: number, times: number): void {
  const next = asm.mov(x86.ecx, times).here()
  asm.call(start).mov(x86.rsi, start + ALIAS)
  asm.call(x86.rsi)
  asm.dec(x86.ecx).jnz(next).hlt()
}

describe.each([
  ['interpreted', false],
  ['compiled', EAGER_JIT],
] as const)('a program that is %s', (_, jit) => {
  test('stops after each access of what is watched, with the address that it touched', () => {
    const { pc, at, debug, go } = debugged((asm) => counting(asm, 50), jit)
    pc.turn(100)
    const before = pc.register('rax')
    debug.addWatchpoint(BigInt(DATA + 2), 1, 'write')
    expect(go()).toEqual({ kind: 'watch', address: BigInt(DATA + 2), watch: 'write' })
    expect(pc.rip).toBe(at('stored'))
    expect(pc.read64(DATA)).toBe(pc.register('rax'))
    expect(pc.register('rax') - before).toBeLessThanOrEqual(1n)
    expect(go()).toMatchObject({ kind: 'watch' })
    expect(debug.removeWatchpoint(BigInt(DATA + 2), 1, 'write')).toBe(true)
    debug.addWatchpoint(BigInt(DATA + 8), 8, 'access')
    expect(go()).toBe('hlt')
    expect(pc.register('rax')).toBe(50n)
  })

  test('stops where a processor that is stepped comes to a breakpoint, whichever are set meanwhile', () => {
    const length = OPERATIONS.length
    const body = fc.array(fc.nat(length - 1), { minLength: 8, maxLength: 30 })
    const toggles = fc.array(fc.array(fc.tuple(fc.nat(29), fc.boolean()), { maxLength: 3 }), {
      minLength: 8,
      maxLength: 12,
    })
    fc.assert(
      fc.property(
        body,
        fc.integer({ min: 0, max: 80 }),
        toggles,
        fc.boolean(),
        fc.boolean(),
        (operations, before, rounds, isHot, isSmall) => {
          const start = 0x9000 - before
          const [pc, stepped] = [jit, false as const].map((how) => {
            const cpu = new BareCpu({ jit: how, codeCacheBytes: isSmall ? 64 << 10 : 1 << 20 })
            // The body's two pages are at another place, too.
            for (const page of [8, 9])
              cpu.write64(PAGE_TABLE + 8 * ((ALIAS >>> 12) + page), cpu.read64(PAGE_TABLE + 8 * page))
            cpu.program((asm) => repeating(asm, start, 60))
            return cpu
          }) as [BareCpu, BareCpu]
          const places: number[] = []
          for (const cpu of [pc, stepped])
            cpu.program((asm) => {
              places.length = 0
              for (const operation of operations) {
                places.push(start + asm.assemble().bytes.length)
                OPERATIONS[operation]!(asm)
              }
              asm.ret()
            }, start)
          pc.rip = stepped.rip = CODE
          if (isHot) for (const cpu of [pc, stepped]) cpu.turn(600)
          while (stepped.cpu.retired < pc.cpu.retired) stepped.cpu.step()
          const debug = new DebugControl(pc.cpu)
          const set = new Set<number>()
          for (const changes of [...rounds, 'none']) {
            if (changes === 'none') for (const at of set) debug.removeBreakpoint(BigInt(at))
            if (changes === 'none') set.clear()
            else
              for (const [n, isAlias] of changes as [number, boolean][]) {
                const at = places[n % places.length]! + (isAlias ? ALIAS : 0)
                const wasSet = set.delete(at)
                expect(debug.removeBreakpoint(BigInt(at))).toBe(wasSet)
                if (!wasSet) debug.addBreakpoint(BigInt(set.add(at) && at))
              }
            do stepped.cpu.step()
            while (!set.has(stepped.rip) && !stepped.cpu.halted)
            debug.resume({ passBreakpoint: true })
            let end = pc.turn(1000)
            for (; end.reason === 'budget'; end = pc.turn(1000));
            expect([end.reason, pc.rip]).toEqual([stepped.cpu.halted ? 'hlt' : 'debug', stepped.rip])
            expect(pc.register('rbx')).toBe(stepped.register('rbx'))
            if (stepped.cpu.halted) break
          }
        },
      ),
      { numRuns: 12 },
    )
  })

  test('leaves nothing behind when the debugger has gone', () => {
    const { pc, at, debug, go } = debugged((asm) => counting(asm, 300), jit)
    debug.addBreakpoint(BigInt(at('ret')))
    debug.addWatchpoint(BigInt(DATA), 8, 'write')
    expect(go()).toMatchObject({ kind: 'watch' })
    debug.detach()
    expect(pc.turn(100_000).reason).toBe('hlt')
    expect(() => new DebugControl(pc.cpu).detach()).not.toThrow()
  })
})

test('a processor that is debugged executes what it would alone, and takes its turns at the same places', () => {
  const alone = new BareCpu()
  alone.program((asm) => counting(asm, 100))
  const { pc, at, debug } = debugged((asm) => counting(asm, 100))
  debug.addBreakpoint(BigInt(at('ret')))
  debug.addWatchpoint(BigInt(DATA), 8, 'write')
  for (let turn = 0; turn < 20; turn++) {
    alone.turn(37)
    const end = pc.cpu.cost + 37
    let reason: string
    do {
      debug.resume({ passBreakpoint: true })
      reason = pc.run(end - pc.cpu.cost).reason
    } while (reason === 'debug' || reason === 'yield')
    expect([turn, pc.rip, pc.cpu.cost, pc.register('rbx')]).toEqual([
      turn,
      alone.rip,
      alone.cpu.cost,
      alone.register('rbx'),
    ])
  }
})

test('a breakpoint stays where its code is written again', () => {
  const { pc, at, debug, go } = debugged((asm) => {
    asm.nop().bind(asm.label('here')).inc(x86.rax).jmp(CODE)
  })
  const stop = { kind: 'breakpoint', address: BigInt(at('here')) }
  debug.addBreakpoint(stop.address)
  expect([go(), go({ passBreakpoint: true }), pc.register('rax')]).toEqual([stop, stop, 1n])
  pc.program((asm) => asm.nop().dec(x86.rax).jmp(CODE))
  expect([go(), go({ passBreakpoint: true }), pc.register('rax')]).toEqual([stop, stop, 0n])
})

test('a breakpoint at a repeated instruction stops before its first iteration alone', () => {
  const { pc, at, debug, go } = debugged((asm) => {
    asm.bind(asm.label('rep')).rep().stosb().bind(asm.label('end')).hlt()
  })
  pc.setRegister('rcx', 5)
  pc.setRegister('rdi', DATA)
  debug.addBreakpoint(BigInt(at('rep')))
  debug.addBreakpoint(BigInt(at('end')))
  expect(go()).toMatchObject({ kind: 'breakpoint', address: BigInt(at('rep')) })
  expect(pc.register('rcx')).toBe(5n)
  expect(go({ passBreakpoint: true })).toMatchObject({ kind: 'breakpoint', address: BigInt(at('end')) })
  expect(pc.register('rcx')).toBe(0n)
})

test('a repeated instruction that several turns share hides no breakpoint after it', () => {
  const { pc, at, debug, go } = debugged((asm) => {
    const far = asm.label('far')
    asm.mov(x86.edi, DATA).mov(x86.ecx, 2000).rep().stosb().jmp(far)
    for (let i = 0; i < 0x1000; i++) asm.nop()
    asm.bind(far).hlt()
  })
  debug.addBreakpoint(BigInt(at('far')))
  expect(go()).toEqual({ kind: 'breakpoint', address: BigInt(at('far')) })
  expect(pc.register('rcx')).toBe(0n)
  expect(pc.cpu.repeats).toBe(false)
})

describe('a step (as TF, SDM vol. 3B, "Single-Step Exception Condition")', () => {
  test.each<[string, (asm: x86.Assembler) => void, Partial<Record<'rcx' | 'rsi' | 'rdi', number>>]>([
    ['an instruction', (asm) => asm.inc(x86.rax), {}],
    ['STI', (asm) => asm.sti(), {}],
    ['MOV SS with what follows it', (asm) => asm.mov(x86.ss, x86.eax).inc(x86.rbx), {}],
    ['a branch', (asm) => asm.jmp(CODE + 2), {}],
    ['the last iteration of REP', (asm) => asm.rep().movsb(), { rcx: 1, rsi: DATA, rdi: DATA + 16 }],
    ['HLT', (asm) => asm.hlt(), {}],
  ])('over %s', (_, build, registers) => {
    const { pc, at, go } = debugged((asm) => {
      build(asm)
      asm.bind(asm.label('end')).nop().hlt()
    })
    pc.setRegister('rax', 0x10)
    for (const [name, value] of Object.entries(registers)) pc.setRegister(name as 'rcx', value)
    expect(go({ step: true })).toEqual({ kind: 'step' })
    expect(pc.rip).toBe(at('end'))
  })

  test('is one iteration of a repeated instruction', () => {
    const { pc, go } = debugged((asm) => asm.rep().stosb().hlt())
    pc.setRegister('rcx', 3)
    pc.setRegister('rdi', DATA)
    for (const left of [2n, 1n, 0n]) {
      expect(go({ step: true })).toEqual({ kind: 'step' })
      expect(pc.register('rcx')).toBe(left)
      expect(pc.rip).toBe(left === 0n ? CODE + 2 : CODE)
    }
  })

  test('over an instruction that faults ends in its handler', () => {
    const { pc, go } = debugged((asm) => asm.ud2().hlt())
    expect(go({ step: true })).toEqual({ kind: 'step' })
    expect(pc.rip).toBe(HANDLER)
  })

  test('holds interrupts off, or does not', () => {
    const { pc, go } = debugged((asm) => asm.inc(x86.rax).inc(x86.rbx).hlt())
    pc.cpu.u32[S_EFLAGS >>> 2]! |= FLAG_IF
    pc.interrupt(0x30)
    expect(go({ step: true })).toEqual({ kind: 'step' })
    expect([pc.register('rax'), pc.register('rbx')]).toEqual([1n, 0n])
    expect(go({ step: true, holdInterrupts: false })).toEqual({ kind: 'step' })
    expect(pc.rip).toBe(HANDLER)
  })

  test('from a halted processor waits for the interrupt', () => {
    const { pc, go } = debugged((asm) => asm.sti().hlt().inc(x86.rax).hlt())
    go({ step: true })
    expect(go({ step: true })).toEqual({ kind: 'step' })
    expect(go({ step: true })).toBe('hlt')
    pc.interrupt(0x30)
    expect(pc.run(1000).reason).toBe('debug')
    expect(pc.rip).toBe(HANDLER)
  })

  test.each<[string, (asm: x86.Assembler) => void]>([
    ['a load', (asm) => asm.mov(x86.eax, x86.dword(0x5000))],
    ['a store', (asm) => asm.mov(x86.dword(0x5000), x86.eax)],
    ['a read-modify-write', (asm) => asm.inc(x86.dword(0x5000))],
    ['IN', (asm) => asm.in(x86.al, x86.dx)],
    ['MOVS', (asm) => asm.movsb()],
  ])('over %s that waits for a device is one', (_, build) => {
    const { pc, at, debug } = debugged((asm) => {
      build(asm)
      asm.bind(asm.label('end')).inc(x86.rbx).hlt()
    })
    let ready = false
    const device = { read: () => (ready ? 7n : undefined), write: () => ready }
    pc.host.devices.set(5, device)
    pc.host.ports.set(0x70, device)
    pc.setRegister('rdx', 0x70)
    pc.setRegister('rsi', 0x5000)
    pc.setRegister('rdi', DATA)
    debug.resume({ step: true })
    for (let i = 0; i < 3; i++) expect(pc.run(1000).reason).toBe('blocked')
    ready = true
    expect(pc.run(1000).reason).toBe('debug')
    expect([debug.stop, pc.rip, pc.register('rbx')]).toEqual([{ kind: 'step' }, at('end'), 0n])
  })
})

describe('watchpoints', () => {
  test.each<[string, (asm: x86.Assembler) => void, 'read' | 'write' | 'access', boolean]>([
    ['a load, for reads', (asm) => asm.mov(x86.eax, x86.dword(DATA)), 'read', true],
    ['a load, for writes', (asm) => asm.mov(x86.eax, x86.dword(DATA)), 'write', false],
    ['a store, for reads', (asm) => asm.mov(x86.dword(DATA), x86.eax), 'read', false],
    ['a store, for both', (asm) => asm.mov(x86.dword(DATA), x86.eax), 'access', true],
    ['a read-modify-write, for reads', (asm) => asm.inc(x86.dword(DATA)), 'read', true],
    ['a store next to it', (asm) => asm.mov(x86.byte(DATA + 4), x86.cl), 'access', false],
    ['a store over its end', (asm) => asm.mov(x86.qword(DATA - 6), x86.rcx), 'write', true],
    ['a store that crosses into its page', (asm) => asm.mov(x86.qword(DATA - 1), x86.rcx), 'write', true],
    ['MOVS from it', (asm) => asm.mov(x86.esi, DATA).mov(x86.edi, 0xb000).movsb(), 'read', true],
    [
      'a store after others in its page',
      (asm) =>
        asm
          .mov(x86.byte(DATA + 64), x86.cl)
          .mov(x86.byte(DATA + 65), x86.cl)
          .mov(x86.byte(DATA), x86.cl),
      'write',
      true,
    ],
    ['a store that faults', (asm) => asm.mov(x86.rdi, 0xa000n << 44n).mov(x86.qword(x86.rdi), x86.rsi), 'write', false],
  ])('%s', (_, build, kind, stops) => {
    const { pc, at, debug, go } = debugged((asm) => {
      build(asm)
      asm.bind(asm.label('end')).nop().hlt()
    })
    debug.addWatchpoint(BigInt(DATA), 4, kind)
    const stop = go()
    if (!stops) return expect(stop).toBe('hlt')
    expect(stop).toEqual({ kind: 'watch', address: BigInt(DATA), watch: kind })
    expect(pc.rip).toBe(at('end'))
  })

  const DEVICE = 0x5000
  test.each<[string, (asm: x86.Assembler) => void, number, 'read' | 'write']>([
    ['INS', (asm) => asm.mov(x86.edi, DATA).rep().insb(), DATA + 3, 'write'],
    ['OUTS', (asm) => asm.mov(x86.esi, DATA).rep().outsb(), DATA + 3, 'read'],
    ['MOVS from a device', (asm) => asm.mov(x86.esi, DEVICE).mov(x86.edi, DATA).rep().movsb(), DATA + 7, 'write'],
    ['MOVS to a device', (asm) => asm.mov(x86.esi, DATA).mov(x86.edi, DEVICE).rep().movsb(), DATA, 'read'],
    [
      'MOVS downwards',
      (asm) =>
        asm
          .std()
          .mov(x86.esi, DATA + 7)
          .mov(x86.edi, DEVICE + 7)
          .rep()
          .movsb(),
      DATA,
      'read',
    ],
    ['STOS to a device', (asm) => asm.mov(x86.edi, DEVICE).rep().stosb(), DEVICE + 3, 'write'],
  ])('see several elements of %s, which are one request as without them', (_, build, address, kind) => {
    for (const isWatched of [false, true]) {
      const { pc, at, debug, go } = debugged((asm) => {
        build(asm.mov(x86.ecx, 8))
        asm.bind(asm.label('end')).nop().hlt()
      })
      const asked: number[] = []
      const answer = (logged: boolean): number => (logged ? STATUS_DONE : STATUS_RESTART)
      pc.host.devices.set(DEVICE >>> 12, { read: () => 0n, write: () => true })
      const host: CpuHost = pc.host
      host.portRead = host.physicalRead = (_at, _size, _into, logged) => answer(logged)
      host.portWrite = (_port, _size, _value, logged) => answer(logged)
      host.physicalWrite = (_gpa, _size, _lo, _hi, logged) => answer(logged)
      host.repeat = () => {
        host.record.made = host.record.count
        asked.push(host.record.count)
        return STATUS_DONE
      }
      if (isWatched) {
        debug.addWatchpoint(BigInt(address), 1, kind)
        expect(go()).toEqual({ kind: 'watch', address: BigInt(address), watch: kind })
        expect(pc.rip).toBe(at('end'))
      }
      expect(go()).toBe('hlt')
      expect(asked).toEqual([8])
    }
  })

  test('are not for what an instruction that faults afterwards has read', () => {
    const { pc, debug, go } = debugged((asm) => asm.div(x86.dword(DATA)).hlt())
    debug.addWatchpoint(BigInt(DATA), 4, 'access')
    expect(go()).toBe('hlt')
    expect(pc.rip).toBe(HANDLER + 1)
  })

  test('have a length', () => {
    const { debug } = debugged((asm) => asm.hlt())
    for (const length of [0, -1, Number.NaN, 1 << 30])
      expect(() => debug.addWatchpoint(0n, length, 'read')).toThrow(X86CpuError)
  })
})

describe('faults', () => {
  const faulting = (asm: x86.Assembler): void => {
    asm.mov(x86.rax, 0x7fff_0000n).mov(x86.cx, 1).bind(asm.label('fault')).mov(x86.qword(x86.rax), x86.rcx)
    asm.bind(asm.label('end')).hlt()
  }

  test('a caught one stops before it is delivered, and is delivered then', () => {
    const { pc, at, debug, go } = debugged(faulting)
    debug.catchFault(14, true)
    expect(go()).toEqual({ kind: 'fault', vector: 14, errorCode: 2, address: 0x7fff_0000n })
    expect(pc.rip).toBe(at('fault'))
    expect(pc.cpu.registers.cr2).toBe(0n)
    expect(go({ step: true })).toEqual({ kind: 'step' })
    expect(pc.rip).toBe(HANDLER)
    expect(pc.cpu.registers.cr2).toBe(0x7fff_0000n)
  })

  test('a caught one may be dropped: the instruction is executed again', () => {
    const { pc, at, debug, go } = debugged(faulting)
    debug.catchFault(14, true)
    go()
    pc.setRegister('rax', DATA)
    expect(go({ dropFault: true })).toBe('hlt')
    expect(pc.rip).toBe(at('end') + 1)
    expect(pc.read64(DATA)).toBe(1n)
  })

  test('others are not caught', () => {
    const { debug, go } = debugged((asm) => asm.ud2())
    debug.catchFault(14, true)
    expect(go()).toBe('hlt')
    debug.catchFault(14, false)
    expect(debug.caughtFaults.size).toBe(0)
  })

  test('a triple fault stops once', () => {
    const { pc, debug, go } = debugged((asm) => asm.ud2())
    pc.cpu.u64[(0x100 + 32 * 9) >>> 3] = 0x7000_0000n
    debug.catchesShutdown = true
    expect(go()).toEqual({ kind: 'shutdown' })
    expect(go()).toBe('shutdown')
    debug.catchesShutdown = false
    expect(go()).toBe('shutdown')
  })
})

test('a processor has one debugger', () => {
  const { pc, debug } = debugged((asm) => asm.hlt())
  expect(() => new DebugControl(pc.cpu)).toThrow(X86CpuError)
  debug.detach()
  new DebugControl(pc.cpu).detach()
})
