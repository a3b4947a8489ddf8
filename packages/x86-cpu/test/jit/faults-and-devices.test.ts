/** Instructions of a unit that fault, meet a device or need the interpreter: the state is exact where that happens. */
import * as x86 from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { type BareCpu, PAGE_TABLE } from '../support/bare-cpu.ts'
import { EAGER_JIT } from '@retrap/tooling/jit'
import { expectAlike, bothWays, handler, patiently, runBothWays } from '../support/both-ways.ts'

const test = sliceTests(7)

/** The loops go from this page to the next one, which is special. */
const FIRST_PAGE = 0x10
const SPECIAL_PAGE = 0x11
const PAGE_FAULT = 14
const INTERRUPT = 0x40
const ROUNDS = 64
const STEP = 16

/** String instructions that use RSI or RDI from there on, and RCX. */
const strings = (emit: (asm: Assembler) => void, count: number): ((asm: Assembler) => void) => {
  return (asm) => {
    asm.mov(x86.r8, x86.rcx).mov(x86.r9, x86.rsi).mov(x86.rdi, x86.rsi).mov(x86.ecx, count)
    emit(asm)
    asm.mov(x86.rcx, x86.r8).mov(x86.rsi, x86.r9)
  }
}

/** Instructions with an operand at RSI. Those of the x87 and the last ones are called by a unit, the others are in it. */
const ACCESSES: Readonly<Record<string, (asm: Assembler) => void>> = {
  'a load': (asm) => asm.mov(x86.rax, x86.ptr(x86.rsi)),
  'a store': (asm) => asm.mov(x86.ptr(x86.rsi), x86.rcx),
  'ADC to memory': (asm) => asm.adc(x86.ptr(x86.rsi), x86.rcx),
  'CMP with memory': (asm) => asm.cmp(x86.qword(x86.rsi), 0x55),
  XCHG: (asm) => asm.xchg(x86.ptr(x86.rsi), x86.rdx),
  CMPXCHG: (asm) => asm.lock().cmpxchg(x86.ptr(x86.rsi), x86.rdx),
  'MOVUPS from memory': (asm) => asm.movups(x86.xmm0, x86.ptr(x86.rsi)),
  'MOVAPS to memory': (asm) => asm.movaps(x86.ptr(x86.rsi), x86.xmm1),
  'ADDSD with memory': (asm) => asm.addsd(x86.xmm1, x86.qword(x86.rsi)),
  'a push to there': (asm) =>
    asm
      .mov(x86.rdi, x86.rsp)
      .lea(x86.rsp, x86.ptr(x86.rsi, { disp: 8 }))
      .push(x86.rcx)
      .mov(x86.rsp, x86.rdi),
  MOVSQ: strings((asm) => asm.mov(x86.edi, 0x9200).movsq(), 0),
  STOSD: strings((asm) => asm.stosd(), 0),
  'REP MOVSB from there': strings((asm) => asm.mov(x86.edi, 0x9200).rep().movsb(), 20),
  'REP MOVSQ to there': strings((asm) => asm.mov(x86.esi, 0x9100).rep().movsq(), 3),
  'REP STOSW': strings((asm) => asm.rep().stosw(), 9),
  'REP LODSD': strings((asm) => asm.rep().lodsd(), 5),
  'REPE CMPSD': strings((asm) => asm.mov(x86.edi, 0x9300).repe().cmpsd(), 3),
  'REPNE SCASB': strings((asm) => asm.mov(x86.eax, x86.ecx).repne().scasb(), 18),
  'FLD and FSTP': (asm) => asm.fld(x86.qword(x86.rsi)).fstp(x86.tbyte(0x9000)),
  'FSTP to there': (asm) => asm.fild(x86.word(0x9000)).fstp(x86.qword(x86.rsi)),
  'FADD with an index': (asm) =>
    asm
      .lea(x86.rdi, x86.ptr(x86.rsi, { index: x86.rcx, scale: 8, disp: -8 * 1024 }))
      .mov(x86.rdx, x86.rcx)
      .neg(x86.rdx)
      .fld1()
      .fadd(x86.qword(x86.rdi, { index: x86.rdx, scale: 8, disp: 8 * 1024 }))
      .fstp(x86.st0),
  CMPXCHG16B: (asm) => asm.lock().cmpxchg16b(x86.xmmword(x86.rsi)),
  GF2P8MULB: (asm) => asm.gf2p8mulb(x86.xmm0, x86.xmmword(x86.rsi)),
}

/** A loop of an access with flags before it, which it has or keeps, and after it. */
function loop(asm: Assembler, access: (asm: Assembler) => void): void {
  const again = asm.label('again')
  asm
    .fninit()
    .sti()
    .mov(x86.ecx, ROUNDS)
    .mov(x86.esi, (SPECIAL_PAGE << 12) - (ROUNDS / 2) * STEP)
    .bind(again)
  asm.lea(x86.rdx, x86.ptr(x86.rcx, { index: x86.rcx, scale: 4 })).cmp(x86.rdx, 77)
  access(asm)
  asm.adc(x86.rbx, x86.rdx).add(x86.rsi, STEP).dec(x86.ecx).jne(again).hlt()
}

function fillData(pc: BareCpu): void {
  pc.fill64(FIRST_PAGE << 12, (SPECIAL_PAGE + 1) << 12, (at) => BigInt(at) * 0x1_2345_6789n)
}

/** The end of a handler of page faults, which has pushed RAX. */
const mapAndReturn = (asm: Assembler, page: number): Assembler =>
  asm
    .mov(x86.qword(PAGE_TABLE + 8 * page), (page << 12) | 7)
    .pop(x86.rax)
    .add(x86.rsp, 8)
    .iretq()

/** Accesses of units that leave where they miss the TLB, and of units that make such an access by a call in place. */
const WAYS = Object.entries(ACCESSES).flatMap(([name, access]) => [
  { name, way: 'leaving', access, jit: { ...EAGER_JIT, misses: 1024 } },
  { name, way: 'in place', access, jit: { ...EAGER_JIT, misses: 1 } },
])

describe.each(WAYS)('$name in a loop, $way', ({ access, jit }) => {
  const play = (prepare: (pc: BareCpu) => void): readonly [BareCpu, BareCpu] =>
    runBothWays({
      jit,
      code: (asm) => loop(asm, access),
      prepare: (pc) => {
        fillData(pc)
        prepare(pc)
      },
    })

  test('faults with the state before it, and goes on when the page is there', () => {
    const [plain] = play((pc) => {
      pc.write64(PAGE_TABLE + 8 * SPECIAL_PAGE, 0n)
      // The handler stores what it was called with, and maps the page.
      handler(pc, PAGE_FAULT, (asm) => {
        asm.push(x86.rax)
        for (let i = 0; i < 6; i++)
          asm.mov(x86.rax, x86.qword(x86.rsp, { disp: 8 * (i + 1) })).mov(x86.qword(0x9100 + 8 * i), x86.rax)
        mapAndReturn(asm, SPECIAL_PAGE)
      })
    })
    expect(plain.cpu.counts.faults).toBe(1)
  })

  test.each([0, 1, 3])('meets a device that answers when it has been asked %d times more', (delay) => {
    const [plain] = play((pc) => {
      let asked = 0
      const isLate = (): boolean => {
        pc.host.seen.push([...pc.cpu.registers.general].join(' '))
        return asked++ % (delay + 1) !== delay
      }
      pc.host.devices.set(SPECIAL_PAGE, {
        read: (offset) => (isLate() ? undefined : BigInt(offset) * 0x0123_4567_89abn),
        write: () => !isLate(),
      })
    })
    expect(plain.host.seen.length).toBeGreaterThanOrEqual(ROUNDS / 2)
  })

  test('meets a device that requests an interrupt: it is taken before the next instruction', () => {
    const [plain] = play((pc) => {
      let asked = 0
      const ask = (): void => {
        if (asked++ % 5 === 0) pc.interrupt(INTERRUPT)
      }
      pc.host.devices.set(SPECIAL_PAGE, {
        read(offset) {
          ask()
          return BigInt(offset)
        },
        write() {
          ask()
          return true
        },
      })
      // Sums up where it comes: the pushed RIP and flags.
      handler(pc, INTERRUPT, (asm) => {
        asm
          .push(x86.rax)
          .mov(x86.rax, x86.qword(x86.rsp, { disp: 8 }))
          .add(x86.qword(0x9100), x86.rax)
        asm
          .mov(x86.rax, x86.qword(x86.rsp, { disp: 24 }))
          .imul(x86.rax, x86.rax, 3)
          .add(x86.qword(0x9108), x86.rax)
          .pop(x86.rax)
          .iretq()
      })
    })
    expect(plain.cpu.counts.interrupts).toBeGreaterThan(3)
  })

  test('finds that its frame has become read-only memory while a device was asked', () => {
    runBothWays({
      jit,
      code: (asm) =>
        loop(asm, (a) => {
          access(a)
          a.mov(x86.rdi, x86.ptr(0x2_0000))
        }),
      prepare: (pc) => {
        fillData(pc)
        let reads = 0
        pc.host.devices.set(0x20, {
          read() {
            reads++
            if (reads === 20 || reads === 45) {
              const frame = reads === 20 ? FIRST_PAGE : SPECIAL_PAGE
              pc.host.rom.add(frame)
              pc.cpu.mapChanged()
            }
            return 1n
          },
          write: () => true,
        })
      },
    })
  })
})

/** Accesses that must be aligned never lie in two pages. */
const UNALIGNED = WAYS.filter(({ name }) => !/MOVAPS|CMPXCHG16B|GF2P8MULB/.test(name))

describe.each(UNALIGNED)('$name in two pages, $way', ({ access, jit }) => {
  const DEVICE_PAGE = 0x30
  const SECOND_PAGE = 0x32
  /** A loop that accesses a device at first, so that units learn of it, and then the last bytes before the second page. */
  const code = (asm: Assembler): void => {
    const again = asm.label('again')
    asm.fninit().mov(x86.ecx, 40).bind(again)
    asm
      .mov(x86.esi, DEVICE_PAGE << 12)
      .mov(x86.edi, (SECOND_PAGE << 12) - 3)
      .cmp(x86.ecx, 20)
      .cmovb(x86.rsi, x86.rdi)
    access(asm)
    asm.adc(x86.rbx, x86.rdx).dec(x86.ecx).jne(again).hlt()
  }
  const answer = { read: (offset: number) => BigInt(offset) * 0x0123_4567_89abn, write: () => true }

  test('faults at the second page before the first one is touched', () => {
    const [plain] = runBothWays({
      jit,
      code,
      prepare: (pc) => {
        pc.host.devices.set(DEVICE_PAGE, answer)
        pc.write64(PAGE_TABLE + 8 * SECOND_PAGE, 0n)
        pc.write64((SECOND_PAGE << 12) - 8, 0x1122_3344_5566_7788n)
        // The handler adds up the bytes before the second page, and maps it.
        handler(pc, PAGE_FAULT, (asm) => {
          asm
            .push(x86.rax)
            .mov(x86.rax, x86.qword((SECOND_PAGE << 12) - 8))
            .add(x86.qword(0x9100), x86.rax)
          mapAndReturn(asm, SECOND_PAGE)
        })
      },
    })
    expect(plain.cpu.counts.faults).toBe(1)
  })

  test('meets a device in the second page', () => {
    const [plain] = runBothWays({
      jit,
      code,
      prepare: (pc) => {
        for (const page of [DEVICE_PAGE, SECOND_PAGE]) pc.host.devices.set(page, answer)
      },
    })
    expect(plain.host.seen.length).toBeGreaterThan(39)
  })
})

describe('IN and OUT in a loop', () => {
  const PORT = 0x60
  const portLoop = (asm: Assembler): void => {
    const again = asm.label('again')
    asm.sti().mov(x86.ecx, ROUNDS).mov(x86.edx, PORT).bind(again)
    asm
      .lea(x86.rdi, x86.ptr(x86.rcx, { index: x86.rcx, scale: 4 }))
      .cmp(x86.rdi, 77)
      .in(x86.al, PORT)
      .adc(x86.rbx, x86.rax)
      .out(x86.dx, x86.eax)
      .adc(x86.rsi, x86.rbx)
      .in(x86.eax, x86.dx)
      .sbb(x86.rbx, x86.rax)
      .dec(x86.ecx)
      .jne(again)
      .hlt()
  }

  test.each([0, 1, 3])(
    'meet a port that answers when it has been asked %d times more, and sees the registers',
    (delay) => {
      const [plain] = runBothWays({
        code: portLoop,
        prepare: (pc) => {
          let asked = 0
          const isLate = (): boolean => {
            const { general, rip } = pc.cpu.registers
            pc.host.seen.push(`${rip.toString(16)}: ${[...general].join(' ')}`)
            return asked++ % (delay + 1) !== delay
          }
          pc.host.ports.set(PORT, {
            read: (_, size) => (isLate() ? undefined : BigInt(asked * size)),
            write: () => !isLate(),
          })
        },
      })
      expect(plain.host.seen.filter((line) => line.startsWith('port'))).toHaveLength(3 * ROUNDS)
    },
  )

  test('meet a port that requests an interrupt: it is taken before the next instruction', () => {
    const [plain] = runBothWays({
      code: portLoop,
      prepare: (pc) => {
        let asked = 0
        const ask = (): void => {
          if (asked++ % 5 === 0) pc.interrupt(INTERRUPT)
        }
        pc.host.ports.set(PORT, {
          read: () => {
            ask()
            return BigInt(asked)
          },
          write: () => {
            ask()
            return true
          },
        })
        handler(pc, INTERRUPT, (asm) => asm.imul(x86.rbx, x86.rbx, 3).add(x86.rbx, x86.qword(x86.rsp)).iretq())
      },
    })
    expect(plain.cpu.counts.interrupts).toBeGreaterThan(30)
  })
})

describe.each(Object.entries(ACCESSES))('%s, which faults in each round of a loop', (_, access) => {
  const FIRST = 0x80
  const PAGES = 64

  test('faults in its unit, with one walk, and goes on when the page is there', () => {
    const [plain, compiled] = runBothWays({
      jit: { ...EAGER_JIT, misses: PAGES / 2 },
      code: (asm) => {
        const again = asm.label('again')
        asm
          .fninit()
          .mov(x86.ecx, PAGES)
          .mov(x86.esi, FIRST << 12)
          .bind(again)
        asm.lea(x86.rdx, x86.ptr(x86.rcx, { index: x86.rcx, scale: 4 })).cmp(x86.rdx, 77)
        access(asm)
        asm.adc(x86.rbx, x86.rdx).add(x86.rsi, 0x1000).dec(x86.ecx).jne(again).hlt()
      },
      prepare: (pc) => {
        for (let i = 0; i < PAGES; i++) pc.write64(PAGE_TABLE + 8 * (FIRST + i), 0n)
        // The handler adds up what it was called with, and maps the page.
        handler(pc, PAGE_FAULT, (asm) => {
          asm.push(x86.rax).push(x86.rdx)
          for (let i = 0; i < 6; i++)
            asm.mov(x86.rax, x86.qword(x86.rsp, { disp: 8 * (i + 2) })).add(x86.qword(0x9100 + 8 * i), x86.rax)
          asm
            .mov(x86.rax, x86.cr2)
            .and(x86.rax, -0x1000)
            .mov(x86.rdx, x86.rax)
            .shr(x86.rdx, 9)
            .or(x86.rax, 7)
            .mov(x86.qword(x86.rdx, { disp: PAGE_TABLE }), x86.rax)
            .pop(x86.rdx)
            .pop(x86.rax)
            .add(x86.rsp, 8)
            .iretq()
        })
      },
    })
    expect(plain.cpu.counts.faults).toBe(PAGES)
    // Both look twice for each page: in vain, and when it is there.
    expect(compiled.cpu.slowAccesses).toBeLessThan(plain.cpu.slowAccesses + PAGES / 4)
  })
})

test('a division by zero in a unit faults with the flags of what is before it', () => {
  const [plain] = runBothWays({
    code: (asm) => {
      const again = asm.label('again')
      asm.mov(x86.ecx, 40).bind(again)
      asm
        .lea(x86.rdi, x86.ptr(x86.rcx, { disp: -10 }))
        .mov(x86.rax, x86.rcx)
        .xor(x86.rdx, x86.rdx)
        .cmp(x86.rcx, 11)
      asm.div(x86.rdi).adc(x86.rbx, x86.rax).dec(x86.ecx).jne(again).hlt()
    },
    prepare: (pc) =>
      // Steps over DIV, which has three bytes.
      handler(pc, 0, (asm) => asm.pop(x86.rax).mov(x86.qword(0x9100), x86.rax).add(x86.rax, 3).push(x86.rax).iretq()),
  })
  expect(plain.cpu.counts.faults).toBe(1)
})

test('flags that a called form leaves, and flags that it reads, are those of the program', () => {
  runBothWays({
    code: (asm) => {
      const [again, below] = [asm.label('again'), asm.label('below')]
      asm.fninit().mov(x86.esi, 100).fld1().fldz().bind(again)
      asm.mov(x86.rdx, x86.rsi).and(x86.rdx, 3).cmp(x86.rdx, 2).fcmovb(x86.st0, x86.st1)
      asm.adc(x86.rbx, 0).fcomi(x86.st0, x86.st1).jb(below).add(x86.rbx, 5).bind(below)
      asm
        .setp(x86.cl)
        .fnstsw(x86.ax)
        .add(x86.rbx, x86.rax)
        .add(x86.rbx, x86.rcx)
        .fxch(x86.st1)
        .dec(x86.esi)
        .jne(again)
        .hlt()
    },
  })
})

test('an interrupt is taken at the same instruction of a loop that no device is in', () => {
  const pair = bothWays({
    code: (asm) => {
      const [again, skip] = [asm.label('again'), asm.label('skip')]
      asm.sti().mov(x86.rcx, -1).bind(again)
      asm.add(x86.rax, x86.rcx).test(x86.rax, 8).je(skip).xor(x86.rdx, x86.rax).bind(skip).dec(x86.rcx).jne(again).hlt()
    },
    prepare: (pc) =>
      handler(pc, INTERRUPT, (asm) => asm.imul(x86.rbx, x86.rbx, 3).add(x86.rbx, x86.qword(x86.rsp)).iretq()),
  })
  for (let turn = 1; turn < 200; turn++) {
    for (const pc of pair) {
      if (turn % 3 === 0) pc.interrupt(INTERRUPT)
      patiently(pc, turn)
    }
    expect([pair[1].rip, pair[1].cpu.retired]).toEqual([pair[0].rip, pair[0].cpu.retired])
  }
  expectAlike(pair)
})
