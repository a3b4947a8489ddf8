import * as x86 from '@retrap/x86-assembler'
import { leave, show } from '../support/boot-disk.ts'
import type { Step } from './a20-program.ts'
import * as C from './smm-context.ts'
import { tseg, window } from './smm-memory.ts'

/** The program. @returns its steps, in order */
export function smmProgram(asm: x86.Assembler, board: C.Board): Step[] {
  const steps: Step[] = []
  const bodies: (() => void)[] = []
  const step = (name: string, bytes: number): void => void steps.push([name, bytes])
  /** Code of a handler, of real mode, before its RSM. */
  const body = (build: (asm: x86.Assembler) => void): x86.Label => {
    const label = asm.label()
    bodies.push(() => {
      build(asm.bits(16).bind(label))
      asm.rsm()
    })
    return label
  }
  const commons = new Map([
    [C.FIRST_POINTER, asm.label()],
    [C.SECOND_POINTER, asm.label()],
  ])
  const stub = (base: number, pointer = C.FIRST_POINTER): void => {
    // jmp 0:common
    asm
      .mov(x86.byte(base + 0x8000), 0xea)
      .mov(x86.word(base + 0x8001), commons.get(pointer)!)
      .mov(x86.word(base + 0x8003), 0)
  }
  const smi = (label: x86.Label): void => {
    const next = asm.label()
    asm.mov(x86.dword(C.FIRST_POINTER), label).mov(x86.al, 0x42).out(0xb2, x86.al).jmp(next).bind(next)
  }
  const idtr = C.protectedMode(asm)
  C.setUp(asm, idtr)
  const smram = (value: number): void => C.configure(asm, board.smram, value)
  smram(C.D_OPEN | C.G_SMRAME)
  stub(C.SMRAM)
  asm.mov(x86.byte(C.SMRAM + 0x100), 0x5a)
  smram(C.G_SMRAME)
  const context = { asm, board, step, body, smi, stub, smram }
  entry(context)
  pending(context)
  relocation(context)
  addressLine20(context)
  window(context)
  if (board.machine === 'q35') tseg(context)
  secondProcessor(context)
  smram(C.D_LCK | C.D_OPEN | C.G_SMRAME)
  C.showConfiguration(asm)
  smram(C.D_OPEN | C.D_CLS)
  C.showConfiguration(asm)
  C.lookForSmram(asm)
  smi(body(() => show(asm.mov(x86.esi, x86.imm32(C.SMRAM + 0x100)).mov(x86.al, x86.byte(x86.esi)))))
  step(LOCK_STEP, 4)
  leave(asm)
  // The second processor begins at 0F000H.
  for (const [pointer, label] of commons) asm.bits(16).bind(label).mov(x86.ax, x86.word(pointer)).jmp(x86.ax)
  for (const emit of bodies) emit()
  return steps
}

function entry({ asm, board, step, body, smi }: C.Context): void {
  smi(
    body(() => {
      asm.in(x86.al, 0xb2)
      show(asm)
      asm.in(x86.al, 0xb3)
      show(asm)
      for (const register of [x86.cr0, x86.cr4]) {
        asm.mov(x86.eax, register)
        C.showWords(asm)
      }
      asm.mov(x86.eax, x86.dr7)
      C.showWords(asm)
      asm.mov(x86.ecx, x86.imm32(0xc000_0080)).rdmsr()
      C.showWords(asm)
      for (const segment of [x86.ds, x86.es, x86.ss]) {
        asm.mov(x86.ax, segment)
        show(asm)
      }
      asm.pushfd().pop(x86.eax)
      C.showWords(asm)
    }),
  )
  step('the handler: ports B2h and B3h, CR0, CR4, DR7, EFER, selectors, EFLAGS', 25)
  // The save area as the handler has it: a register and the place of RSM.
  asm.mov(x86.ebx, x86.imm32(0x1234_5678)).mov(x86.edi, x86.imm32(0x9abc_def0))
  smi(
    body(() => {
      asm.mov(x86.esi, x86.imm32(C.SMRAM + 0xfefc)).mov(x86.eax, x86.dword(x86.esi))
      C.showWords(asm)
      for (const at of [0xffe0, 0xffc8, 0xfed0, 0xff58, 0xfe10, 0xfe14, 0xff00, 0xfec8, 0xfe8c, 0xfe88]) {
        asm.mov(x86.esi, x86.imm32(C.SMRAM + at)).mov(x86.eax, x86.dword(x86.esi))
        C.showWords(asm)
      }
      // RBX is changed.
      asm.mov(x86.esi, x86.imm32(C.SMRAM + 0xffe0)).add(x86.dword(x86.esi), x86.imm32(1))
    }),
  )
  asm.mov(x86.eax, x86.ebx)
  C.showWords(asm)
  asm.mov(x86.eax, x86.edi)
  C.showWords(asm)
  step(SAVE_AREA_STEP, 52)
  // All commands, ACPI's two among them; the status byte raises none.
  asm.mov(
    x86.dword(C.FIRST_POINTER),
    body(() => show(asm.mov(x86.al, 'S'.charCodeAt(0)))),
  )
  for (const [port, value] of [
    [0xb3, 0x77],
    [0xb2, 0xf1],
    [0xb2, 0xf0],
    [0xb2, 0x00],
    [0xb2, 0xff],
  ] as const) {
    const next = asm.label()
    asm.mov(x86.al, value).out(port, x86.al).jmp(next).bind(next)
  }
  for (const port of [0xb2, 0xb3]) show(asm.in(x86.al, port))
  // Those of ACPI do on q35, whose chipset knows nothing of them.
  step('commands that raise SMI, and what the ports hold', board.machine === 'q35' ? 6 : 4)
}

function pending({ asm, step, body, smi }: C.Context): void {
  const letter = (value: string): void => void show(asm.mov(x86.al, value.charCodeAt(0)))
  smi(
    body(() => {
      C.send(asm, C.SELF | C.NMI)
      letter('a')
    }),
  )
  letter('b')
  step('an NMI in the handler comes after RSM', 3)
  smi(
    body(() => {
      C.send(asm, C.SELF | C.IRQ_VECTOR)
      letter('a')
    }),
  )
  letter('b')
  asm.sti().nop()
  letter('c')
  asm.cli()
  step('an interrupt in the handler comes when it is let in', 4)
  // Interrupts are on as SMI comes.
  asm.sti().nop()
  smi(
    body(() => {
      C.send(asm, C.SELF | C.IRQ_VECTOR)
      C.send(asm, C.SELF | C.NMI)
      letter('a')
    }),
  )
  letter('b')
  asm.cli()
  step('NMI and interrupt in the handler', 4)
  // A second SMI waits for RSM. The handler counts; more than one is one.
  asm.mov(x86.dword(C.COUNTER), x86.imm32(0))
  smi(
    body(() => {
      const done = asm.label()
      asm
        .mov(x86.esi, x86.imm32(C.COUNTER))
        .add(x86.dword(x86.esi), x86.imm32(1))
        .cmp(x86.dword(x86.esi), x86.imm32(1))
        .jnz(done)
      asm.mov(x86.al, 0x43).out(0xb2, x86.al).mov(x86.al, 0x44).out(0xb2, x86.al).jmp(done).bind(done)
      letter('a')
    }),
  )
  letter('b')
  asm.mov(x86.eax, x86.dword(C.COUNTER))
  C.showWords(asm)
  step('two SMIs in the handler are one after it', 7)
  // The handler's IRET lets an NMI in, by the interrupt table of real mode.
  smi(
    body(() => {
      const [table, over, handler, back] = [asm.label(), asm.label(), asm.label(), asm.label()]
      asm.mov(x86.sp, 0x6000).jmp(over).bind(table).dw(0x3ff).dd(0x2_1000)
      asm.bind(handler).push(x86.eax)
      letter('n')
      asm.pop(x86.eax).db(0xcf).bind(over)
      asm
        .lidt(x86.fword(table))
        .mov(x86.esi, x86.imm32(0x2_1008))
        .mov(x86.word(x86.esi), handler)
        .mov(x86.word(x86.esi, { disp: 2 }), 0)
      C.send(asm, C.SELF | C.NMI)
      letter('a')
      asm.pushf().push(x86.cs).push(back).db(0xcf).bind(back).nop()
      letter('b')
    }),
  )
  letter('c')
  step('IRET in the handler lets NMIs in', 4)
}

function relocation({ asm, step, body, smi, stub }: C.Context): void {
  const letter = (value: string): void => void show(asm.mov(x86.al, value.charCodeAt(0)))
  stub(C.LOW_SMBASE)
  const place = (from: number, to: number): void =>
    smi(
      body(() => {
        asm.mov(x86.ax, x86.cs)
        letter('r')
        asm
          .mov(x86.esi, x86.imm32(from + 0xff00))
          .mov(x86.eax, x86.dword(x86.esi))
          .mov(x86.dword(x86.esi), x86.imm32(to))
        C.showWords(asm)
      }),
    )
  place(C.SMRAM, C.LOW_SMBASE)
  place(C.LOW_SMBASE, C.SMRAM)
  step('SMBASE moves to RAM, and back', 10)
}

function addressLine20({ asm, step, body, smi }: C.Context): void {
  asm.mov(x86.byte(0x6_0500), 0x11).mov(x86.byte(0x16_0500), 0x22)
  asm.mov(x86.al, 0).out(0x92, x86.al)
  C.look(asm, 0x16_0500)
  smi(
    body(() => {
      asm.mov(x86.esi, x86.imm32(0x16_0500)).mov(x86.al, x86.byte(x86.esi))
      show(asm)
      asm.mov(x86.byte(x86.esi), 0x33)
    }),
  )
  C.look(asm, 0x16_0500)
  asm.mov(x86.al, 2).out(0x92, x86.al)
  C.look(asm, 0x16_0500)
  C.look(asm, 0x6_0500)
  step('A20 is low outside: a read there and in the handler, a store in it', 5)
}

/** Where the second processor begins. */
const STARTUP_PLACE = 0x2_2000

function secondProcessor({ asm, step, body, stub, smram }: C.Context): void {
  const [code, end, over] = [asm.label(), asm.label(), asm.label()]
  asm.jmp(over).bits(16).bind(code)
  // Counts what wakes it from HLT.
  asm.xor(x86.ax, x86.ax).mov(x86.ds, x86.ax).mov(x86.ss, x86.ax).mov(x86.sp, 0x5000).cli().mov(x86.byte(C.SIGNAL), 1)
  const loop = asm.here()
  asm.hlt().add(x86.word(C.SECOND_COUNTER), 1).jmp(loop).bind(end)
  asm.bits(32).bind(over)
  asm.mov(x86.esi, code).mov(x86.edi, x86.imm32(STARTUP_PLACE)).mov(x86.ecx, end.minus(code)).cld().rep().movsb()
  stub(C.RESET_SMBASE, C.SECOND_POINTER)
  asm.mov(x86.dword(C.SIGNAL), x86.imm32(0)).mov(x86.dword(C.SECOND_COUNTER), x86.imm32(0))
  const wait = (value: number): void => {
    const again = asm.here()
    asm.pause().cmp(x86.byte(C.SIGNAL), value).jnz(again)
  }
  const pause = (): void => {
    asm.mov(x86.ecx, x86.imm32(20_000))
    const again = asm.here()
    asm.pause().loop(again)
  }
  asm.mov(x86.dword(C.ICR_HIGH), x86.imm32(1 << 24))
  C.send(asm, C.INIT)
  pause()
  C.send(asm, C.STARTUP | (STARTUP_PLACE >> 12))
  wait(1)
  pause()
  // It sees SMRAM while it is in its handler, and the first processor does not.
  asm.mov(
    x86.dword(C.SECOND_POINTER),
    body(() => {
      asm
        .mov(x86.esi, x86.imm32(C.SMRAM + 0x100))
        .mov(x86.al, x86.byte(x86.esi))
        .mov(x86.esi, x86.imm32(C.RESULT))
        .mov(x86.byte(x86.esi), x86.al)
      asm.mov(x86.esi, x86.imm32(C.SIGNAL)).mov(x86.byte(x86.esi), 2)
      const again = asm.here()
      asm.pause().cmp(x86.byte(x86.esi), 3).jnz(again)
      // AMD's map: HLT is to be gone back to.
      asm
        .mov(x86.esi, x86.imm32(C.RESET_SMBASE + 0xfec9))
        .mov(x86.al, x86.byte(x86.esi))
        .mov(x86.esi, x86.imm32(C.RESULT + 1))
        .mov(x86.byte(x86.esi), x86.al)
      asm.mov(x86.esi, x86.imm32(C.SIGNAL)).mov(x86.byte(x86.esi), 4)
    }),
  )
  C.send(asm, C.SMI)
  wait(2)
  C.lookForSmram(asm)
  asm.mov(x86.byte(C.SIGNAL), 3)
  wait(4)
  pause()
  C.look(asm, C.RESULT)
  step('SMI to a second processor in HLT: whether the first one sees SMRAM no longer, what the second one sees', 2)
  C.look(asm, C.RESULT + 1)
  C.look(asm, C.SECOND_COUNTER)
  step(HLT_STEP, 2)
  smram(C.G_SMRAME)
}

/** Steps that QEMU answers in a way of its own. */
export const LOCK_STEP = 'D_LCK: the register twice, SMRAM outside and inside'

export const SAVE_AREA_STEP =
  'the save area: revision, registers, segments, SMBASE, flags of HLT and I/O; then EBX and EDI'

export const HLT_STEP = 'whether HLT is gone back to, and how often HLT has ended'
