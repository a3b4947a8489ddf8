import * as x86 from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { runSoak } from '@retrap/tooling/soak'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { Vcpu } from '../../src/index.ts'
import { BareCpu, BareHost, CODE, initialState } from '../support/bare-cpu.ts'
import type { BareOptions } from '../support/bare-cpu.ts'
import { EAGER_JIT } from '@retrap/tooling/jit'
import { soak } from '../soak/jit.soak.ts'

const DATA = 0x1_0000

/** Runs a program to its HLT in both executions, and gives both processors, which agree. */
function both(
  build: (asm: Assembler) => void,
  address = CODE,
  mode: BareOptions['mode'] = 'long',
  options = EAGER_JIT,
): { plain: BareCpu; compiled: BareCpu } {
  const [plain, compiled] = [false, options].map((jit) => {
    const pc = new BareCpu({ jit, mode })
    pc.program(build, address)
    pc.rip = address
    expect(pc.run(1_000_000).reason).toBe('hlt')
    return pc
  }) as [BareCpu, BareCpu]
  for (const name of ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rsp'] as const) {
    expect(compiled.register(name), name).toBe(plain.register(name))
  }
  expect(compiled.cpu.retired).toBe(plain.cpu.retired)
  expect(compiled.cpu.materialiseFlags()).toBe(plain.cpu.materialiseFlags())
  expect(compiled.engine.jitCounts?.units).toBeGreaterThan(0)
  return { plain, compiled }
}

test('random programs run alike interpreted and compiled', async () => {
  const { violations, smallest } = await runSoak(soak, { count: slicedCount(20, 10), seed: slicedSeed(1) })
  expect(smallest, SLICE_REPEAT).toBeUndefined()
  expect(violations).toBe(0)
}, 240_000)

describe('a loop', () => {
  test('is entered as one unit', () => {
    const { compiled } = both((asm) => {
      const loop = asm.label('loop')
      asm.mov(x86.ecx, 10_000).xor(x86.eax, x86.eax).bind(loop)
      asm.add(x86.eax, x86.ecx).imul(x86.eax, x86.eax, 17).dec(x86.ecx).jne(loop).hlt()
    })
    expect(compiled.engine.jitCounts?.units).toBe(1)
  })

  test('in another one, with a call', () => {
    both((asm) => {
      const [outer, inner, twice] = [asm.label('outer'), asm.label('inner'), asm.label('twice')]
      asm.mov(x86.ebx, 50).xor(x86.eax, x86.eax).bind(outer)
      asm.mov(x86.ecx, 20).bind(inner)
      asm.call(twice).dec(x86.ecx).jne(inner)
      asm.dec(x86.ebx).jne(outer).hlt()
      asm.bind(twice).add(x86.rax, x86.rcx).add(x86.rax, x86.rax).ret()
    })
  })

  test('over the end of a page', () => {
    const { compiled } = both((asm) => {
      const loop = asm.label('loop')
      asm.mov(x86.ecx, 1000).bind(loop)
      // The addition lies in both pages.
      for (let i = 0; i < 5; i++) asm.nop()
      asm.add(x86.rax, 0x1234).add(x86.rax, x86.rcx).dec(x86.ecx).jne(loop).hlt()
    }, 0x1ff3)
    expect(compiled.register('rax')).toBe(BigInt(0x1234 * 1000 + 500_500))
  })
})

describe('pages that the TLB does not hold', () => {
  /** Reads, or writes, one word of each of 400 pages, 100 times, each time with an empty TLB. */
  const touching =
    (isWrite: boolean) =>
    (asm: Assembler): void => {
      const [round, page] = [asm.label('round'), asm.label('page')]
      asm.xor(x86.eax, x86.eax).mov(x86.ebx, 100).bind(round)
      asm.mov(x86.rdx, x86.cr3).mov(x86.cr3, x86.rdx)
      asm.mov(x86.esi, DATA).mov(x86.ecx, 400).bind(page)
      if (isWrite) asm.mov(x86.qword(x86.rsi), x86.rcx)
      else asm.add(x86.rax, x86.qword(x86.rsi))
      asm.add(x86.rsi, 0x1008).dec(x86.ecx).jne(page)
      asm.dec(x86.ebx).jne(round).hlt()
    }

  test.each([
    ['read', false],
    ['written', true],
  ])('are %s by a unit that fills it', (_, isWrite) => {
    const { plain, compiled } = both(touching(isWrite), CODE, 'long', { ...EAGER_JIT, misses: 1024 })
    expect(compiled.cpu.slowAccesses).toBeGreaterThanOrEqual(40_000)
    // The loop was compiled, and again to fill the TLB. It would have been once more if that had not helped. What is around
    // it, with the write of CR3, is a unit of its own.
    expect(compiled.engine.jitCounts?.units).toBe(3)
    for (let i = 0; i < 400; i++) {
      const at = DATA + 0x1008 * i
      expect(compiled.read64(at)).toBe(plain.read64(at))
    }
  })
})

describe('a unit that leads to another', () => {
  test('goes on with it until the turn ends', () => {
    // Two loops of their own in one: control goes from unit to unit all the time, a little in each.
    const { compiled } = both((asm) => {
      const [outer, first, second] = [asm.label('outer'), asm.label('first'), asm.label('second')]
      asm.mov(x86.ebx, 3000).xor(x86.eax, x86.eax).bind(outer)
      asm.mov(x86.ecx, 3).bind(first)
      for (let i = 0; i < 40; i++) asm.add(x86.rax, x86.rcx)
      asm.dec(x86.ecx).jne(first)
      asm.mov(x86.ecx, 3).bind(second)
      for (let i = 0; i < 40; i++) asm.xor(x86.rax, x86.rcx)
      asm.dec(x86.ecx).jne(second)
      asm.dec(x86.ebx).jne(outer).hlt()
    })
    expect(compiled.engine.jitCounts?.units).toBeGreaterThan(1)
  })
})

describe('code that is written', () => {
  test('takes effect in the unit that writes it', () => {
    // The immediate of MOV EDX is written every now and then: a store into the unit's own page.
    both((asm) => {
      const [loop, patched] = [asm.label('loop'), asm.label('patched')]
      asm.mov(x86.ecx, 300).xor(x86.eax, x86.eax).lea(x86.rsi, x86.ptr(patched)).bind(loop)
      asm.test(x86.ecx, 63).jne(patched)
      asm.mov(x86.ptr(x86.rsi, { disp: 1 }), x86.ecx)
      asm.bind(patched).mov(x86.edx, 0x1111_1111)
      asm.add(x86.eax, x86.edx).dec(x86.ecx).jne(loop).hlt()
    })
  })
})

describe('a unit leaves an access to the interpreter', () => {
  test('that misses the TLB, crosses a page or meets a device', () => {
    const build = (asm: Assembler): void => {
      const loop = asm.label('loop')
      asm.mov(x86.ecx, 200).mov(x86.rdi, DATA).bind(loop)
      asm.mov(x86.ptr(x86.rdi, { disp: 0xffd }), x86.rcx)
      asm.add(x86.rbx, x86.ptr(x86.rdi, { disp: 0xffd }))
      asm.add(x86.rdi, 0x800).dec(x86.ecx).jne(loop).hlt()
    }
    both(build)
  })
})

test('the budget ends both executions at the same instruction', () => {
  const [plain, compiled] = [false, EAGER_JIT].map((jit) => {
    const pc = new BareCpu({ jit })
    pc.program((asm) => {
      const [loop, skip] = [asm.label('loop'), asm.label('skip')]
      asm.mov(x86.rcx, -1).bind(loop)
      asm.add(x86.rax, x86.rcx).test(x86.eax, 8).je(skip).xor(x86.rdx, x86.rax).bind(skip)
      asm.dec(x86.rcx).jne(loop).hlt()
    })
    return pc
  }) as [BareCpu, BareCpu]
  for (let budget = 1; budget < 400; budget += 7) {
    expect(compiled.turn(budget).reason).toBe(plain.turn(budget).reason)
    expect([compiled.cpu.retired, compiled.rip]).toEqual([plain.cpu.retired, plain.rip])
  }
  expect(compiled.engine.jitCounts?.units).toBe(1)
})

test('units whose code is written are given up, and such code is compiled ever more seldom', () => {
  const pc = new BareCpu({ jit: EAGER_JIT })
  const at = pc.program((asm) => {
    const [again, loop] = [asm.label('again'), asm.label('loop')]
    asm.bind(again).mov(x86.ecx, 40).bind(loop)
    asm.add(x86.eax, 0x1234_5678).dec(x86.ecx).jne(loop).jmp(again)
  })
  for (let round = 0; round < 1000; round++) {
    pc.run(200)
    pc.load(at('loop') + 1, [round, round >>> 8])
  }
  const { units = 0, live = Infinity } = pc.engine.jitCounts ?? {}
  expect(units).toBeGreaterThan(5)
  expect(units).toBeLessThan(250)
  expect(live).toBeLessThan(150)
})

test.each(['by the same bytes', 'by others and back'])('a unit that is written %s is not compiled again', (how) => {
  const pcs = [false, EAGER_JIT].map((jit) => {
    const pc = new BareCpu({ jit })
    const at = pc.program((asm) => {
      const [again, loop] = [asm.label('again'), asm.label('loop')]
      asm.bind(again).mov(x86.ecx, 400).bind(loop)
      asm.add(x86.eax, 0x1234_5678).dec(x86.ecx).jne(loop).jmp(again)
    })
    for (let round = 0; round < 100; round++) {
      pc.run(2000)
      pc.load(at('loop') + 1, [how === 'by the same bytes' ? 0x78 : 0x78 + (round & 1)])
    }
    return pc
  }) as [BareCpu, BareCpu]
  const [plain, compiled] = pcs
  expect(compiled.register('rax')).toBe(plain.register('rax'))
  expect(compiled.cpu.retired).toBe(plain.cpu.retired)
  const { units = 0, revived, failures } = compiled.engine.jitCounts ?? {}
  expect(units).toBeLessThan(10)
  expect(revived).toBeGreaterThan(80)
  expect(failures).toBe(0)
})

test('a computed jump finds the places that it often leads to within its unit', () => {
  const build = (asm: Assembler): void => {
    const [loop, table, next] = [asm.label('loop'), asm.label('table'), asm.label('next')]
    const [first, second] = [asm.label('first'), asm.label('second')]
    asm.mov(x86.ecx, 20_000).lea(x86.rsi, x86.ptr(table)).bind(loop)
    asm
      .mov(x86.edx, x86.ecx)
      .and(x86.edx, 1)
      .jmp(x86.qword(x86.rsi, { index: x86.rdx, scale: 8 }))
    asm.bind(first).add(x86.rax, x86.rcx).jmp(next)
    asm.bind(second).xor(x86.rax, x86.rcx)
    asm.bind(next).dec(x86.ecx).jne(loop).hlt()
    asm.align(8).bind(table).dq(first).dq(second)
  }
  const { compiled } = both(build)
  // The loop, its two places, and the loop again with each of them.
  expect(compiled.engine.jitCounts?.units).toBeLessThan(9)
})

test.each([
  { where: 'in its page finds it within its unit', distance: 0x40, hasFurther: true },
  { where: 'in another page leaves its unit as it is', distance: 0x1000, hasFurther: false },
])('a return to a place $where', ({ distance, hasFurther }) => {
  const { compiled } = both((asm) => {
    const [loop, place, back] = [asm.label('loop'), asm.label('place'), asm.label('back')]
    asm.mov(x86.ecx, 20_000).xor(x86.eax, x86.eax).lea(x86.rsi, x86.ptr(place)).bind(loop)
    asm.push(x86.rsi).add(x86.eax, x86.ecx).ret()
    asm.bind(back).hlt()
    asm.align(distance).bind(place).add(x86.eax, 1).dec(x86.ecx).jne(loop).jmp(back)
  })
  // The loop and the place; further units are the loop with the place.
  if (hasFurther) expect(compiled.engine.jitCounts?.units).toBeGreaterThan(2)
  else expect(compiled.engine.jitCounts?.units).toBe(2)
})

test.each(['protected', 'real'] as const)('an operand in FS or SS, %s mode', (mode) => {
  both(
    (asm) => {
      const loop = asm.label('loop')
      asm.mov(x86.ecx, 100).mov(x86.ebx, 0x4000).bind(loop)
      asm
        .add(x86.dword(x86.ebx, { segment: x86.fs }), x86.ecx)
        .add(x86.eax, x86.dword(x86.ebx, { segment: x86.fs, disp: 0 }))
      asm
        .push(x86.eax)
        .pop(x86.edx)
        .mov(x86.ptr(x86.ebx, { segment: x86.ss, disp: 4 }), x86.edx)
      asm.dec(x86.ecx).jne(loop).hlt()
    },
    CODE,
    mode,
  )
})

test('a vCPU that is made when there are units already executes them too', () => {
  const pc = new BareCpu({ jit: EAGER_JIT })
  pc.program((asm) => {
    const loop = asm.label('loop')
    asm.mov(x86.ecx, 1000).xor(x86.eax, x86.eax).bind(loop)
    asm.add(x86.eax, x86.ecx).dec(x86.ecx).jne(loop).hlt()
  })
  pc.run()
  expect(pc.engine.jitCounts?.live).toBeGreaterThan(0)
  const host = new BareHost(pc.memory, pc.host.ramMa)
  const late = new Vcpu(pc.engine, host, { tscHz: 1e9, crystalHz: 1e9 })
  host.attach(late)
  late.reset(true)
  late.load(initialState('long'))
  expect(late.run(100_000)).toEqual({ reason: 'hlt' })
  expect(late.retired).toBe(pc.cpu.retired)
})
