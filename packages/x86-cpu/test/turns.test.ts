import fc from 'fast-check'
import * as x86 from '@retrap/x86-assembler'
import { slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { STATUS_DONE, STATUS_RESTART, STATUS_RETRY, saveVcpu, type CpuHost, type Words } from '../src/index.ts'
import { IOREQ_READ } from '../src/state/host.ts'
import { BareCpu, CODE } from './support/bare-cpu.ts'
import { test } from './support/with-bare-cpu.ts'
import { EAGER_JIT } from '@retrap/tooling/jit'

/**
 * What a turn costs, and where it ends, are functions of what the guest does alone: the same program ends each turn of a
 * given budget at the same instruction, however its devices answer and whatever the caches hold.
 */

const DEVICE = 0x9000
const RAM = 0x2_0000
const HANDLER = 0x4000
const PORT = 0x40

/** How a machine's devices answer. */
const STYLES = ['at once', 'restarts', 'waits', 'waits elsewhere'] as const
type Style = (typeof STYLES)[number]

type Piece = (asm: x86.Assembler) => void

const device = (offset: number): number => DEVICE + offset

/** Sets the registers of a repeated string instruction. */
const string = (asm: x86.Assembler, from: number, to: number, count: number): x86.Assembler =>
  asm.mov(x86.esi, from).mov(x86.edi, to).mov(x86.ecx, count)

const PIECES: Readonly<Record<string, Piece>> = {
  work: (asm) => asm.inc(x86.rbx).add(x86.r8, x86.rbx).xor(x86.rax, x86.rbx).nop(),
  forward: (asm) => {
    const skip = asm.label()
    asm.test(x86.bl, 1).jz(skip).inc(x86.r9).bind(skip).inc(x86.rbx)
  },
  loop: (asm) => {
    asm.mov(x86.ecx, 9)
    const again = asm.here()
    asm.inc(x86.rbx).dec(x86.ecx).jnz(again)
  },
  'slow loop': (asm) => {
    asm.mov(x86.ecx, 5)
    const again = asm.here()
    asm.inc(x86.rbx).loop(again)
  },
  call: (asm) => {
    const [next, body] = [asm.label(), asm.label()]
    asm.call(body).jmp(next).bind(body).inc(x86.r9).ret().bind(next)
  },
  'in port': (asm) => asm.in(x86.al, x86.imm8(PORT)).add(x86.r8, x86.rax),
  'out port': (asm) => asm.out(x86.imm8(PORT), x86.al),
  'device read': (asm) => asm.mov(x86.eax, x86.dword(device(8))).add(x86.r8, x86.rax),
  'device write': (asm) => asm.mov(x86.dword(device(16)), x86.ebx),
  'device modify': (asm) => asm.inc(x86.dword(device(24))),
  'device poll': (asm) => {
    asm.mov(x86.ecx, 7)
    const again = asm.here()
    asm
      .mov(x86.eax, x86.dword(device(4)))
      .dec(x86.ecx)
      .jnz(again)
  },
  'misaligned device': (asm) => asm.mov(x86.rax, x86.qword(device(0xffc))),
  'push device': (asm) => asm.push(x86.qword(device(32))).pop(x86.rax),
  fault: (asm) => asm.ud2(),
  'page fault': (asm) => asm.mov(x86.ax, x86.word(0x7f_0000)),
  'move string': (asm) =>
    string(asm, RAM, RAM + 0x1ff0, 77)
      .rep()
      .movsb(),
  'move far': (asm) =>
    string(asm, RAM, RAM + 0x800, 700)
      .rep()
      .movsq(),
  'store string': (asm) =>
    string(asm, RAM, RAM + 0xff0, 1300)
      .rep()
      .stosd(),
  'scan string': (asm) =>
    string(asm.mov(x86.al, 1), RAM, RAM + 0x3000, 300)
      .repne()
      .scasb(),
  'compare strings': (asm) =>
    string(asm, RAM + 0x3000, RAM + 0x3100, 90)
      .repe()
      .cmpsb(),
  'string to device': (asm) => string(asm, RAM, device(64), 20).rep().movsb(),
  'string from device': (asm) => string(asm, device(64), RAM, 20).rep().movsw(),
  'fill device': (asm) => string(asm, RAM, device(128), 33).rep().stosb(),
  'ins string': (asm) =>
    string(asm.mov(x86.edx, PORT), RAM, RAM + 0x200, 25)
      .rep()
      .insb(),
  'outs string': (asm) =>
    string(asm.mov(x86.edx, PORT), RAM + 0x200, RAM, 25)
      .rep()
      .outsb(),
  system: (asm) => asm.pushfq().popfq().cpuid(),
}

/** What changes below the program's feet between two runs, without its knowledge. */
const UPSETS: readonly ((pc: BareCpu) => void)[] = [
  () => {},
  (pc) => pc.cpu.flushTlb(true),
  (pc) => pc.engine.codeCache.flush(),
  (pc) => {
    pc.cpu.flushTlb(true)
    pc.engine.codeCache.flush()
  },
  (pc) => void pc.cpu.run(0),
  // Samples are taken on the way: soon, and when several slices have been executed.
  (pc) => pc.cpu.sampleAfter(3, () => {}),
  (pc) => pc.cpu.sampleAfter(200, () => {}),
]

/** Devices that answer in one of the ways; what they answer is always the same. */
function slowDevices(pc: BareCpu, style: Style, together: boolean): void {
  const host: CpuHost = pc.host
  let polls = 0
  const ask = (logged: boolean): number => {
    if (style === 'at once') return STATUS_DONE
    if (style === 'restarts') return logged ? STATUS_DONE : STATUS_RESTART
    polls = style === 'waits elsewhere' ? 3 : 1
    return STATUS_RETRY
  }
  const give = (status: number, into: Words): number => {
    if (status !== STATUS_DONE) return status
    into.lo = 0x5a5a_5a5a
    into.hi = 0x5a5a_5a5a
    return status
  }
  host.physicalRead = (_gpa, _size, into, logged) => give(ask(logged), into)
  host.physicalWrite = (_gpa, _size, _lo, _hi, logged) => ask(logged)
  host.portRead = (_port, _size, into, logged) => give(ask(logged), into)
  host.portWrite = (_port, _size, _value, logged) => ask(logged)
  host.answer = () => give(--polls > 0 ? STATUS_RETRY : STATUS_DONE, host.record)
  host.answersAtOnce = (port) => port && style === 'at once'
  if (!together) return
  host.repeat = () => {
    const { direction, size, count, dataLo } = host.record
    if (direction === IOREQ_READ) pc.load(dataLo, new Uint8Array(size * count).fill(0x5a))
    host.record.made = count
    return ask(true)
  }
}

interface Program {
  readonly start: number
  readonly pieces: readonly string[]
  readonly budgets: readonly number[]
  readonly upsets: readonly number[]
}

const TURNS = 24

/** Where each turn ends: instructions retired, cost, RIP and RSP; and the state at the end. */
function turns(program: Program, style: Style, together: boolean, upset: boolean): string[] {
  const pc = new BareCpu({ codeCacheBytes: 1 << 18 })
  const { cpu } = pc
  pc.host.devices.set(DEVICE >>> 12, { read: () => 0n, write: () => true })
  slowDevices(pc, style, together)
  pc.program((asm) => asm.add(x86.qword(x86.rsp), 2).iretq(), HANDLER)
  pc.program((asm) => asm.pop(x86.r8).add(x86.qword(x86.rsp), 8).iretq(), HANDLER + 0x40)
  pc.vector(6, HANDLER)
  pc.vector(14, HANDLER + 0x40)
  pc.program((asm) => {
    const again = asm.here()
    for (const name of program.pieces) (PIECES[name] as Piece)(asm)
    asm.jmp(again)
  }, program.start)
  pc.rip = program.start
  const seen: string[] = []
  let upsets = 0
  for (let turn = 0; turn < TURNS; turn++) {
    const end = cpu.cost + (program.budgets[turn % program.budgets.length] as number)
    for (;;) {
      const exit = pc.run(end - cpu.cost)
      const which = program.upsets[upsets++ % program.upsets.length] as number
      if (exit.reason === 'blocked' || exit.reason === 'yield') {
        // A further run while nothing has been answered must change nothing either.
        if (upset) UPSETS[which]?.(pc)
        continue
      }
      expect(exit.reason).toBe('budget')
      if (upset) UPSETS[which]?.(pc)
      break
    }
    seen.push(`${cpu.retired} ${cpu.cost} ${pc.rip.toString(16)} ${pc.register('rsp').toString(16)}`)
  }
  return [...seen, JSON.stringify(saveVcpu(cpu))]
}

test(
  'a turn ends at the same instruction, at the same cost, in whichever way it is executed',
  { timeout: 240_000 },
  () => {
    const program = fc.record({
      start: fc.constantFrom(CODE, CODE + 0xf80, CODE + 0xfe0, 0x8fc0 - 0x400),
      pieces: fc.array(fc.constantFrom(...Object.keys(PIECES)), { minLength: 1, maxLength: 8 }),
      budgets: fc.array(fc.constantFrom(1, 2, 7, 30, 64, 100, 333, 1000), { minLength: 1, maxLength: 6 }),
      upsets: fc.array(fc.nat(UPSETS.length - 1), { minLength: 1, maxLength: 9 }),
    })
    fc.assert(
      fc.property(program, fc.constantFrom(...STYLES), fc.boolean(), (given, style, together) => {
        expect(turns(given, style, together, true)).toEqual(turns(given, 'at once', false, false))
      }),
      { numRuns: slicedCount(80, 5), seed: slicedSeed(0x7425) },
    )
  },
)

test.each([false, true])('a sample is taken at the instruction it is asked for (compiled: %s)', (jit) => {
  const make = (): BareCpu => {
    const pc = new BareCpu({ jit: jit && EAGER_JIT })
    pc.program((asm) => {
      const [again, body] = [asm.here(), asm.label()]
      for (let i = 0; i < 20; i++) asm.inc(x86.rbx)
      asm.call(body).jmp(again).bind(body)
      for (let i = 0; i < 20; i++) asm.inc(x86.rax)
      asm.ret()
    })
    return pc
  }
  const stepped = make()
  const places: number[] = []
  for (let i = 0; i <= 700; i++) {
    places.push(stepped.rip)
    stepped.cpu.step()
  }
  const pc = make()
  const stack = pc.register('rsp')
  for (let cost = 0; cost <= 700; cost++) {
    const seen: unknown[] = []
    const begin = pc.cpu.cost
    pc.rip = places[0]!
    pc.cpu.registers.general[4] = stack
    pc.cpu.sampleAfter(cost, () => void seen.push(pc.cpu.cost - begin, pc.rip))
    pc.run(1000)
    expect(seen).toEqual([cost, places[cost]])
  }
})

test('a further wish for a sample replaces the first', ({ pc }) => {
  pc.program((asm) => asm.jmp(asm.here()))
  const seen: unknown[] = []
  pc.cpu.sampleAfter(10, () => void seen.push('first'))
  pc.cpu.sampleAfter(20, () => void seen.push(pc.cpu.cost))
  pc.run(5)
  expect(seen).toEqual([])
  pc.run(100)
  pc.run(100)
  expect(seen).toEqual([20])
})

test('iterations cost an instruction each, deliveries more', () => {
  const cost = (build: Piece): [retired: number, cost: number] => {
    const pc = new BareCpu()
    pc.program((asm) => asm.add(x86.qword(x86.rsp), 2).iretq(), HANDLER)
    pc.vector(6, HANDLER)
    pc.program((asm) => {
      build(asm)
      asm.hlt()
    })
    expect(pc.run(100_000).reason).toBe('hlt')
    return [pc.cpu.retired, pc.cpu.cost]
  }
  expect(cost((asm) => asm.nop().nop())).toEqual([3, 3])
  expect(cost((asm) => asm.mov(x86.edi, RAM).mov(x86.ecx, 4096).rep().stosb())).toEqual([4, 4 + 4096])
  expect(cost((asm) => asm.ud2())).toEqual([3, 3 + 64])
})

test('a repeated instruction stops at the iteration at which the budget is used up', ({ pc }) => {
  pc.program((asm) => asm.mov(x86.edi, RAM).mov(x86.ecx, 4096).rep().stosb().hlt())
  expect(pc.run(1002).reason).toBe('budget')
  expect(pc.register('rcx')).toBe(3096n)
})

describe('a run that limits the calls of TypeScript, and so keeps to host time', () => {
  const fill = (budget: number, count: number, down: boolean): BareCpu => {
    const pc = new BareCpu()
    pc.program((asm) => {
      if (down) asm.std()
      asm.mov(x86.edi, RAM).mov(x86.ecx, count).rep().stosb().hlt()
    })
    pc.rip = CODE
    const { reason } = pc.cpu.run(budget, 1000)
    expect(reason).toBe(pc.register('rcx') === 0n ? 'hlt' : 'budget')
    return pc
  }

  test.each([
    // The first element of a page is made alone, and brings the page into the TLB.
    { count: 1, down: false, charged: 1 },
    { count: 17, down: false, charged: 2 },
    { count: 18, down: false, charged: 3 },
    { count: 4096, down: false, charged: 1 + 4095 / 16 + 1 / 16 },
    { count: 100, down: true, charged: 100 },
  ])('charges $charged instructions for $count elements (downwards: $down)', ({ count, down, charged }) => {
    const { cpu } = fill(100_000, count, down)
    expect([cpu.retired, cpu.cost - cpu.retired]).toEqual([down ? 5 : 4, charged])
  })

  test.each([
    { budget: 2 + 1, left: 4096 - 1 },
    { budget: 2 + 2, left: 4096 - 1 - 16 },
    { budget: 2 + 11, left: 4096 - 1 - 160 },
  ])('ends a turn of $budget instructions with $left elements to go', ({ budget, left }) => {
    const pc = fill(budget, 4096, false)
    expect(pc.register('rcx')).toBe(BigInt(left))
    // The shortest turn makes an instruction's worth of elements.
    expect(pc.cpu.run(1, 1000).reason).toBe('budget')
    expect(pc.register('rcx')).toBe(BigInt(left - 16))
  })
})

test('a run ends early after many instructions that TypeScript executes, and goes on with the next run', () => {
  const pc = new BareCpu({ jit: false })
  pc.program((asm) => {
    const again = asm.label('again')
    asm.mov(x86.r8, 1000).bind(again).xor(x86.eax, x86.eax).cpuid().dec(x86.r8).jne(again).hlt()
  })
  pc.rip = CODE
  const calls: number[] = []
  for (;;) {
    const before = pc.cpu.counts.systemCalls
    const { reason } = pc.cpu.run(1_000_000, 300)
    if (reason === 'hlt') break
    expect(reason).toBe('yield')
    calls.push(pc.cpu.counts.systemCalls - before)
  }
  expect(calls).toEqual([300, 300, 300])
  // MOV, four instructions a round, HLT.
  expect(pc.cpu.retired).toBe(2 + 4 * 1000)
})
