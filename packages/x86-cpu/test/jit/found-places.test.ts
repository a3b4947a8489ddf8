// Accesses a constant away from one that the unit has made before: they are found without the TLB, and only where they may be.
import * as x86 from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { EAGER_JIT } from '@retrap/tooling/jit'
import { type BareCpu, PAGE_TABLE } from '../support/bare-cpu.ts'
import { S_CR0 } from '../../src/state/state-layout.ts'
import { handler, runBothWays } from '../support/both-ways.ts'

/** Pages whose frames do not follow one another, by number: what lies beside a page's end is another page's. */
const FIRST = 0x10
const FRAMES = [0x25, 0x21, 0x27, 0x23]
const BOUNDARY = (FIRST + 2) << 12
const ROUNDS = 6
const CR0_WP_PG_PE = 0x8001_0011
/** Units leave where they miss, and are not compiled anew for that. */
const LEAVING = { ...EAGER_JIT, misses: 1 << 20 }
const PAGE_FAULT = 14
/** Units leave where they miss, and are never compiled anew for that; or they soon are. */
const MISSES = [1 << 20, 2]

function scramble(pc: BareCpu): void {
  for (const [i, frame] of FRAMES.entries()) {
    pc.write64(PAGE_TABLE + 8 * (FIRST + i), BigInt((frame << 12) | 7))
    pc.fill64(frame << 12, (frame + 1) << 12, (at) => BigInt((at & 0xfff) * 0x1_0001 + frame))
  }
}

/** Those of 32 bits go by the types of the others: each instruction here has both. */
const POINTERS = {
  64: [x86.rsi, x86.rdi, x86.rsp],
  32: [x86.esi, x86.edi, x86.esp] as unknown as readonly [typeof x86.rsi, typeof x86.rdi, typeof x86.rsp],
}
const SUM = { 64: x86.rbx, 32: x86.ebx as unknown as typeof x86.rbx }
const VALUE = { 64: x86.rax, 32: x86.eax as unknown as typeof x86.rax }
const MEMORY = { 64: x86.qword, 32: x86.dword as unknown as typeof x86.qword }
type Width = keyof typeof POINTERS

/** One step of a straight program, over the registers of {@link POINTERS}. */
type Step =
  | { readonly op: 'load' | 'store' | 'store byte' | 'add to'; readonly register: number; readonly disp: number }
  | { readonly op: 'move'; readonly register: number; readonly by: number }
  | { readonly op: 'copy' | 'copy sometimes'; readonly register: number; readonly from: number }
  | { readonly op: 'set low byte'; readonly register: number }
  | { readonly op: 'push' | 'pop' | 'call' }
  | { readonly op: 'either'; readonly one: readonly Step[]; readonly other: readonly Step[] }

function emit(asm: Assembler, width: Width, steps: readonly Step[]): void {
  const pointer = (i: number): typeof x86.rsi => POINTERS[width][i]!
  const [sum, value, memory] = [SUM[width], VALUE[width], MEMORY[width]]
  for (const step of steps) {
    switch (step.op) {
      case 'load':
        asm.mov(value, x86.ptr(pointer(step.register), { disp: step.disp })).add(sum, value)
        break
      case 'store':
        asm.mov(x86.ptr(pointer(step.register), { disp: step.disp }), sum)
        break
      case 'store byte':
        asm.mov(x86.byte(pointer(step.register), { disp: step.disp }), 0x5a)
        break
      case 'add to':
        asm.add(memory(pointer(step.register), { disp: step.disp }), sum)
        break
      case 'move':
        asm.add(pointer(step.register), step.by)
        break
      case 'copy':
        asm.mov(pointer(step.register & 1), pointer(step.from))
        break
      case 'copy sometimes':
        asm.test(x86.ecx, 1).cmovne(pointer(step.register & 1), pointer(step.from))
        break
      case 'set low byte':
        if (width === 64) asm.mov(x86.sil, x86.bl)
        else asm.sub(pointer(0), 0x33)
        break
      case 'push':
        asm.push(sum)
        break
      case 'pop':
        asm.pop(value).add(sum, value)
        break
      case 'call': {
        const [inside, after] = [asm.label(), asm.label()]
        asm.call(inside).jmp(after).bind(inside).add(sum, 3).ret().bind(after)
        break
      }
      case 'either': {
        const [other, after] = [asm.label(), asm.label()]
        asm.test(x86.ecx, 1).jne(other)
        emit(asm, width, step.one)
        asm.jmp(after).bind(other)
        emit(asm, width, step.other)
        asm.bind(after)
      }
    }
  }
}

const register = fc.nat(2)
const disp = fc.integer({ min: -40, max: 40 })
const simple: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ op: fc.constantFrom('load', 'store', 'store byte', 'add to'), register, disp }) as fc.Arbitrary<Step>,
  fc.record({ op: fc.constant('move' as const), register, by: fc.integer({ min: -24, max: 24 }) }),
  fc.record({ op: fc.constantFrom('copy' as const, 'copy sometimes' as const), register, from: register }),
  fc.record({ op: fc.constant('set low byte' as const), register }),
  fc.record({ op: fc.constantFrom('push' as const, 'pop' as const, 'call' as const) }),
)
const steps = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: simple },
    {
      weight: 1,
      arbitrary: fc.record({
        op: fc.constant('either' as const),
        one: fc.array(simple, { maxLength: 5 }),
        other: fc.array(simple, { maxLength: 5 }),
      }),
    },
  ),
  { minLength: 4, maxLength: 24 },
)
/** Where the pointers begin in each round, from the boundary of two pages. */
const start = fc.array(fc.integer({ min: -80, max: 80 }), { minLength: 3, maxLength: 3 })

describe.each([64, 32] as const)('random accesses around the end of a page, %d bits', (width) => {
  test.each(MISSES)('after %d misses in place', (misses) => {
    fc.assert(
      fc.property(steps, start, (list, from) => {
        runBothWays({
          mode: width === 64 ? 'long' : 'protected',
          jit: { ...EAGER_JIT, misses },
          code: (asm) => {
            const again = asm.label('again')
            asm.mov(x86.ecx, ROUNDS).bind(again)
            for (const [i, pointer] of POINTERS[width].entries()) asm.mov(pointer, BOUNDARY + from[i]!)
            emit(asm, width, list)
            asm.dec(x86.ecx).jne(again).hlt()
          },
          prepare: (pc) => {
            if (width === 64) scramble(pc)
          },
        })
      }),
      { numRuns: slicedCount(25, 4) },
    )
  })
})

/** Has the handler of page faults skip the instruction, of four bytes. */
function skipFaults(pc: BareCpu): void {
  handler(
    pc,
    PAGE_FAULT,
    (asm) =>
      void asm
        .add(x86.qword(x86.rsp, { disp: 8 }), 4)
        .add(x86.rsp, 8)
        .iretq(),
  )
}

/** A loop of one access, and another one in its last round but two: then the unit has known the page of the first for long. */
function firstThenBoth(asm: Assembler, first: (asm: Assembler) => void, second: (asm: Assembler) => void): void {
  const [again, past] = [asm.label('again'), asm.label()]
  asm.mov(x86.ecx, ROUNDS).bind(again)
  first(asm)
  asm.cmp(x86.ecx, 3).jne(past)
  second(asm)
  asm.bind(past).dec(x86.ecx).jne(again).hlt()
}

describe('a place that a load has found', () => {
  test('is not taken for one that may be written', () => {
    const [plain] = runBothWays({
      jit: LEAVING,
      code: (asm) => {
        asm.mov(x86.esi, BOUNDARY)
        firstThenBoth(
          asm,
          () => asm.mov(x86.rax, x86.ptr(x86.rsi)),
          () => asm.mov(x86.ptr(x86.rsi, { disp: 8 }), x86.rcx),
        )
      },
      prepare: (pc) => {
        scramble(pc)
        skipFaults(pc)
        pc.write64(PAGE_TABLE + 8 * (FIRST + 2), BigInt((FRAMES[2]! << 12) | 5))
        pc.cpu.u32[S_CR0 >>> 2] = CR0_WP_PG_PE
        pc.host.controlChanged()
        pc.cpu.flushTlb(true)
        pc.cpu.modeChanged()
      },
    })
    expect(plain.cpu.counts.faults).toBe(1)
  })

  test('by 32 bits of a register is not taken for one by all 64', () => {
    const [plain] = runBothWays({
      jit: LEAVING,
      code: (asm) => {
        asm.mov(x86.rsi, 0x1_0000_0000n + BigInt(BOUNDARY))
        firstThenBoth(
          asm,
          () => asm.mov(x86.rax, x86.ptr(x86.esi)),
          () => asm.mov(x86.rax, x86.ptr(x86.rsi, { disp: 8 })),
        )
      },
      prepare: (pc) => {
        scramble(pc)
        skipFaults(pc)
      },
    })
    expect(plain.cpu.counts.faults).toBe(1)
  })

  test.each([23, 24, 25, 26, 31, 32, 40])('does not tell of bytes in the next page: 8 bytes %d further on', (disp) => {
    runBothWays({
      jit: LEAVING,
      code: (asm) => {
        const again = asm.label('again')
        asm
          .mov(x86.ecx, ROUNDS)
          .mov(x86.esi, BOUNDARY - 32)
          .bind(again)
          .mov(x86.rax, x86.ptr(x86.rsi))
          .add(x86.rbx, x86.qword(x86.rsi, { disp }))
        asm
          .mov(x86.ptr(x86.rsi, { disp: 1 }), x86.rbx)
          .mov(x86.ptr(x86.rsi, { disp }), x86.rbx)
          .dec(x86.ecx)
          .jne(again)
          .hlt()
      },
      prepare: scramble,
    })
  })

  test('is looked for again after a device has been reached in place, which has mapped another page there', () => {
    const DEVICE = 0x1f
    runBothWays({
      jit: { ...EAGER_JIT, misses: 1 },
      code: (asm) => {
        const again = asm.label('again')
        asm
          .mov(x86.ecx, 8 * ROUNDS)
          .mov(x86.esi, BOUNDARY)
          .bind(again)
        asm
          .add(x86.rbx, x86.qword(x86.rsi))
          .mov(x86.dword(DEVICE << 12), x86.ecx)
          .add(x86.rbx, x86.qword(x86.rsi, { disp: 8 }))
        asm.dec(x86.ecx).jne(again).hlt()
      },
      prepare: (pc) => {
        scramble(pc)
        pc.host.cache = null
        let asked = 0
        pc.host.devices.set(DEVICE, {
          read: () => 0n,
          write: () => {
            if (++asked % 6 !== 0) return true
            const frame = FRAMES[2 + ((asked / 6) & 1)]!
            pc.write64(PAGE_TABLE + 8 * (FIRST + 2), BigInt((frame << 12) | 7))

            pc.cpu.flushTlb(true)
            return true
          },
        })
      },
    })
  })

  test('is not looked for by a register that the host has set since', () => {
    runBothWays({
      jit: LEAVING,
      code: (asm) => {
        const again = asm.label('again')
        asm.mov(x86.ecx, ROUNDS).mov(x86.edx, 0x60).bind(again)
        // A unit begins after the first IN, and has the second one in its middle.
        asm
          .in(x86.al, x86.dx)
          .mov(x86.eax, BOUNDARY)
          .mov(x86.rdi, x86.rax)
          .in(x86.al, x86.dx)
          .add(x86.rbx, x86.qword(x86.rdi))
          .add(x86.rbx, x86.qword(x86.rax, { disp: 8 }))
        asm.dec(x86.ecx).jne(again).hlt()
      },
      prepare: (pc) => {
        scramble(pc)
        pc.host.ports.set(0x60, { read: () => 0x40n, write: () => true })
      },
    })
  })

  test('is looked for again after what the host executes, which has mapped another page there', () => {
    const entry = PAGE_TABLE + 8 * (FIRST + 2)
    const [, compiled] = runBothWays({
      jit: LEAVING,
      code: (asm) => {
        const again = asm.label('again')
        asm.mov(x86.ecx, ROUNDS).mov(x86.esi, BOUNDARY).bind(again)
        asm
          .mov(x86.rax, x86.ptr(x86.rsi))
          .add(x86.rbx, x86.rax)
          .mov(x86.r8, x86.qword(entry))
          .xor(x86.r8, ((FRAMES[2]! ^ FRAMES[3]!) << 12) | 0)
          .mov(x86.qword(entry), x86.r8)
          .invlpg(x86.byte(x86.rsi))
          .mov(x86.rax, x86.ptr(x86.rsi, { disp: 8 }))
          .add(x86.rbx, x86.rax)
        asm.dec(x86.ecx).jne(again).hlt()
      },
      prepare: scramble,
    })
    expect(compiled.engine.jitCounts?.executed).toBeGreaterThan(0)
  })
})

test('an address below zero is the last one of 32 bits', () => {
  runBothWays({
    mode: 'protected',
    jit: LEAVING,
    code: (asm) => {
      const again = asm.label('again')
      asm.mov(x86.ecx, ROUNDS).mov(x86.esi, 8).bind(again)
      asm
        .mov(x86.eax, x86.ptr(x86.esi))
        .mov(x86.edi, x86.ptr(x86.esi, { disp: -16 }))
        .add(x86.ebx, x86.edi)
        .mov(x86.ptr(x86.esi, { disp: 4 }), x86.ecx)
        .mov(x86.eax, x86.ptr(x86.esi, { disp: -12 }))
        .add(x86.ebx, x86.eax)
      asm.dec(x86.ecx).jne(again).hlt()
    },
  })
})
