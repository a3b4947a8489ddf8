import { descriptor } from '@retrap/x86-assembler/guest-code'
import * as x86 from '@retrap/x86-assembler'
import { AT, guest, SELECTOR } from './bench.ts'

const GATE = 0x50
const GATE16 = 0x58
const CODE_DPL1 = 0x60
const DATA_DPL1 = 0x68
const CONFORMING = 0x70
const TASK_GATE = 0x78

const gate = (selector: number, offset: number, access: number, count: number): bigint =>
  (BigInt(offset) & 0xffffn) |
  (BigInt(selector) << 16n) |
  (BigInt(count) << 32n) |
  (BigInt(access) << 40n) |
  ((BigInt(offset) >> 16n) << 48n)

/** Call gates: parameters, levels, sizes, and what forbids them. */
export function callGates(): Uint8Array {
  return guest((bench) => {
    const { asm } = bench
    // Callee in RAM, so that gates can name it by a number: returns the sum of its stack's words in EAX.
    const stub = asm.label()
    const stubEnd = asm.label()
    const over = asm.label()
    asm.jmp(over)
    asm
      .bind(stub)
      .mov(x86.eax, x86.dword(x86.esp, { disp: 8 }))
      .shl(x86.eax, 8)
      .add(x86.eax, x86.dword(x86.esp, { disp: 12 }))
    asm.mov(x86.ecx, x86.ss).shl(x86.ecx, 24).add(x86.eax, x86.ecx).retf(8)
    asm.bind(stubEnd)
    asm.bind(over)
    asm.mov(x86.esi, stub).mov(x86.edi, AT.code).mov(x86.ecx, stubEnd.minus(stub)).rep().movsb()
    bench.describe(GATE, gate(SELECTOR.code, AT.code, 0xec, 2))
    bench.describe(GATE16, gate(SELECTOR.code, AT.code, 0xe4, 2))
    bench.describe(CODE_DPL1, descriptor(0, 0xf_ffff, 0xbb, 0xc))
    bench.describe(DATA_DPL1, descriptor(0, 0xf_ffff, 0xb3, 0xc))
    bench.describe(CONFORMING, descriptor(0, 0xf_ffff, 0x9f, 0xc))
    const user = (name: string, code: (a: typeof asm) => void, flags = 2): void => {
      bench.attempt(name, (a) => {
        const target = a.label()
        const done = a.label()
        bench.gate(0x31, SELECTOR.code, done, 0xee)
        bench.toUser(target, flags)
        a.bind(target)
        code(a)
        a.int(0x31)
        a.bind(done).add(x86.esp, 20).mov(x86.dx, SELECTOR.data).mov(x86.ds, x86.dx).mov(x86.es, x86.dx)
      })
    }
    bench.attempt('a gate from the same level', (a) => a.push(0x22).push(0x11).callf(x86.far(GATE, 0)))
    bench.attempt('the stack after it', (a) =>
      a.mov(x86.ebx, x86.esp).push(0x22).push(0x11).callf(x86.far(GATE, 0)).mov(x86.eax, x86.ebx).sub(x86.eax, x86.esp),
    )
    user('a gate with two parameters from level 3', (a) =>
      a
        .push(0x22)
        .push(0x11)
        .callf(x86.far(GATE | 3, 0x1234)),
    )
    user('the stack after it', (a) =>
      a
        .mov(x86.ebx, x86.esp)
        .push(0x22)
        .push(0x11)
        .callf(x86.far(GATE | 3, 0x1234))
        .mov(x86.eax, x86.ebx)
        .sub(x86.eax, x86.esp),
    )
    user('a jump through a gate to an inner level', (a) => a.jmpf(x86.far(GATE | 3, 0)))
    bench.describe(GATE, gate(SELECTOR.code, AT.code, 0x8c, 2))
    user('a gate of level 0 from level 3', (a) => a.callf(x86.far(GATE | 3, 0)))
    bench.describe(GATE, gate(SELECTOR.code, AT.code, 0x6c, 2))
    user('a gate that is not present', (a) => a.callf(x86.far(GATE | 3, 0)))
    bench.describe(GATE, gate(SELECTOR.data, AT.code, 0xec, 2))
    user('a gate to data', (a) => a.callf(x86.far(GATE | 3, 0)))
    bench.describe(GATE, gate(0, AT.code, 0xec, 2))
    user('a gate to null', (a) => a.callf(x86.far(GATE | 3, 0)))
    bench.describe(GATE, gate(CODE_DPL1, AT.code, 0xec, 0))
    user('a gate to level 1 without a stack in the TSS', (a) => a.callf(x86.far(GATE | 3, 0)))
    asm.mov(x86.dword(AT.tss + 12), AT.stack0 - 0x400).mov(x86.dword(AT.tss + 16), DATA_DPL1 | 1)
    user('a gate to level 1', (a) => a.mov(x86.dword(AT.mark), AT.code).callf(x86.far(GATE | 3, 0)))
    user('a conforming segment keeps the level', (a) => {
      const here = a.label()
      const back = a.label()
      a.callf(x86.far(CONFORMING | 3, here)).jmp(back)
      a.bind(here).mov(x86.eax, x86.cs).retf()
      a.bind(back)
    })
    user('a call of code of level 0', (a) => a.callf(x86.far(SELECTOR.code, 0)))
    user('a jump to a data segment', (a) => a.jmpf(x86.far(SELECTOR.userData, 0)))
    user('a jump to null', (a) => a.jmpf(x86.far(0, 0)))
    user('a jump beyond the GDT', (a) => a.jmpf(x86.far(0x203, 0)))
    user('a jump into the empty LDT', (a) => a.jmpf(x86.far(0x07, 0)))
    bench.attempt('LLDT of something that is none', (a) => a.mov(x86.ax, SELECTOR.data).lldt(x86.ax))
    bench.attempt('LAR of the gate', (a) => a.mov(x86.ecx, GATE).lar(x86.eax, x86.ecx))
    bench.attempt('LSL of the TSS', (a) => a.mov(x86.ecx, SELECTOR.tss).lsl(x86.eax, x86.ecx))
    bench.attempt('LTR of a busy TSS', (a) => a.mov(x86.ax, SELECTOR.tss).ltr(x86.ax))
  })
}

/** Task switches by JMP, CALL, IRET, gates and interrupts. */
export function tasks(): Uint8Array {
  return guest((bench) => {
    const { asm } = bench
    const task = asm.label()
    const prepare = (): void => {
      asm.mov(x86.edi, AT.tss2).xor(x86.eax, x86.eax).mov(x86.ecx, 26).rep().stosd()
      asm
        .mov(x86.dword(AT.tss2 + 32), task)
        .mov(x86.dword(AT.tss2 + 36), 0x2)
        .mov(x86.dword(AT.tss2 + 56), AT.stack0 - 0x800)
      asm.mov(x86.dword(AT.tss2 + 40), 0xaaaa)
      for (const at of [72, 80, 84, 88, 92]) asm.mov(x86.dword(AT.tss2 + at), SELECTOR.data)
      asm.mov(x86.dword(AT.tss2 + 76), SELECTOR.code).mov(x86.word(AT.tss2 + 102), 104)
      bench.describe(SELECTOR.tss2, descriptor(AT.tss2, 0x67, 0x89, 0))
      bench.describe(TASK_GATE, gate(SELECTOR.tss2, 0, 0xe5, 0))
    }
    const over = asm.label()
    asm.jmp(over)
    // The task: EAX collects the flags and back link that it finds, then it returns as it was called.
    const jumped = asm.label()
    asm
      .bind(task)
      .pushfd()
      .pop(x86.ebx)
      .and(x86.ebx, 0x4000)
      .mov(x86.ecx, x86.dword(AT.tss2))
      .and(x86.ecx, 0xffff)
      .lea(x86.eax, x86.dword(x86.ebx, { index: x86.ecx, scale: 1 }))
    asm.mov(x86.dword(AT.data), x86.eax).test(x86.ebx, x86.ebx).jz(jumped).iretd().jmp(task)
    asm.bind(jumped).jmpf(x86.far(SELECTOR.tss, 0)).jmp(task)
    asm.bind(over)
    const report = (): void => {
      asm
        .mov(x86.eax, x86.dword(AT.data))
        .mov(x86.ebx, x86.dword(AT.gdt + SELECTOR.tss2 + 4))
        .and(x86.ebx, 0xf00)
        .shl(x86.ebx, 8)
        .add(x86.eax, x86.ebx)
      asm
        .mov(x86.ebx, x86.dword(AT.gdt + SELECTOR.tss + 4))
        .and(x86.ebx, 0xf00)
        .shl(x86.ebx, 16)
        .add(x86.eax, x86.ebx)
    }
    prepare()
    bench.attempt('JMP to a TSS', (a) => {
      a.jmpf(x86.far(SELECTOR.tss2, 0))
      report()
    })
    prepare()
    bench.attempt('CALL of a TSS', (a) => {
      a.callf(x86.far(SELECTOR.tss2, 0))
      report()
    })
    bench.attempt('CALL of it again, where it stopped', (a) => {
      a.callf(x86.far(SELECTOR.tss2, 0))
      report()
    })
    prepare()
    bench.attempt('CALL of a task gate', (a) => {
      a.callf(x86.far(TASK_GATE, 0))
      report()
    })
    bench.attempt('the task has left its registers', (a) => a.mov(x86.eax, x86.dword(AT.tss2 + 40)))
    bench.attempt('TR is the first again', (a) => a.str(x86.eax))
    bench.attempt('JMP to its own, busy TSS', (a) => a.jmpf(x86.far(SELECTOR.tss, 0)))
    bench.attempt('CALL of its own, busy TSS', (a) => a.callf(x86.far(SELECTOR.tss, 0)))
    prepare()
    bench.describe(SELECTOR.tss2, descriptor(AT.tss2, 0x66, 0x89, 0))
    bench.attempt('JMP to a TSS that is too short', (a) => a.jmpf(x86.far(SELECTOR.tss2, 0)))
    bench.describe(SELECTOR.tss2, descriptor(AT.tss2, 0x67, 0x09, 0))
    bench.attempt('JMP to a TSS that is not present', (a) => a.jmpf(x86.far(SELECTOR.tss2, 0)))
    bench.attempt('IRET with NT to a null back link', (a) => a.push(0x4002).popfd().iretd())
    prepare()
    asm.mov(x86.dword(AT.idt + 8 * 0x40), SELECTOR.tss2 << 16).mov(x86.dword(AT.idt + 8 * 0x40 + 4), 0xe500)
    bench.attempt('INT through a task gate', (a) => {
      a.int(0x40)
      report()
    })
  })
}

/** Virtual-8086 mode under a monitor in level 0. */
export function virtual8086(): Uint8Array {
  return guest((bench) => {
    const { asm } = bench
    const run = (name: string, code: (a: typeof asm) => void, flags = 0x2_0002): void => {
      bench.attempt(name, (a) => {
        const start = a.label()
        const end = a.label()
        const over = a.label()
        a.jmp(over).bits(16).bind(start)
        code(a)
        a.int(0x30)
        a.bits(32).bind(end).bind(over)
        a.mov(x86.esi, start).mov(x86.edi, AT.code).mov(x86.ecx, end.minus(start)).rep().movsb()
        a.mov(x86.dword(AT.mark), 0)
        a.push(0x1111)
          .push(0x2222)
          .push(0x3333)
          .push(0x2000)
          .push(AT.stack >> 4)
          .push(0x100)
          .push(flags)
          .push(AT.code >> 4)
          .push(0)
          .iretd()
      })
    }
    const IOPL3 = 0x2_3002
    run('INT 30h at IOPL 0', () => undefined)
    run('INT 30h at IOPL 3', () => undefined, IOPL3)
    run('CLI at IOPL 0', (a) => a.cli())
    run('CLI at IOPL 3', (a) => a.cli(), IOPL3)
    run('PUSHF at IOPL 0', (a) => a.pushf())
    run('INT 21h at IOPL 0', (a) => a.int(0x21))
    run('INT3 at IOPL 0', (a) => a.int3())
    run('HLT', (a) => a.hlt(), IOPL3)
    run(
      'IRET at IOPL 3 stays in the mode',
      (a) => {
        const to = a.label()
        a.pushf().push(x86.cs).call(to).bind(to).pop(x86.ax).add(x86.ax, 6).push(x86.ax).iret().nop().nop().nop()
      },
      IOPL3,
    )
    run('IN without a bitmap', (a) => a.in(x86.al, 0x60), IOPL3)
    run('LGDT', (a) => a.lgdt(x86.fword(0)))
    run('LLDT', (a) => a.lldt(x86.ax))
    run('MOV CR0', (a) => a.db(0x0f, 0x20, 0xc0))
    run('ARPL', (a) => a.db(0x63, 0xc0))
    run('a word at FFFF', (a) => a.mov(x86.bx, 0xffff).mov(x86.ax, x86.word(x86.bx)))
    bench.attempt('segments that entry pushed', (a) => {
      const start = a.label()
      const end = a.label()
      const over = a.label()
      const monitor = a.label()
      a.jmp(over).bits(16).bind(start).int(0x34).bits(32).bind(end).bind(over)
      a.mov(x86.esi, start).mov(x86.edi, AT.code).mov(x86.ecx, end.minus(start)).rep().movsb()
      bench.gate(0x34, SELECTOR.code, monitor, 0xee)
      a.push(0x1111)
        .push(0x2222)
        .push(0x3333)
        .push(0x4444)
        .push(AT.stack >> 4)
        .push(0x100)
        .push(0x2_3002)
        .push(AT.code >> 4)
        .push(0)
        .iretd()
      a.bind(monitor)
        .mov(x86.ebx, x86.ds)
        .mov(x86.ecx, x86.es)
        .add(x86.ebx, x86.ecx)
        .mov(x86.ecx, x86.fs)
        .add(x86.ebx, x86.ecx)
        .mov(x86.ecx, x86.gs)
        .add(x86.ebx, x86.ecx)
      a.mov(x86.ax, SELECTOR.data).mov(x86.ds, x86.ax).mov(x86.es, x86.ax)
      a.mov(x86.eax, x86.dword(x86.esp, { disp: 20 }))
        .add(x86.eax, x86.dword(x86.esp, { disp: 24 }))
        .add(x86.eax, x86.dword(x86.esp, { disp: 28 }))
        .add(x86.eax, x86.dword(x86.esp, { disp: 32 }))
      a.shl(x86.eax, 8).add(x86.eax, x86.ebx).mov(x86.esp, x86.dword(AT.resumeStack))
    })
  })
}
