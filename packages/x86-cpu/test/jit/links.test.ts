/**
 * Direct branches to other pages, returns and ends of decoded runs are followed by links. Nobody sees that: a program that
 * remaps and writes its pages, and does to its stack what no compiler does, ends as one whose instructions are executed alone.
 */
import * as x86 from '@retrap/x86-assembler'
import { Assembler, cr3 } from '@retrap/x86-assembler'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EAGER_JIT } from '@retrap/tooling/jit'
import { MINIMUM_ARENA_BYTES } from '@retrap/engine'
import { saveVcpu } from '../../src/inspect.ts'
import { S_RETURNS, S_EGPR } from '../../src/state/state-layout.ts'
import { BareCpu, type BareOptions, PAGE_TABLE, RAM_BYTES, STACK } from '../support/bare-cpu.ts'

/** The functions lie in pages from here on, which two sets of frames are mapped to in turn. */
const FIRST_PAGE = 0x10
const PAGES = 5
const FRAMES = [0x40, 0x50] as const
const MAIN = 0x1000
const STOP = 0x1f00
const MAP = 0x2000
const MAP_AND_FLUSH = 0x2040
const FUEL = 0x6_0000
const RET = 0xc3
const IN_PAGE = 4
const FUNCTIONS = PAGES * IN_PAGE - 1

/** The last one of a page goes on in the next one. */
const addressOf = (number: number): number =>
  FIRST_PAGE * 0x1000 +
  0x1000 * Math.floor(number / IN_PAGE) +
  (number % IN_PAGE === IN_PAGE - 1 ? 0xfd0 + ((7 * number) % 40) : 0x200 + 0x400 * (number % IN_PAGE))

type Step =
  | { readonly kind: 'add' | 'call' | 'jump' | 'push' | 'smash'; readonly to: number }
  | { readonly kind: 'patch'; readonly to: number; readonly value: number }
  | {
      readonly kind: 'map'
      readonly page: number
      readonly set: number
      readonly by: number
      readonly isFlush: boolean
    }
  | { readonly kind: 'drop' }

const to = fc.nat(FUNCTIONS - 1)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('add'), to }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('call'), to }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('jump'), to }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('push', 'smash'), to }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('patch'), to, value: fc.nat(255) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('map'),
      page: fc.nat(PAGES - 1),
      set: fc.nat(1),
      /** Another page's frames, now and then: its functions have other bytes at these places. */
      by: fc.constantFrom(0, 0, 0, 1, PAGES - 1),
      isFlush: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'drop' }) },
)
/** Page 1 in page 0's place calls into the middle of the first function's calls, where bytes add EAX to what RAX points to. */
const CALLS_INTO_BYTES: readonly (readonly Step[])[] = Array.from({ length: FUNCTIONS }, (_, number): Step[] => {
  if (number === 18) return [{ kind: 'map', page: 0, set: 0, by: 1, isFlush: true }]
  if (number === 6 || number === 14) return [{ kind: 'map', page: 0, set: 0, by: 0, isFlush: number === 6 }]
  return [{ kind: 'add', to: 0 }]
})
const program: fc.Arbitrary<readonly (readonly Step[])[]> = fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), {
  minLength: FUNCTIONS,
  maxLength: FUNCTIONS,
})

/** Each form has one length, so that both sets of frames have the same boundaries. */
function emit(asm: Assembler, one: Step, variant: number): void {
  switch (one.kind) {
    case 'add':
      return void asm.add(x86.ebx, x86.imm32(0x1234 * one.to + variant)).rol(x86.ebx, 3)
    case 'call':
      return void asm.call(addressOf(one.to))
    case 'jump': {
      const past = asm.label()
      return void asm
        .test(x86.ebx, x86.imm32(1 << (one.to % 20)))
        .jz(past)
        .jmp(addressOf(one.to))
        .bind(past)
    }
    case 'push':
      return void asm.push(x86.imm32(addressOf(one.to))).ret()
    case 'smash':
      return void asm.mov(x86.qword(x86.rsp), x86.imm32(addressOf(one.to)))
    case 'patch':
      // The last byte of the fuel that a function takes first.
      return void asm.mov(x86.dword(addressOf(one.to) + 7), x86.imm32(1 + (one.value & 3)))
    case 'map': {
      const frame = FRAMES[one.set]! + ((one.page + one.by) % PAGES)
      asm.mov(x86.edi, x86.imm32(frame * 0x1000 + 7)).mov(x86.r8d, x86.imm32((FIRST_PAGE + one.page) * 0x1000))
      return void asm.call(one.isFlush ? MAP_AND_FLUSH : MAP)
    }
    case 'drop':
      return void asm.add(x86.rsp, 8)
  }
}

function machine(functions: readonly (readonly Step[])[], options: BareOptions): BareCpu {
  const pc = new BareCpu(options)
  for (const [variant, frame] of FRAMES.entries()) {
    const image = new Uint8Array((PAGES + 1) * 0x1000).fill(RET)
    for (const [number, steps] of functions.entries()) {
      const asm = new Assembler({ bits: 64, address: addressOf(number) })
      asm.sub(x86.dword(FUEL), x86.imm32(1)).jle(STOP).add(x86.edx, x86.eax)
      for (const one of steps) emit(asm, one, variant)
      const { bytes } = asm.ret().assemble()
      image.set(bytes, addressOf(number) - FIRST_PAGE * 0x1000)
    }
    pc.load(frame * 0x1000, image.subarray(0, PAGES * 0x1000))
  }
  for (let page = 0; page < PAGES; page++)
    pc.write64(PAGE_TABLE + 8 * (FIRST_PAGE + page), BigInt((FRAMES[0] + page) * 0x1000 + 7))
  pc.program((asm) => {
    asm.mov(x86.esp, STACK)
    for (let number = 0; number < FUNCTIONS; number++) asm.call(addressOf(number))
    asm.sub(x86.dword(FUEL), 1).jg(MAIN).jmp(STOP)
  }, MAIN)
  pc.program((asm) => void asm.hlt().jmp(STOP), STOP)
  // Apart, since a page's own code must not depend on a mapping between its change and the TLB's. For the same reason no
  // register has the address of a table outside: a page in another's place calls into the middle of instructions, and a
  // write that such bytes do through RAX or RSI would change a table without a flush. Until one comes, a processor is free to
  // go by the old entry or by the new one (SDM vol. 3A, "Delayed Invalidation"), and the two that are compared would differ.
  const map = (asm: Assembler): Assembler =>
    asm
      .mov(x86.esi, x86.r8d)
      .shr(x86.esi, 9)
      .mov(x86.qword(x86.rsi, { disp: PAGE_TABLE }), x86.rdi)
      .xor(x86.esi, x86.esi)
  pc.program((asm) => void map(asm).invlpg(x86.ptr(x86.r8)).ret(), MAP)
  pc.program((asm) => void map(asm).mov(x86.rax, cr3).mov(cr3, x86.rax).xor(x86.eax, x86.eax).ret(), MAP_AND_FLUSH)
  for (const vector of [3, 6, 13, 14]) pc.vector(vector, STOP)
  // Too many returns begin anew.
  pc.fill64(STACK - 0x100, STACK + 0x1000, () => BigInt(MAIN))
  pc.write32(FUEL, 500)
  return pc
}

/** All that a guest can see. */
function visible(pc: BareCpu): unknown {
  const { retired, cost } = pc.cpu
  return { retired, cost, cpu: saveVcpu(pc.cpu) }
}
const ramOf = (pc: BareCpu): Buffer => Buffer.from(pc.memory.u8.subarray(pc.host.ramMa, pc.host.ramMa + RAM_BYTES))

/** A processor that does nothing more: where only one of the two is there, they differ. */
const ENDS: ReadonlySet<string> = new Set(['hlt', 'shutdown'])

/** Runs one for a turn, and the other one instruction by instruction to the same place. */
function expectAlike(linked: BareCpu, alone: BareCpu): void {
  linked.turn(4_000)
  // By cost, since an exception is delivered without an instruction that retires.
  while (alone.cpu.cost < linked.cpu.cost && !ENDS.has(alone.step().reason));
  expect(visible(linked)).toEqual(visible(alone))
  expect(ramOf(linked).equals(ramOf(alone))).toBe(true)
}

const WAYS = [
  { what: 'interpreted', options: { jit: false } },
  { what: 'compiled', options: { jit: EAGER_JIT } },
  { what: 'with the smallest arena', options: { jit: EAGER_JIT, codeCacheBytes: MINIMUM_ARENA_BYTES } },
] as const

describe.each(WAYS)('a program, $what', ({ options }) => {
  test('ends as one whose instructions are executed alone', () => {
    fc.assert(
      fc.property(program, (functions) => {
        const [linked, alone] = [machine(functions, options), machine(functions, { jit: false })]
        for (let turn = 0; turn < 3; turn++) expectAlike(linked, alone)
      }),
      { numRuns: 8, examples: [[CALLS_INTO_BYTES]] },
    )
  })
})

describe.each(WAYS)('returns, $what', ({ options }) => {
  const alike = (make: (pc: BareCpu) => void): BareCpu => {
    const [linked, alone] = [options, { jit: false }].map((how) => {
      const pc = new BareCpu(how)
      make(pc)
      return pc
    }) as [BareCpu, BareCpu]
    expectAlike(linked, alone)
    return linked
  }
  const map = (pc: BareCpu, page: number, frame: number): void =>
    pc.write64(PAGE_TABLE + 8 * page, BigInt(frame * 0x1000 + 7))
  const REMAP = 0x3000

  test('a page that was mapped to other code meanwhile, and has been executed there since', () => {
    const [page, other] = [0x20_000, 0x40_000]
    const pc = alike((pc) => {
      for (const [frame, value] of [
        [page, 1],
        [other, 0x100],
      ] as const) {
        const asm = new Assembler({ bits: 64, address: page })
        asm
          .call(0x4000)
          .add(x86.ebx, x86.imm32(value))
          .ret()
          .org(page + 0x100)
          .ret()
        pc.load(frame, asm.assemble().bytes)
      }
      pc.program((asm) => {
        const again = asm.mov(x86.ecx, 50).here()
        asm
          .call(page)
          .mov(x86.esi, page + 7)
          .call(REMAP)
          .dec(x86.ecx)
          .jne(again)
          .hlt()
      }, MAIN)
      pc.program(
        (asm) =>
          void asm
            .mov(x86.dword(PAGE_TABLE + 8 * (page >> 12)), x86.esi)
            .invlpg(x86.ptr(page))
            .ret(),
        REMAP,
      )
      pc.program(
        (asm) =>
          void asm
            .mov(x86.esi, other + 7)
            .call(REMAP)
            .call(page + 0x100)
            .ret(),
        0x4000,
      )
    })
    expect(pc.register('rbx')).toBe(50n * 0x100n)
  })

  test('behind a call that lies in two pages of one frame', () => {
    const page = 0x20_000
    alike((pc) => {
      map(pc, (page >> 12) + 1, page >> 12)
      const asm = new Assembler({ bits: 64, address: page })
      // Its last two bytes are the first of the page, where those before it go on.
      asm
        .db(0, 0)
        .add(x86.ebx, 1)
        .ret()
        .org(page + 0xffd)
        .call(page + 0x1800)
      const { bytes } = asm.assemble()
      bytes.copyWithin(0, 0x1000)
      pc.load(page, bytes.subarray(0, 0x1000))
      pc.load(page + 0x800, [0xc3])
      pc.program((asm) => {
        const again = asm.mov(x86.ecx, 50).here()
        asm
          .call(page + 0xffd)
          .dec(x86.ecx)
          .jne(again)
          .hlt()
      }, MAIN)
    })
  })

  test('all of 40 calls within each other', () => {
    alike((pc) => {
      for (let number = 0; number < 40; number++)
        pc.program(
          (asm) => void (number < 39 ? asm.call(0x2_1000 + 0x1040 * number) : asm).add(x86.ebx, number).ret(),
          0x2_0000 + 0x1040 * (number === 0 ? 0 : number),
        )
      pc.program((asm) => void asm.call(0x2_0000).call(0x2_0000).hlt(), MAIN)
    })
  })
})

test('no return address outlives the records of its page', () => {
  const pc = new BareCpu({ jit: false })
  pc.program((asm) => void asm.call(0x2000).hlt(), MAIN)
  pc.program((asm) => void asm.call(0x3000).ret(), 0x2000)
  pc.program((asm) => void asm.ret(), 0x3000)
  pc.run()
  const ring = (): Uint32Array =>
    pc.memory.u32.subarray((pc.cpu.state + S_RETURNS) >>> 2, (pc.cpu.state + S_EGPR) >>> 2)
  expect(ring().some((word) => word !== 0)).toBe(true)
  pc.engine.codeCache.flush()
  expect(ring().every((word) => word === 0)).toBe(true)
})
