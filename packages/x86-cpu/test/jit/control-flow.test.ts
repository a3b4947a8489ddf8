/** Where control goes in compiled code, and where turns end there. */
import { cl, dl, ebx, ecx, edx, esi, ptr, qword, r8, rax, rbx, rcx, rdi, rdx, rsi, st0 } from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { bothWays, expectAlike, runBothWays } from '../support/both-ways.ts'

const test = sliceTests(7)

/** Programs that never end; control comes back to a loop's head in different ways. */
const LOOPS: Readonly<Record<string, (asm: Assembler) => void>> = {
  'a loop of one instruction': (asm) => {
    const again = asm.label('again')
    asm.mov(rcx, -1).bind(again).jmp(again)
  },
  'a loop with a forward branch': (asm) => {
    const [again, skip] = [asm.label('again'), asm.label('skip')]
    asm.bind(again).add(rax, rcx).test(rax, 8).je(skip).xor(rdx, rax).bind(skip).dec(rcx).jmp(again)
  },
  'a loop in a loop': (asm) => {
    const [outer, inner] = [asm.label('outer'), asm.label('inner')]
    asm.bind(outer).mov(ecx, 3).bind(inner).add(rax, rcx).dec(ecx).jne(inner).inc(rbx).jmp(outer)
  },
  'a loop with a call': (asm) => {
    const [again, routine] = [asm.label('again'), asm.label('routine')]
    asm.bind(again).call(routine).inc(rbx).jmp(again).bind(routine).add(rax, rbx).ret()
  },
  'a loop over the end of a page': (asm) => {
    const again = asm.label('again')
    asm.bind(again).add(rax, rcx).org(0x2000, 0x90).inc(rcx).jmp(again)
  },
  'a loop that is entered at two places': (asm) => {
    const [outer, head, middle] = [asm.label('outer'), asm.label('head'), asm.label('middle')]
    asm.bind(outer).mov(ecx, 5).inc(rbx).test(rbx, 1).je(middle)
    asm.bind(head).add(rax, rcx).bind(middle).imul(rax, rax, 3).dec(ecx).jne(head).jmp(outer)
  },
  'a loop by a computed jump': (asm) => {
    const [again, table, first, second] = [
      asm.label('again'),
      asm.label('table'),
      asm.label('first'),
      asm.label('second'),
    ]
    asm
      .lea(rsi, ptr(table))
      .bind(again)
      .mov(edx, ebx)
      .and(edx, 1)
      .jmp(qword(rsi, { index: rdx, scale: 8 }))
    asm.bind(first).add(rax, 3).inc(rbx).jmp(again).bind(second).xor(rax, rbx).inc(rbx).jmp(again)
    asm.align(8).bind(table).dq(first).dq(second)
  },
}

describe.each(Object.entries(LOOPS))('%s', (_, code) => {
  test('ends each turn at the same instruction, whatever the budget is', () => {
    const pair = bothWays({ at: 0x1fe0, code })
    const [plain, compiled] = pair
    for (let round = 0; round < 2; round++) {
      for (let budget = 1; budget < 60; budget++) {
        for (const pc of pair) expect(pc.turn(budget)).toEqual({ reason: 'budget' })
        expect([budget, compiled.rip, compiled.cpu.retired]).toEqual([budget, plain.rip, plain.cpu.retired])
        expect(compiled.cpu.materialiseFlags()).toBe(plain.cpu.materialiseFlags())
      }
      // What is compiled by now runs for longer.
      for (const pc of pair) pc.turn(5000)
    }
    expectAlike(pair)
  })

  test('ends a turn when it is told to stop', () => {
    const pair = bothWays({ at: 0x1fe0, code })
    for (const pc of pair) pc.turn(3000)
    for (const pc of pair) {
      const { retired } = pc.cpu
      pc.cpu.stop()
      expect(pc.cpu.run(1_000_000)).toEqual({ reason: 'budget' })
      expect(pc.cpu.retired - retired).toBeLessThan(100)
    }
    expectAlike(pair)
  })
})

/** Conditions over flags of all kinds of instructions that leave them. */
const FLAGS: Readonly<Record<string, (asm: Assembler) => void>> = {
  ADD: (asm) => asm.mov(rax, rcx).add(rax, rbx),
  'ADD of bytes': (asm) => asm.mov(edx, ecx).add(dl, 0x7e),
  SUB: (asm) => asm.mov(rax, rcx).sub(rax, rbx),
  CMP: (asm) => asm.cmp(rcx, rbx),
  AND: (asm) => asm.mov(rax, rcx).and(rax, rbx),
  'INC, with the carry of CMP': (asm) => asm.cmp(rcx, rbx).mov(rax, rcx).inc(rax),
  'DEC, with the carry of CMP': (asm) => asm.cmp(rcx, rbx).mov(rax, rcx).dec(rax),
  'ADC, with the carry of CMP': (asm) => asm.cmp(rcx, rbx).mov(rax, rcx).adc(rax, rbx),
  'SBB, with the carry of CMP': (asm) => asm.cmp(rcx, rbx).mov(rax, rcx).sbb(rax, rbx),
  NEG: (asm) => asm.mov(rax, rcx).neg(rax),
  'SHL by CL, which may be 0': (asm) => asm.cmp(rcx, rbx).mov(rax, rbx).and(ecx, 0x1f).shl(rax, cl),
  'SAR by 1': (asm) => asm.mov(rax, rcx).sar(rax, 1),
  'ROL, which keeps most flags': (asm) => asm.cmp(rcx, rbx).mov(rax, rcx).rol(rax, 5),
  BT: (asm) => asm.cmp(rcx, rbx).bt(rbx, rcx),
  IMUL: (asm) => asm.mov(rax, rcx).imul(rax, rbx),
  'BSF, of which 0 is one': (asm) => asm.cmp(rcx, rbx).mov(rdx, rcx).and(rdx, 6).bsf(rax, rdx),
}

/** All conditions, the bit of each in RDI; LEA leaves the flags alone. */
function conditions(asm: Assembler): void {
  for (const name of CONDITIONS) {
    asm
      .instruction(`SET${name}`, dl)
      .instruction('MOVZX', edx, dl)
      .lea(rdi, ptr(rdx, { index: rdi, scale: 2 }))
  }
  asm.ror(rdi, 5)
}
const CONDITIONS = ['O', 'NO', 'B', 'AE', 'E', 'NE', 'BE', 'A', 'S', 'NS', 'P', 'NP', 'L', 'GE', 'LE', 'G']

/** Ways from an instruction that leaves flags to those that read them. */
const READERS: Readonly<Record<string, (asm: Assembler, produce: (asm: Assembler) => void) => void>> = {
  'by SETcc': (asm, produce) => {
    produce(asm)
    conditions(asm)
  },
  'by Jcc': (asm, produce) => {
    produce(asm)
    for (const [i, name] of CONDITIONS.entries()) {
      const skip = asm.label(`skip ${i}`)
      asm
        .instruction(`J${name}`, skip)
        .lea(rdi, ptr(rdi, { index: rdi, disp: i + 1 }))
        .bind(skip)
    }
  },
  'by ADC': (asm, produce) => {
    produce(asm)
    asm.adc(rdi, rdi).rcl(rdi, 1)
  },
  'by PUSHF': (asm, produce) => {
    produce(asm)
    asm
      .pushfq()
      .pop(rdx)
      .lea(rdi, ptr(rdi, { index: rdx }))
  },
  'after a called instruction': (asm, produce) => {
    produce(asm)
    asm.fld1().fstp(st0)
    conditions(asm)
  },
  'after a read of a device': (asm, produce) => {
    produce(asm)
    asm.mov(rdx, ptr(0x2_0000))
    conditions(asm)
  },
  'where edges with flags of different instructions meet': (asm, produce) => {
    const [other, meet] = [asm.label('other'), asm.label('meet')]
    asm.test(esi, 1).je(other)
    produce(asm)
    asm.jmp(meet).bind(other).cmp(rcx, 5).bind(meet)
    conditions(asm)
  },
  'at the head of a loop': (asm, produce) => {
    const [head, end] = [asm.label('head'), asm.label('end')]
    asm.mov(r8, 3).cmp(rcx, 3).bind(head)
    conditions(asm)
    asm.dec(r8).je(end)
    produce(asm)
    asm.jmp(head).bind(end)
  },
}

describe.each(Object.entries(FLAGS))('flags of %s', (_, produce) => {
  test.each(Object.entries(READERS))('are read %s', (_, read) => {
    runBothWays({
      code: (asm) => {
        const again = asm.label('again')
        asm
          .fninit()
          .mov(esi, 40)
          .bind(again)
          .lea(rcx, ptr(rsi, { disp: -20 }))
          .mov(rbx, rsi)
          .imul(rbx, rbx, 0x6b)
        asm.ror(rbx, 3)
        read(asm, produce)
        asm.add(rdi, rax).dec(esi).jne(again).hlt()
      },
      prepare: (pc) => {
        let asked = 0
        pc.host.devices.set(0x20, { read: () => (asked++ % 2 === 0 ? undefined : 1n), write: () => true })
      },
    })
  })
})
