import * as x86 from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import * as S from '../src/state/state-layout.ts'
import { bothWays, expectAlike } from './support/both-ways.ts'
import { BareCpu, CODE, GDT, PAGE_TABLE, STACK, initialState } from './support/bare-cpu.ts'

const HANDLER = 0x4000
/** Each #DB appends the interrupted RIP, DR6 and RFLAGS here, and clears DR6. */
const TRACE = 0x9000
const DATA = 0xa000
const CR4_DE = 1 << 3
const B0 = 1
const B1 = 2
const BS = 0x4000
const BD = 0x2000
const SHORT_INT = 0x80

/** DR7 with breakpoint `i` enabled: kind 0 execute, 1 write, 2 port, 3 access; length 1, 2, 4 or 8. */
function enable(i: number, kind: number, length = 1): number {
  const len = { 1: 0, 2: 1, 8: 2, 4: 3 }[length] as number
  return (1 << (2 * i)) | ((kind | (len << 2)) << (16 + 4 * i))
}

/**
 * A 64-bit processor whose #DB handler writes down where each #DB came. With `resume` it sets RF in the frame, as a
 * debugger does to get past an instruction breakpoint.
 */
function debugged(build: (asm: x86.Assembler) => void, resume = false): { pc: BareCpu; at: (label: string) => number } {
  const pc = new BareCpu()
  pc.vector(1, HANDLER)
  pc.program((asm) => {
    asm.push(x86.rax).push(x86.rbx)
    asm.mov(x86.rbx, x86.qword(TRACE - 8))
    asm.mov(x86.rax, x86.qword(x86.rsp, { disp: 16 })).mov(x86.qword(x86.rbx), x86.rax)
    asm.mov(x86.rax, x86.dr6).mov(x86.qword(x86.rbx, { disp: 8 }), x86.rax)
    asm.mov(x86.rax, x86.qword(x86.rsp, { disp: 32 })).mov(x86.qword(x86.rbx, { disp: 16 }), x86.rax)
    asm.xor(x86.eax, x86.eax).mov(x86.dr6, x86.rax)
    asm.add(x86.rbx, 24).mov(x86.qword(TRACE - 8), x86.rbx)
    asm.pop(x86.rbx).pop(x86.rax)
    if (resume) asm.or(x86.dword(x86.rsp, { disp: 16 }), S.FLAG_RF)
    asm.iretq()
  }, HANDLER)
  pc.write64(TRACE - 8, BigInt(TRACE))
  return { pc, at: pc.program(build) }
}

/** RIP, and the conditions of DR6, of each #DB so far. */
function traps(pc: BareCpu): [number, number][] {
  const found: [number, number][] = []
  for (let at = TRACE; at < Number(pc.read64(TRACE - 8)); at += 24) {
    found.push([Number(pc.read64(at)), Number(pc.read64(at + 8) & 0xe00fn)])
  }
  return found
}

/** Runs with TF set up to the HLT labelled `end`, which is trapped like all others. */
function steps(pc: BareCpu, end: number): [number, number][] {
  for (let i = 0; i < 200 && pc.rip !== end; i++) pc.step()
  expect(pc.rip).toBe(end)
  return traps(pc)
}

function setTf(pc: BareCpu): void {
  pc.cpu.u32[S.S_EFLAGS >>> 2]! |= S.FLAG_TF
}

describe('single-step (SDM vol. 3B, "Single-Step Exception Condition")', () => {
  test('a trap follows each instruction, with RIP at the next', () => {
    const { pc, at } = debugged((asm) => {
      asm.nop().bind(asm.label('a'))
      asm.inc(x86.rax).bind(asm.label('b'))
      asm.mov(x86.rbx, x86.rax).bind(asm.label('c'))
      asm.nop().bind(asm.label('end')).hlt()
    })
    setTf(pc)
    expect(steps(pc, at('end'))).toEqual([
      [at('a'), BS],
      [at('b'), BS],
      [at('c'), BS],
    ])
  })

  test('a trap follows HLT, and the processor runs on', () => {
    const { pc, at } = debugged((asm) => {
      asm.hlt().bind(asm.label('a'))
      asm.nop().bind(asm.label('end')).hlt()
    })
    setTf(pc)
    expect(steps(pc, at('end'))).toEqual([[at('a'), BS]])
  })

  test('POPF that sets TF is not trapped itself, the next instruction is; POPF that clears it still is', () => {
    const { pc, at } = debugged((asm) => {
      asm.push(S.FLAG_TF | 2).popfq()
      asm.nop().bind(asm.label('after'))
      asm.push(2).bind(asm.label('pushed'))
      asm.popfq().bind(asm.label('cleared'))
      asm.nop().bind(asm.label('end')).hlt()
    })
    expect(pc.run().reason).toBe('hlt')
    expect(traps(pc)).toEqual([
      [at('after'), BS],
      [at('pushed'), BS],
      [at('cleared'), BS],
    ])
  })

  test('a repeated string instruction traps after each iteration; RF is in all frames but that of the last', () => {
    const { pc, at } = debugged((asm) => {
      asm
        .mov(x86.ecx, 3)
        .mov(x86.edi, DATA)
        .mov(x86.esi, DATA + 64)
        .push(S.FLAG_TF | 2)
        .popfq()
        .bind(asm.label('rep'))
      asm.rep().movsb()
      asm.bind(asm.label('next')).nop().bind(asm.label('end')).hlt()
    })
    expect(steps(pc, at('end'))).toEqual([
      [at('rep'), BS],
      [at('rep'), BS],
      [at('next'), BS],
    ])
    const flags = [0, 1, 2].map((i) => Number(pc.read64(TRACE + 24 * i + 16)) & S.FLAG_RF)
    expect(flags).toEqual([S.FLAG_RF, S.FLAG_RF, 0])
  })

  test('INT n is not trapped before its handler has returned', () => {
    const { pc, at } = debugged((asm) => {
      asm.int(SHORT_INT).nop().bind(asm.label('b'))
      asm.nop().bind(asm.label('end')).hlt()
    })
    pc.vector(SHORT_INT, 0x5000)
    pc.program((asm) => asm.nop().iretq(), 0x5000)
    setTf(pc)
    expect(steps(pc, at('end'))).toEqual([[at('b'), BS]])
  })

  test('an INT n long before does not suppress a trap', () => {
    const { pc, at } = debugged((asm) => {
      asm
        .int(SHORT_INT)
        .push(S.FLAG_TF | 2)
        .popfq()
        .nop()
        .bind(asm.label('b'))
      asm.nop().bind(asm.label('end')).hlt()
    })
    pc.vector(SHORT_INT, 0x5000)
    pc.program((asm) => asm.nop().iretq(), 0x5000)
    expect(steps(pc, at('end'))).toEqual([[at('b'), BS]])
  })

  test('a fault comes before the trap, and the restarted instruction is trapped once', () => {
    const { pc, at } = debugged((asm) => {
      asm.xor(x86.edx, x86.edx).bind(asm.label('div'))
      asm.div(x86.cl).bind(asm.label('after'))
      asm.nop().bind(asm.label('end')).hlt()
    })
    pc.vector(0, 0x5000)
    pc.program((asm) => asm.mov(x86.ecx, 1).iretq(), 0x5000)
    setTf(pc)
    expect(steps(pc, at('end'))).toEqual([
      [at('div'), BS],
      [at('after'), BS],
    ])
  })

  test('MOV SS delays the trap of the instruction to after the next one', () => {
    const { pc, at } = debugged((asm) => {
      asm
        .mov(x86.eax, 0x10)
        .push(S.FLAG_TF | 2)
        .popfq()
      asm.mov(x86.ss, x86.eax).nop().bind(asm.label('a'))
      asm.nop().bind(asm.label('end')).hlt()
    })
    expect(steps(pc, at('end'))).toEqual([[at('a'), BS]])
  })

  test('an instruction whose device answers late is trapped once, after the answer', () => {
    const { pc, at } = debugged((asm) => {
      asm.mov(x86.rax, x86.qword(DATA)).bind(asm.label('a'))
      asm.nop().bind(asm.label('end')).hlt()
    })
    let answer: bigint | undefined = undefined
    pc.host.devices.set(DATA >>> 12, { read: (): bigint | undefined => answer, write: () => true })
    setTf(pc)
    expect(pc.run().reason).toBe('blocked')
    expect(traps(pc)).toEqual([])
    answer = 77n
    expect(steps(pc, at('end'))).toEqual([[at('a'), BS]])
    expect(pc.register('rax')).toBe(77n)
    expect(pc.host.seen).toEqual(['mmio read 0/8'])
  })
})

describe('instruction breakpoints (SDM vol. 3B, "Instruction-Breakpoint Exception Condition")', () => {
  test('a fault comes before the instruction; with RF it runs, and the next round meets the breakpoint again', () => {
    const { pc, at } = debugged((asm) => {
      const loop = asm.mov(x86.ecx, 3).here()
      asm.bind(asm.label('target')).inc(x86.eax)
      asm.dec(x86.ecx).jnz(loop).hlt()
    }, true)
    pc.breakpoint(0, at('target'), enable(0, 0))
    expect(pc.run().reason).toBe('hlt')
    expect(pc.register('rax')).toBe(3n)
    expect(traps(pc)).toEqual(Array.from({ length: 3 }, () => [at('target'), B0]))
  })

  test('a breakpoint that is not enabled reports nothing alone, but is reported with one that is', () => {
    const { pc, at } = debugged((asm) => asm.nop().bind(asm.label('target')).nop().hlt(), true)
    pc.breakpoint(0, at('target'), enable(0, 0))
    pc.breakpoint(1, at('target'), enable(0, 0))
    pc.run()
    expect(traps(pc)).toEqual([[at('target'), B0 | B1]])
  })

  test('the guest sets one itself', () => {
    const { pc, at } = debugged((asm) => {
      const target = asm.label('target')
      asm.lea(x86.rax, x86.qword(target)).mov(x86.dr0, x86.rax)
      asm.mov(x86.eax, enable(0, 0)).mov(x86.dr7, x86.rax).nop()
      asm.bind(target).nop().hlt()
    }, true)
    pc.run()
    expect(traps(pc)).toEqual([[at('target'), B0]])
  })

  test('a repeated string instruction is broken into once', () => {
    const { pc, at } = debugged((asm) => {
      asm.mov(x86.ecx, 3).mov(x86.edi, DATA).bind(asm.label('rep'))
      asm.rep().stosb()
      asm.hlt()
    }, true)
    pc.breakpoint(0, at('rep'), enable(0, 0))
    expect(pc.run().reason).toBe('hlt')
    expect(traps(pc)).toEqual([[at('rep'), B0]])
  })

  test('the instruction after MOV SS is not broken into', () => {
    const { pc, at } = debugged(
      (asm) => asm.mov(x86.eax, 0x10).mov(x86.ss, x86.eax).bind(asm.label('target')).nop().hlt(),
      true,
    )
    pc.breakpoint(0, at('target'), enable(0, 0))
    pc.run()
    expect(traps(pc)).toEqual([])
  })

  test('an interrupted RF stays for the return', () => {
    const { pc, at } = debugged((asm) => asm.sti().nop().bind(asm.label('target')).nop().hlt(), true)
    pc.vector(0x40, 0x5000)
    pc.program((asm) => asm.mov(x86.rbx, x86.qword(x86.rsp, { disp: 16 })).iretq(), 0x5000)
    pc.breakpoint(0, at('target'), enable(0, 0))
    // The handler of #DB returns with RF; an interrupt comes between the return and the instruction.
    const { host } = pc
    pc.program(
      (asm) =>
        asm
          .or(x86.dword(x86.rsp, { disp: 16 }), S.FLAG_RF)
          .out(0x80, x86.al)
          .iretq(),
      HANDLER,
    )
    host.ports.set(0x80, {
      read: () => 0n,
      write: () => {
        pc.interrupt(0x40)
        return true
      },
    })
    expect(pc.run().reason).toBe('hlt')
    expect(host.seen).toHaveLength(1)
    expect(pc.register('rbx') & BigInt(S.FLAG_RF)).toBe(BigInt(S.FLAG_RF))
  })
})

describe('data breakpoints (SDM vol. 3B, "Data Memory and I/O Breakpoint Exception Conditions")', () => {
  test.each<readonly [string, number, number, (asm: x86.Assembler) => unknown, boolean]>([
    ['a write of the watched bytes', 1, 4, (asm) => asm.mov(x86.dword(DATA), x86.eax), true],
    ['a read under a write breakpoint', 1, 4, (asm) => asm.mov(x86.ebx, x86.dword(DATA)), false],
    ['a read under an access breakpoint', 3, 4, (asm) => asm.mov(x86.ebx, x86.dword(DATA)), true],
    ['a wider access that overlaps from below', 1, 1, (asm) => asm.mov(x86.qword(DATA - 7), x86.rax), true],
    ['an access just below', 1, 4, (asm) => asm.mov(x86.dword(DATA - 4), x86.eax), false],
    ['an access just above', 1, 4, (asm) => asm.mov(x86.dword(DATA + 4), x86.eax), false],
    ['the last byte of eight', 1, 8, (asm) => asm.mov(x86.byte(DATA + 7), x86.al), true],
    ['a read-modify-write', 1, 4, (asm) => asm.add(x86.dword(DATA), 1), true],
    ['a locked exchange', 1, 4, (asm) => asm.xchg(x86.dword(DATA), x86.eax), true],
    ['a page-crossing store', 1, 1, (asm) => asm.mov(x86.qword(DATA - 4), x86.rax), true],
    ['an instruction fetch from there', 3, 8, (asm) => asm.call(DATA + 1), false],
  ])('%s', (_what, kind, length, run, hit) => {
    const { pc, at } = debugged((asm) => {
      // The page is in the TLB before the breakpoint is set.
      asm.mov(x86.rcx, x86.qword(DATA)).mov(x86.qword(DATA + 64), x86.rcx)
      asm.mov(x86.eax, enable(0, kind, length)).mov(x86.dr7, x86.rax)
      run(asm)
      asm
        .bind(asm.label('after'))
        .mov(x86.qword(DATA + 128), x86.rcx)
        .hlt()
    })
    pc.load(DATA, [0x90, 0xc3])
    pc.cpu.u64[0x270 >>> 3] = BigInt(DATA)
    expect(pc.run().reason).toBe('hlt')
    expect(traps(pc)).toEqual(hit ? [[at('after'), B0]] : [])
  })

  test('a repeated string instruction stops after the iteration that hits', () => {
    const { pc, at } = debugged((asm) => {
      asm.mov(x86.ecx, 8).mov(x86.edi, DATA).mov(x86.eax, 0x5a)
      asm.bind(asm.label('rep')).rep().stosb()
      asm.bind(asm.label('after')).hlt()
    })
    pc.breakpoint(0, DATA + 3, enable(0, 1))
    const cxAtTrap = pc.run()
    expect(cxAtTrap.reason).toBe('hlt')
    expect(traps(pc)).toEqual([[at('rep'), B0]])
    expect(pc.read64(DATA)).toBe(0x5a5a5a5a5a5a5a5an)
  })

  test('CALL meets them on the stack, and so does a load of the return address', () => {
    const { pc, at } = debugged((asm) => {
      const sub = asm.label('sub')
      asm.call(sub)
      asm.bind(sub).mov(x86.rax, x86.qword(x86.rsp)).bind(asm.label('loaded')).hlt()
    })
    pc.breakpoint(0, 0x8_0000 - 8, enable(0, 3, 8))
    expect(pc.run().reason).toBe('hlt')
    expect(traps(pc)).toEqual([
      [at('sub'), B0],
      [at('loaded'), B0],
    ])
  })

  test('a handler whose own frame is watched never gets anywhere, and the budget ends it', () => {
    const { pc } = debugged((asm) => asm.nop().hlt())
    pc.breakpoint(0, 0x8_0000 - 8, enable(0, 1, 8))
    setTf(pc)
    expect(pc.run(1000).reason).toBe('budget')
  })

  test('an instruction that faults after it met one reports it when it is restarted, once', () => {
    const { pc, at } = debugged((asm) => {
      asm.mov(x86.esi, DATA).mov(x86.edi, 0x1f_f000).bind(asm.label('movs'))
      asm.movsb().bind(asm.label('after')).hlt()
    })
    // The destination's page is absent until the #PF handler maps it.
    pc.vector(14, 0x5000)
    pc.program((asm) => {
      asm
        .mov(x86.dword(0x30_3000 + 8 * 0x1ff), 0x1f_f007)
        .add(x86.rsp, 8)
        .iretq()
    }, 0x5000)
    pc.write64(0x30_3000 + 8 * 0x1ff, 0n)
    pc.breakpoint(0, DATA, enable(0, 3))
    expect(pc.run().reason).toBe('hlt')
    expect(traps(pc)).toEqual([[at('after'), B0]])
  })

  test('a hit that MOV SS makes is reported after the next instruction', () => {
    const { pc, at } = debugged((asm) => asm.mov(x86.ss, x86.word(DATA)).nop().bind(asm.label('after')).nop().hlt())
    pc.load(DATA, [0x10, 0])
    pc.breakpoint(0, DATA, enable(0, 3, 2))
    pc.run()
    expect(traps(pc)).toEqual([[at('after'), B0]])
  })

  test('single-step and a data hit are reported together', () => {
    const { pc, at } = debugged((asm) =>
      asm.mov(x86.dword(DATA), x86.eax).bind(asm.label('after')).nop().bind(asm.label('end')).hlt(),
    )
    pc.breakpoint(0, DATA, enable(0, 1, 4))
    setTf(pc)
    expect(steps(pc, at('end'))).toEqual([[at('after'), B0 | BS]])
  })
})

/** Of the table below: handlers, each a NOP and a return; and where SYSCALL, SYSRET and IRET lead. */
const HANDLERS = 0x6000
const COUNTS = 0x10_0000
const TARGET = 0x7000
/** A page that is absent. */
const ABSENT = 0x1f_f000

/** What follows the first instruction, or is done before it. */
const BODIES = {
  NOP: [0x90],
  ICEBP: [0xf1],
  INT3: [0xcc],
  INTO: [0xce],
  'INT n': [0xcd, 0x40],
  SYSCALL: [0x0f, 0x05],
  SYSRETQ: [0x48, 0x0f, 0x07],
  SYSRETL: [0x0f, 0x07],
  IRET: [0x48, 0xcf],
  UD2: [0x0f, 0x0b],
  'a load that faults': [0xa1, 0, 0xf0, 0x1f, 0, 0, 0, 0, 0],
} as const

/**
 * Exceptions and interrupts, in their order: vector, where it came from (`body`, `after`, `target`, or the handler of a vector),
 * and DR6. One by one, as in the SDM, vol. 3B, "Debug Exceptions".
 */
function deliveries(pc: BareCpu, end: (rip: number) => boolean, places: Readonly<Record<number, string>>): string {
  const found: string[] = []
  const width = pc.mode === 'real' ? 2 : 8
  for (let i = 0; i < 40 && !end(pc.rip); i++) {
    const before = pc.register('rsp')
    pc.step()
    const stack = Number(pc.register('rsp'))
    const vector = (pc.rip - HANDLERS) / 0x10
    // A handler has been entered, and not returned to.
    if (!Number.isInteger(vector) || vector < 0 || vector > 0x40 || stack >= before) continue
    const from = pc.mode === 'real' ? pc.read16(stack) : Number(pc.read64(stack + (vector === 14 ? 8 : 0)))
    const conditions = { 0: '0', [B0]: 'B0', [B1]: 'B1', [BS]: 'BS', [B0 | BS]: 'B0+BS' }[pc.dr6 & 0xe00f]
    found.push(`${vector} ${places[from] ?? (from - HANDLERS) / 0x10} ${conditions}`)
    // A debugger that finds an instruction breakpoint goes past it.
    if ((pc.dr6 & B1) !== 0) pc.write64(stack + 2 * width, pc.read64(stack + 2 * width) | BigInt(S.FLAG_RF))
    pc.cpu.u32[(S.S_DR + 48) >>> 2] = 0xffff_0ff0
  }
  return found.join(', ')
}

/**
 * With an Intel processor of 2023 under Linux, by ptrace, agree: NOP, ICEBP and instruction breakpoints, with TF and
 * without. What comes between SYSCALL, INT n or INT3 and the handler's first instruction is CVE-2018-8897; that a fault
 * loses the trap, Linux's selftests say. An instruction breakpoint after the trap of a data breakpoint may also come with
 * that, as there; here it comes by itself, as there with TF.
 */
describe('#DB, and the shadows of MOV SS and STI (SDM vol. 3A, "Masking … When Switching Stacks")', () => {
  const MOV_SS = [0x8e, 0x14, 0x25, ...[0, 0xa0, 0, 0]]
  const MOV_SS_16 = [0x8e, 0x16, 0, 0xa0]
  const MOV = [0x66, 0x8b, 0x04, 0x25, 0, 0xa0, 0, 0]
  const real = new BareCpu({ mode: 'real' })
  const processors = [new BareCpu({ cpu: 'max' }), new BareCpu({ cpu: 'opteron' })]

  test.each<
    [
      first: 'MOV SS' | 'STI' | 'MOV',
      body: keyof typeof BODIES,
      and: '' | 'TF' | 'TF loaded' | 'break at body' | 'break after',
      expected: string,
    ]
  >([
    ['MOV SS', 'NOP', '', '1 after B0'],
    ['MOV SS', 'NOP', 'TF', '1 after B0+BS'],
    ['MOV SS', 'NOP', 'break at body', '1 after B0'],
    ['MOV SS', 'NOP', 'break after', '1 after B0, 1 after B1'],
    ['MOV SS', 'ICEBP', '', '1 after B0'],
    ['MOV SS', 'ICEBP', 'break at body', '1 after B0'],
    ['MOV SS', 'ICEBP', 'TF', '1 after B0'],
    ['MOV SS', 'INT3', '', '3 after 0, 1 3 B0'],
    ['MOV SS', 'INT3', 'TF', '3 after 0, 1 3 B0'],
    ['MOV SS', 'INTO', '', '4 after 0, 1 4 B0'],
    ['MOV SS', 'INT n', '', '64 after 0, 1 64 B0'],
    ['MOV SS', 'INT n', 'TF', '64 after 0, 1 64 B0'],
    ['MOV SS', 'SYSCALL', '', '1 target B0'],
    ['MOV SS', 'SYSCALL', 'TF', '1 target B0'],
    ['MOV SS', 'SYSRETQ', '', '1 target B0'],
    ['MOV SS', 'SYSRETQ', 'TF loaded', '1 target B0+BS'],
    ['MOV SS', 'IRET', '', '1 target B0'],
    ['MOV SS', 'IRET', 'TF loaded', '1 target B0'],
    ['MOV SS', 'UD2', '', '6 body 0'],
    ['MOV SS', 'UD2', 'TF', '6 body 0'],
    ['MOV SS', 'a load that faults', 'TF', '14 body 0'],
    ['MOV', 'NOP', '', '1 body B0'],
    ['MOV', 'NOP', 'break at body', '1 body B0, 1 body B1'],
    ['MOV', 'ICEBP', '', '1 body B0, 1 after 0'],
    ['MOV', 'ICEBP', 'TF', '1 body B0+BS, 1 after 0'],
    ['MOV', 'INT3', 'TF', '1 body B0+BS, 3 after 0'],
    ['MOV', 'UD2', '', '1 body B0, 6 body 0'],
    ['STI', 'NOP', 'break at body', '1 body B1'],
    ['STI', 'NOP', 'TF', '1 body BS, 1 after BS'],
    ['STI', 'ICEBP', 'TF', '1 body BS, 1 after 0'],
    ['STI', 'INT n', 'TF', '1 body BS, 64 after 0'],
    ['STI', 'SYSRETQ', 'TF loaded', '1 target BS'],
    ['STI', 'SYSRETL', 'TF loaded', '1 target BS'],
    ['STI', 'IRET', 'TF loaded', ''],
    ['STI', 'UD2', 'TF', '1 body BS, 6 body 0'],
  ])('%s, %s, %s', (first, body, and, expected) => {
    const isReal = body === 'INTO'
    for (const pc of isReal ? [real] : processors) {
      pc.cpu.reset(true)
      pc.cpu.load(initialState(pc.mode))
      const opening = first === 'STI' ? [0xfb] : first === 'MOV' ? MOV : isReal ? MOV_SS_16 : MOV_SS
      const [at, after] = [CODE + opening.length, CODE + opening.length + BODIES[body].length]
      pc.load(CODE, [...opening, ...BODIES[body], 0x90, 0x90])
      pc.load(TARGET, [0x90, 0x90])
      for (const vector of [1, 3, 4, 6, 14, 0x40]) {
        pc.vector(vector, HANDLERS + 0x10 * vector)
        pc.load(HANDLERS + 0x10 * vector, isReal ? [0x90, 0xcf] : [0x90, 0x48, 0xcf])
      }
      pc.write64(PAGE_TABLE + 8 * (ABSENT >>> 12), 0n)
      pc.load(DATA, [isReal ? 0 : 0x10, 0])
      pc.breakpoint(1, and === 'break after' ? after : at, 0)
      pc.breakpoint(0, DATA, enable(0, 3, 2) | (and.startsWith('break') ? enable(1, 0) : 0))
      const sets = BigInt(and === 'TF loaded' ? S.FLAG_TF | 2 : 2)
      if (!isReal) {
        // User data before user code, as SYSRET wants them.
        pc.write64(GDT + 0x18, 0x00cf_f300_0000_ffffn)
        pc.write64(GDT + 0x20, 0x00af_fb00_0000_ffffn)
        pc.cpu.u64[S.S_EFER >>> 3] = 0x501n
        pc.cpu.u64[S.S_STAR >>> 3] = 0x0010_0008n << 32n
        pc.cpu.u64[S.S_LSTAR >>> 3] = BigInt(TARGET)
        pc.cpu.u64[S.S_SFMASK >>> 3] = BigInt(S.FLAG_TF)
      }
      pc.setRegister('rcx', TARGET)
      pc.setRegister('r11', sets)
      if (body === 'IRET') {
        const stack = STACK - 0x100
        pc.setRegister('rsp', stack)
        for (const [i, value] of [BigInt(TARGET), 8n, sets, BigInt(stack), 0x10n].entries())
          pc.write64(stack + 8 * i, value)
      }
      pc.cpu.setRflags(2 | (and === 'TF' ? S.FLAG_TF : 0) | (isReal ? 0x800 : 0))
      const fault = /(6|14) body 0$/.exec(expected)
      const stop = fault === null ? 0 : HANDLERS + 0x10 * Number(fault[1]) + 1
      const places = { [at]: 'body', [after]: 'after', [TARGET]: 'target' }
      const end = (rip: number): boolean => rip === after + 1 || rip === TARGET + 1 || rip === stop
      expect(deliveries(pc, end, places)).toBe(expected)
    }
  })
})

test('traps that MOV SS and SYSRET have interpreted come compiled as well', () => {
  const pair = bothWays({
    code: (asm) => {
      const loop = asm.mov(x86.ecx, 40).here()
      asm.mov(x86.ss, x86.word(DATA)).db(0xf1)
      asm.mov(x86.ss, x86.word(DATA)).inc(x86.rax)
      asm.mov(x86.ss, x86.word(DATA)).db(0xcc)
      asm
        .mov(x86.rsi, x86.rcx)
        .mov(x86.ecx, TARGET)
        .mov(x86.r11d, S.FLAG_TF | 2)
      asm.db(0x48, 0x0f, 0x07).bind(asm.label('back')).mov(x86.rcx, x86.rsi)
      asm.dec(x86.ecx).jnz(loop).hlt()
    },
    prepare: (pc, at) => {
      pc.load(DATA, [0x10, 0])
      pc.breakpoint(0, DATA, enable(0, 3, 2))
      pc.cpu.u64[S.S_EFER >>> 3] = 0x501n
      pc.cpu.u64[S.S_STAR >>> 3] = 0x0010_0008n << 32n
      pc.vector(1, HANDLER)
      pc.vector(3, HANDLERS)
      pc.load(HANDLERS, [0x48, 0xcf])
      pc.load(TARGET, [0x90])
      // Counts, by what it was and whether SYSRET has led there, from where it goes back to the loop at once.
      pc.program((asm) => {
        const end = asm.label('end')
        asm
          .push(x86.rax)
          .mov(x86.rax, x86.dr6)
          .and(x86.eax, 0xe00f)
          .inc(x86.dword(x86.rax, { disp: COUNTS }))
        asm.xor(x86.eax, x86.eax).mov(x86.dr6, x86.rax)
        asm.cmp(x86.qword(x86.rsp, { disp: 8 }), TARGET).jnz(end)
        asm.inc(x86.dword(COUNTS + 2 * 0x4000)).mov(x86.dword(x86.rsp, { disp: 8 }), at('back'))
        asm
          .mov(x86.dword(x86.rsp, { disp: 16 }), 8)
          .mov(x86.dword(x86.rsp, { disp: 24 }), 2)
          .mov(x86.dword(x86.rsp, { disp: 40 }), 0x10)
        asm.bind(end).pop(x86.rax).iretq()
      }, HANDLER)
    },
  })
  for (const pc of pair) {
    expect(pc.run(20_000).reason).toBe('hlt')
    expect([B0, BS, 2 * BS].map((at) => pc.read32(COUNTS + at))).toEqual([120, 40, 40])
  }
  expectAlike(pair)
})

describe('I/O breakpoints and general detect', () => {
  test.each([
    { de: true, hit: true },
    { de: false, hit: false },
  ])('OUT with CR4.DE = $de: trap $hit', ({ de, hit }) => {
    const { pc, at } = debugged((asm) =>
      asm.mov(x86.edx, 0x3f8).out(x86.dx, x86.al).bind(asm.label('after')).nop().hlt(),
    )
    if (de) pc.cpu.u32[S.S_CR4 >>> 2]! |= CR4_DE
    pc.breakpoint(0, 0x3f8, enable(0, 2))
    pc.run()
    expect(traps(pc)).toEqual(hit ? [[at('after'), B0]] : [])
  })

  test('MOV DR under DR7.GD faults, and the handler may use the debug registers', () => {
    const { pc, at } = debugged((asm) => {
      asm.bind(asm.label('mov')).mov(x86.rdx, x86.dr7)
      asm.hlt()
    })
    pc.breakpoint(0, 0, 0x2000)
    expect(pc.run().reason).toBe('hlt')
    expect(traps(pc)).toEqual([[at('mov'), BD]])
    expect(pc.register('rdx')).toBe(0x400n)
  })
})
