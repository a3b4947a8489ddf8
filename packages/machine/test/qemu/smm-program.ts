import {
  al,
  type Assembler,
  ax,
  byte,
  cr0,
  cr4,
  cs,
  dr7,
  ds,
  dword,
  eax,
  ebx,
  ecx,
  edi,
  es,
  esi,
  fword,
  imm32,
  type Label,
  sp,
  ss,
  word,
} from '@retrap/x86-assembler'
import { leave, show } from '../support/boot-disk.ts'
import type { Step } from './a20-program.ts'
import {
  SMRAM,
  RESET_SMBASE,
  LOW_SMBASE,
  FIRST_POINTER,
  SECOND_POINTER,
  COUNTER,
  SECOND_COUNTER,
  SIGNAL,
  RESULT,
  ICR_HIGH,
  SELF,
  NMI,
  SMI,
  INIT,
  STARTUP,
  IRQ_VECTOR,
  D_OPEN,
  D_CLS,
  D_LCK,
  G_SMRAME,
  type Board,
  showWords,
  configure,
  showConfiguration,
  lookForSmram,
  look,
  type Context,
  protectedMode,
  setUp,
  send,
} from './smm-context.ts'
import { tseg, window } from './smm-memory.ts'

/** The program. @returns its steps, in order */
export function smmProgram(asm: Assembler, board: Board): Step[] {
  const steps: Step[] = []
  const bodies: (() => void)[] = []
  const step = (name: string, bytes: number): void => void steps.push([name, bytes])
  /** Code of a handler, of real mode, before its RSM. */
  const body = (build: (asm: Assembler) => void): Label => {
    const label = asm.label()
    bodies.push(() => {
      build(asm.bits(16).bind(label))
      asm.rsm()
    })
    return label
  }
  const commons = new Map([
    [FIRST_POINTER, asm.label()],
    [SECOND_POINTER, asm.label()],
  ])
  const stub = (base: number, pointer = FIRST_POINTER): void => {
    // jmp 0:common
    asm
      .mov(byte(base + 0x8000), 0xea)
      .mov(word(base + 0x8001), commons.get(pointer)!)
      .mov(word(base + 0x8003), 0)
  }
  const smi = (label: Label): void => {
    const next = asm.label()
    asm.mov(dword(FIRST_POINTER), label).mov(al, 0x42).out(0xb2, al).jmp(next).bind(next)
  }
  const idtr = protectedMode(asm)
  setUp(asm, idtr)
  const smram = (value: number): void => configure(asm, board.smram, value)
  smram(D_OPEN | G_SMRAME)
  stub(SMRAM)
  asm.mov(byte(SMRAM + 0x100), 0x5a)
  smram(G_SMRAME)
  const context = { asm, board, step, body, smi, stub, smram }
  entry(context)
  pending(context)
  relocation(context)
  addressLine20(context)
  window(context)
  if (board.machine === 'q35') tseg(context)
  secondProcessor(context)
  smram(D_LCK | D_OPEN | G_SMRAME)
  showConfiguration(asm)
  smram(D_OPEN | D_CLS)
  showConfiguration(asm)
  lookForSmram(asm)
  smi(body(() => show(asm.mov(esi, imm32(SMRAM + 0x100)).mov(al, byte(esi)))))
  step(LOCK_STEP, 4)
  leave(asm)
  // The second processor begins at 0F000H.
  for (const [pointer, label] of commons) asm.bits(16).bind(label).mov(ax, word(pointer)).jmp(ax)
  for (const emit of bodies) emit()
  return steps
}

function entry({ asm, board, step, body, smi }: Context): void {
  smi(
    body(() => {
      asm.in(al, 0xb2)
      show(asm)
      asm.in(al, 0xb3)
      show(asm)
      for (const register of [cr0, cr4]) {
        asm.mov(eax, register)
        showWords(asm)
      }
      asm.mov(eax, dr7)
      showWords(asm)
      asm.mov(ecx, imm32(0xc000_0080)).rdmsr()
      showWords(asm)
      for (const segment of [ds, es, ss]) {
        asm.mov(ax, segment)
        show(asm)
      }
      asm.pushfd().pop(eax)
      showWords(asm)
    }),
  )
  step('the handler: ports B2h and B3h, CR0, CR4, DR7, EFER, selectors, EFLAGS', 25)
  // The save area as the handler has it: a register and the place of RSM.
  asm.mov(ebx, imm32(0x1234_5678)).mov(edi, imm32(0x9abc_def0))
  smi(
    body(() => {
      asm.mov(esi, imm32(SMRAM + 0xfefc)).mov(eax, dword(esi))
      showWords(asm)
      for (const at of [0xffe0, 0xffc8, 0xfed0, 0xff58, 0xfe10, 0xfe14, 0xff00, 0xfec8, 0xfe8c, 0xfe88]) {
        asm.mov(esi, imm32(SMRAM + at)).mov(eax, dword(esi))
        showWords(asm)
      }
      // RBX is changed.
      asm.mov(esi, imm32(SMRAM + 0xffe0)).add(dword(esi), imm32(1))
    }),
  )
  asm.mov(eax, ebx)
  showWords(asm)
  asm.mov(eax, edi)
  showWords(asm)
  step(SAVE_AREA_STEP, 52)
  // All commands, ACPI's two among them; the status byte raises none.
  asm.mov(
    dword(FIRST_POINTER),
    body(() => show(asm.mov(al, 'S'.charCodeAt(0)))),
  )
  for (const [port, value] of [
    [0xb3, 0x77],
    [0xb2, 0xf1],
    [0xb2, 0xf0],
    [0xb2, 0x00],
    [0xb2, 0xff],
  ] as const) {
    const next = asm.label()
    asm.mov(al, value).out(port, al).jmp(next).bind(next)
  }
  for (const port of [0xb2, 0xb3]) show(asm.in(al, port))
  // Those of ACPI do on q35, whose chipset knows nothing of them.
  step('commands that raise SMI, and what the ports hold', board.machine === 'q35' ? 6 : 4)
}

function pending({ asm, step, body, smi }: Context): void {
  const letter = (value: string): void => void show(asm.mov(al, value.charCodeAt(0)))
  smi(
    body(() => {
      send(asm, SELF | NMI)
      letter('a')
    }),
  )
  letter('b')
  step('an NMI in the handler comes after RSM', 3)
  smi(
    body(() => {
      send(asm, SELF | IRQ_VECTOR)
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
      send(asm, SELF | IRQ_VECTOR)
      send(asm, SELF | NMI)
      letter('a')
    }),
  )
  letter('b')
  asm.cli()
  step('NMI and interrupt in the handler', 4)
  // A second SMI waits for RSM. The handler counts; more than one is one.
  asm.mov(dword(COUNTER), imm32(0))
  smi(
    body(() => {
      const done = asm.label()
      asm.mov(esi, imm32(COUNTER)).add(dword(esi), imm32(1)).cmp(dword(esi), imm32(1)).jnz(done)
      asm.mov(al, 0x43).out(0xb2, al).mov(al, 0x44).out(0xb2, al).jmp(done).bind(done)
      letter('a')
    }),
  )
  letter('b')
  asm.mov(eax, dword(COUNTER))
  showWords(asm)
  step('two SMIs in the handler are one after it', 7)
  // The handler's IRET lets an NMI in, by the interrupt table of real mode.
  smi(
    body(() => {
      const [table, over, handler, back] = [asm.label(), asm.label(), asm.label(), asm.label()]
      asm.mov(sp, 0x6000).jmp(over).bind(table).dw(0x3ff).dd(0x2_1000)
      asm.bind(handler).push(eax)
      letter('n')
      asm.pop(eax).db(0xcf).bind(over)
      asm
        .lidt(fword(table))
        .mov(esi, imm32(0x2_1008))
        .mov(word(esi), handler)
        .mov(word(esi, { disp: 2 }), 0)
      send(asm, SELF | NMI)
      letter('a')
      asm.pushf().push(cs).push(back).db(0xcf).bind(back).nop()
      letter('b')
    }),
  )
  letter('c')
  step('IRET in the handler lets NMIs in', 4)
}

function relocation({ asm, step, body, smi, stub }: Context): void {
  const letter = (value: string): void => void show(asm.mov(al, value.charCodeAt(0)))
  stub(LOW_SMBASE)
  const place = (from: number, to: number): void =>
    smi(
      body(() => {
        asm.mov(ax, cs)
        letter('r')
        asm
          .mov(esi, imm32(from + 0xff00))
          .mov(eax, dword(esi))
          .mov(dword(esi), imm32(to))
        showWords(asm)
      }),
    )
  place(SMRAM, LOW_SMBASE)
  place(LOW_SMBASE, SMRAM)
  step('SMBASE moves to RAM, and back', 10)
}

function addressLine20({ asm, step, body, smi }: Context): void {
  asm.mov(byte(0x6_0500), 0x11).mov(byte(0x16_0500), 0x22)
  asm.mov(al, 0).out(0x92, al)
  look(asm, 0x16_0500)
  smi(
    body(() => {
      asm.mov(esi, imm32(0x16_0500)).mov(al, byte(esi))
      show(asm)
      asm.mov(byte(esi), 0x33)
    }),
  )
  look(asm, 0x16_0500)
  asm.mov(al, 2).out(0x92, al)
  look(asm, 0x16_0500)
  look(asm, 0x6_0500)
  step('A20 is low outside: a read there and in the handler, a store in it', 5)
}

/** Where the second processor begins. */
const STARTUP_PLACE = 0x2_2000

function secondProcessor({ asm, step, body, stub, smram }: Context): void {
  const [code, end, over] = [asm.label(), asm.label(), asm.label()]
  asm.jmp(over).bits(16).bind(code)
  // Counts what wakes it from HLT.
  asm.xor(ax, ax).mov(ds, ax).mov(ss, ax).mov(sp, 0x5000).cli().mov(byte(SIGNAL), 1)
  const loop = asm.here()
  asm.hlt().add(word(SECOND_COUNTER), 1).jmp(loop).bind(end)
  asm.bits(32).bind(over)
  asm.mov(esi, code).mov(edi, imm32(STARTUP_PLACE)).mov(ecx, end.minus(code)).cld().rep().movsb()
  stub(RESET_SMBASE, SECOND_POINTER)
  asm.mov(dword(SIGNAL), imm32(0)).mov(dword(SECOND_COUNTER), imm32(0))
  const wait = (value: number): void => {
    const again = asm.here()
    asm.pause().cmp(byte(SIGNAL), value).jnz(again)
  }
  const pause = (): void => {
    asm.mov(ecx, imm32(20_000))
    const again = asm.here()
    asm.pause().loop(again)
  }
  asm.mov(dword(ICR_HIGH), imm32(1 << 24))
  send(asm, INIT)
  pause()
  send(asm, STARTUP | (STARTUP_PLACE >> 12))
  wait(1)
  pause()
  // It sees SMRAM while it is in its handler, and the first processor does not.
  asm.mov(
    dword(SECOND_POINTER),
    body(() => {
      asm
        .mov(esi, imm32(SMRAM + 0x100))
        .mov(al, byte(esi))
        .mov(esi, imm32(RESULT))
        .mov(byte(esi), al)
      asm.mov(esi, imm32(SIGNAL)).mov(byte(esi), 2)
      const again = asm.here()
      asm.pause().cmp(byte(esi), 3).jnz(again)
      // AMD's map: HLT is to be gone back to.
      asm
        .mov(esi, imm32(RESET_SMBASE + 0xfec9))
        .mov(al, byte(esi))
        .mov(esi, imm32(RESULT + 1))
        .mov(byte(esi), al)
      asm.mov(esi, imm32(SIGNAL)).mov(byte(esi), 4)
    }),
  )
  send(asm, SMI)
  wait(2)
  lookForSmram(asm)
  asm.mov(byte(SIGNAL), 3)
  wait(4)
  pause()
  look(asm, RESULT)
  step('SMI to a second processor in HLT: whether the first one sees SMRAM no longer, what the second one sees', 2)
  look(asm, RESULT + 1)
  look(asm, SECOND_COUNTER)
  step(HLT_STEP, 2)
  smram(G_SMRAME)
}

/** Steps that QEMU answers in a way of its own. */
export const LOCK_STEP = 'D_LCK: the register twice, SMRAM outside and inside'

export const SAVE_AREA_STEP =
  'the save area: revision, registers, segments, SMBASE, flags of HLT and I/O; then EBX and EDI'

export const HLT_STEP = 'whether HLT is gone back to, and how often HLT has ended'
