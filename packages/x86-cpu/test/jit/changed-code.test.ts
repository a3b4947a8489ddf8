/** Units whose code is written or mapped elsewhere: the change takes effect at the next instruction. */
import {
  byte,
  dil,
  dl,
  dword,
  dx,
  eax,
  ebx,
  ecx,
  edx,
  ptr,
  qword,
  r8,
  rax,
  rbx,
  rcx,
  rdi,
  rdx,
  r9,
  r9d,
  rsi,
  rsp,
  word,
} from '@retrap/x86-assembler'
import type { Assembler, Label } from '@retrap/x86-assembler'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { Vcpu } from '../../src/index.ts'
import { BareCpu, BareHost, CODE, PAGE_TABLE, initialState } from '../support/bare-cpu.ts'
import { handler, runBothWays } from '../support/both-ways.ts'
import { EAGER_JIT } from '@retrap/tooling/jit'
import { S_GPR, S_RIP } from '../../src/state/state-layout.ts'

const test = sliceTests(7)

const PAGE_PRESENT = 1
const DATA = 0x1_0000
/** The second page of the programs, and the frame that it is mapped to in turn with its own. */
const SECOND = 0x2000
const OTHER_FRAME = 0x51

/** Ways to write the low byte of an immediate operand at RSI. */
const WRITES: Readonly<Record<string, (asm: Assembler) => void>> = {
  'MOV of a byte': (asm) => asm.mov(byte(rsi), dl),
  'MOV of eight bytes that end there': (asm) => {
    asm
      .mov(rdi, ptr(rsi, { disp: -7 }))
      .rol(rdi, 8)
      .mov(dil, dl)
      .ror(rdi, 8)
      .mov(ptr(rsi, { disp: -7 }), rdi)
  },
  'ADD to memory': (asm) => asm.add(byte(rsi), 1),
  XCHG: (asm) => asm.mov(eax, edx).xchg(byte(rsi), dl),
  'REP STOSB': (asm) => asm.mov(r9, rcx).mov(rdi, rsi).mov(eax, edx).mov(ecx, 1).rep().stosb().mov(rcx, r9),
  STOSB: (asm) => asm.mov(rdi, rsi).mov(eax, edx).stosb(),
  'a store of the x87': (asm) => asm.mov(word(DATA), dx).fild(word(DATA)).fistp(word(rsi)),
}

/** With `misses`, units learn after so many of them that an access writes code, and make it by a call in place. */
const STORES = Object.entries(WRITES).flatMap(([name, write]) => [1024, 1].map((misses) => ({ name, write, misses })))

describe.each(STORES)('$name into the unit that executes it, $misses misses', ({ write, misses }) => {
  test.each([0, 1, 2, 5])('reaches an instruction that follows after %d others', (between) => {
    const [plain] = runBothWays({
      jit: { ...EAGER_JIT, misses },
      code: (asm) => {
        const [again, patched] = [asm.label('again'), asm.label('patched')]
        asm.fninit().mov(ecx, 200).lea(rsi, ptr(patched)).add(rsi, 2).bind(again)
        asm.mov(edx, ecx).and(edx, 0x7f).test(ecx, 15).jne(patched)
        write(asm)
        for (let i = 0; i < between; i++) asm.lea(rax, ptr(rax, { index: rcx }))
        asm.bind(patched).imul(ebx, ebx, 0x1234)
        asm.add(ebx, 0x1111).dec(ecx).jne(again).hlt()
      },
    })
    expect(plain.engine.codeCache.invalidations).toBeGreaterThan(10)
  })

  test('reaches it after stores to data in the same page', () => {
    const [plain] = runBothWays({
      jit: { ...EAGER_JIT, misses },
      code: (asm) => {
        const [again, patched, data] = [asm.label('again'), asm.label('patched'), asm.label('data')]
        asm.fninit().mov(ecx, 400).lea(r8, ptr(patched)).add(r8, 2).bind(again)
        asm.mov(edx, ecx).and(edx, 0x7f).lea(rsi, ptr(data)).add(rsi, 0x200).test(ecx, 63).cmove(rsi, r8)
        write(asm)
        asm.bind(patched).imul(ebx, ebx, 0x1234)
        asm.add(ebx, 0x1111).dec(ecx).jne(again).hlt().bind(data)
      },
    })
    expect(plain.engine.codeCache.invalidations).toBeGreaterThan(5)
  })
})

/** A loop over the end of a page: ADD of an immediate operand in the first page, and in the second. */
function longLoop(asm: Assembler): void {
  const [again, second] = [asm.label('again'), asm.label('second')]
  asm.bind(again).bind(asm.label('first')).add(rax, 0x1111_1111)
  asm.fill(0x1ffe - 0x1ff0 - 7, 0x90).jmp(second)
  asm.bind(second).add(rax, 0x2222_2222).dec(rcx).jne(again).hlt()
}
const LOOP = 0x1ff0
/** Bytes of ADD RAX before its immediate operand. */
const OPERAND = 2

/** Another processor, which increments the byte at an address when it is told to. */
function writer(pc: BareCpu): (address: number) => void {
  const host = new BareHost(pc.memory, pc.host.ramMa)
  const other = new Vcpu(pc.engine, host, { tscHz: 1e9, crystalHz: 1e9 })
  host.attach(other)
  other.reset(true)
  other.load(initialState('long'))
  pc.program((asm) => {
    const again = asm.label('again')
    asm.bind(again).inc(byte(rdi)).jmp(again)
  }, 0x4000)
  return (address) => {
    other.u64[S_RIP >>> 3] = 0x4000n
    other.u64[(S_GPR >>> 3) + 7] = BigInt(address)
    expect(other.run(1)).toEqual({ reason: 'budget' })
  }
}

describe.each(['first', 'second'])('code of a unit, in its %s page', (page) => {
  /** Runs the loop in both ways, with writes between turns; gives the sums. */
  const sums = (prepare: (pc: BareCpu) => (address: number) => void): readonly bigint[] =>
    [false, EAGER_JIT].map((jit) => {
      const pc = new BareCpu({ jit })
      const at = pc.program(longLoop, LOOP)
      const write = prepare(pc)
      pc.rip = LOOP
      pc.setRegister('rcx', -1)
      for (let turn = 0; turn < 6; turn++) {
        pc.turn(500 + turn)
        write(at(page) + OPERAND)
      }
      pc.turn(500)
      expect(pc.engine.jitCounts?.units ?? 1).toBeGreaterThan(0)
      return pc.register('rax')
    })

  test('may be written by a device between two turns', () => {
    const [plain, compiled] = sums((pc) => {
      let value = 0
      return (address) => pc.load(address, [value++])
    })
    expect(compiled).toBe(plain)
  })

  test('may be written by another vCPU that has written to the frame before there was a unit', () => {
    const [plain, compiled] = sums((pc) => {
      const write = writer(pc)
      write(0x1800)
      write(0x2800)
      return write
    })
    expect(compiled).toBe(plain)
  })
})

const START = 0x1f80

/** Ways from the first page of a loop into the second and back. At `second` is ADD, whose operand the frames differ in. */
const WAYS: Readonly<Record<string, (asm: Assembler, again: Label, second: Label) => void>> = {
  'by falling through': (asm, again, second) => {
    asm.org(SECOND, NOP).bind(second).add(rax, 0x2222_2222).dec(rcx).jne(again).hlt()
  },
  'within an instruction': (asm, again, second) => {
    asm
      .org(SECOND - OPERAND, NOP)
      .bind(second)
      .add(rax, 0x2222_2222)
      .dec(rcx)
      .jne(again)
      .hlt()
  },
  'by a jump': (asm, again, second) => {
    asm.jmp(second).org(SECOND).bind(second).add(rax, 0x2222_2222).dec(rcx).jne(again).hlt()
  },
  'by a conditional jump': (asm, again, second) => {
    asm.test(rcx, rcx).jne(second).hlt().org(SECOND).bind(second).add(rax, 0x2222_2222).dec(rcx).jne(again).hlt()
  },
  'by a call and a return': (asm, again, second) => {
    asm.call(second).dec(rcx).jne(again).hlt().org(SECOND).bind(second).add(rax, 0x2222_2222).ret()
  },
  'by a return': (asm, again, second) => {
    asm.push(second).ret().org(SECOND).bind(second).add(rax, 0x2222_2222).dec(rcx).jne(again).hlt()
  },
  'by a jump through a table': (asm, again, second) => {
    const [table, first] = [asm.label('table'), asm.label('first')]
    asm
      .mov(edx, ecx)
      .and(edx, 1)
      .lea(rsi, ptr(table))
      .jmp(qword(rsi, { index: rdx, scale: 8 }))
    asm.bind(first).add(rax, 7).dec(rcx).jne(again).hlt()
    asm.align(8).bind(table).dq(first).dq(second).org(SECOND)
    asm.bind(second).add(rax, 0x2222_2222).dec(rcx).jne(again).hlt()
  },
}
const NOP = 0x90
const SECOND_ENTRY = PAGE_TABLE + 8 * (SECOND >>> 12)
const BOTH_FRAMES = ((SECOND >>> 12) ^ OTHER_FRAME) << 12
const DEVICE = 0x20

/** Copies the second page to another frame, and changes the operand of its ADD. */
function copySecond(pc: BareCpu, second: number): void {
  for (let at = SECOND; at < SECOND + 0x100; at++) pc.load(at - SECOND + (OTHER_FRAME << 12), [pc.read8(at)])
  const operand = Math.max(second + OPERAND, SECOND)
  pc.load(operand - SECOND + (OTHER_FRAME << 12), [0x35, 0x33])
}

/** Before every 16th round is the code of `change`, from which a branch leads to the loop's unit at once. */
function remappedLoop(asm: Assembler, way: (typeof WAYS)[string], change: (asm: Assembler) => void): void {
  const [start, again, changing] = [asm.label('start'), asm.label('again'), asm.label('change')]
  asm.jmp(start).bind(changing)
  change(asm)
  asm.dec(ecx).jmp(again).bind(start).mov(ecx, 400).bind(again).test(ecx, 15).je(changing)
  way(asm, again, asm.label('second'))
}

describe.each(Object.entries(WAYS))('code that is entered %s', (_, way) => {
  test('may be mapped to another frame, with INVLPG', () => {
    const [plain] = runBothWays({
      at: START,
      code: (asm) => remappedLoop(asm, way, (a) => a.xor(dword(SECOND_ENTRY), BOTH_FRAMES).invlpg(byte(SECOND))),
      prepare: (pc, at) => copySecond(pc, at('second')),
    })
    expect(plain.register('rax') % 0x1111n).not.toBe(0n)
  })

  test('may be mapped to another frame while a device is asked', () => {
    runBothWays({
      at: START,
      code: (asm) => remappedLoop(asm, way, (a) => a.mov(edx, dword(DEVICE << 12))),
      prepare: (pc, at) => {
        copySecond(pc, at('second'))
        pc.host.devices.set(DEVICE, {
          read() {
            pc.write32(SECOND_ENTRY, pc.read32(SECOND_ENTRY) ^ BOTH_FRAMES)
            pc.cpu.mapChanged()
            return 0n
          },
          write: () => true,
        })
      },
    })
  })

  test('may be written in its second page alone', () => {
    const [plain] = runBothWays({
      at: START,
      // The immediate operand begins in the second page whatever the way is.
      code: (asm) => remappedLoop(asm, way, (a) => a.mov(edx, ecx).mov(byte(r9, { disp: SECOND }), dl)),
      prepare: (pc, at) => {
        const operand = Math.max(at('second') + OPERAND, SECOND)
        pc.cpu.u64[(S_GPR >>> 3) + 9] = BigInt(operand - SECOND + 1)
      },
    })
    expect(plain.engine.codeCache.invalidations).toBeGreaterThan(10)
  })

  test('may be taken away: the fetch faults, at the right address', () => {
    const [plain] = runBothWays({
      at: START,
      code: (asm) => remappedLoop(asm, way, (a) => a.and(dword(SECOND_ENTRY), ~PAGE_PRESENT).invlpg(byte(SECOND))),
      prepare: (pc, at) => {
        copySecond(pc, at('second'))
        handler(pc, 14, (asm) => {
          asm.xor(dword(SECOND_ENTRY), BOTH_FRAMES | PAGE_PRESENT)
          asm
            .push(rbx)
            .mov(rbx, qword(0x9100))
            .imul(rbx, rbx, 3)
            .add(rbx, qword(rsp, { disp: 16 }))
          asm.mov(qword(0x9100), rbx).pop(rbx).add(rsp, 8).iretq()
        })
      },
    })
    expect(plain.cpu.counts.faults).toBe(400 / 16)
  })
})

test('the displacement of a jump that ends a unit may be written, in a page that the unit has nothing else of', () => {
  const [plain] = runBothWays({
    at: SECOND - 0x100,
    code: (asm) => {
      const [again, added, go, end, jump] = ['again', 'added', 'go', 'end', 'jump'].map((name) => asm.label(name)) as [
        Label,
        Label,
        Label,
        Label,
        Label,
      ]
      asm.mov(ecx, 400).bind(again).add(rax, 0x1111).bind(added).dec(ecx).je(end).test(ecx, 15).jne(go)
      asm.xor(dword(SECOND), r9d).bind(go).jmp(jump).bind(end).hlt()
      asm
        .org(SECOND - 1, NOP)
        .bind(jump)
        .jmp(again)
    },
    // The jump leads to `again` and to `added` in turn.
    prepare: (pc, at) => {
      const [first, second] = ['again', 'added'].map((label) => at(label) - (SECOND + 4))
      pc.cpu.u64[(S_GPR >>> 3) + 9] = BigInt.asUintN(32, BigInt(first! ^ second!))
    },
  })
  expect(plain.engine.codeCache.invalidations).toBeGreaterThan(10)
  expect(plain.register('rax')).toBeLessThan(0x1111n * 300n)
})

test('one frame at two linear addresses has its units once, and each address its own results', () => {
  const ALIAS = 0x1f_0000
  const unitsWith = (second: number): number => {
    const [, compiled] = runBothWays({
      code: (asm) => {
        const [again, routine, own] = [asm.label('again'), asm.label('routine'), asm.label('own')]
        const [repeat, inner] = [asm.label('repeat'), asm.label('inner')]
        asm.mov(ebx, 60).bind(again).lea(rdx, ptr(routine))
        // In turn at its own address and at the other one.
        asm
          .test(ebx, 1)
          .je(own)
          .add(rdx, second - CODE)
          .bind(own)
        asm.call(rdx).dec(ebx).jne(again).hlt()
        asm
          .org(CODE + 0x100)
          .bind(routine)
          .mov(ecx, 20)
          .bind(repeat)
        // The return address and the address of a place in the code are those of the address that is executed.
        asm.call(inner).lea(rdi, ptr(inner)).add(rax, rdi).dec(ecx).jne(repeat).ret()
        asm.bind(inner).imul(rax, rax, 3).add(rax, ptr(rsp)).ret()
      },
      prepare: (pc) => pc.write64(PAGE_TABLE + 8 * (ALIAS >>> 12), BigInt(CODE | 7)),
    })
    return compiled.engine.jitCounts?.units ?? 0
  }
  // Returns to the other page leave a unit, whose targets are units of their own; nothing is there for each address.
  expect(unitsWith(ALIAS)).toBeLessThan(2 * unitsWith(CODE))
})
