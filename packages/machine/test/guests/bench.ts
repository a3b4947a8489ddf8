import * as x86 from '@retrap/x86-assembler'
import { descriptor, enterProtectedMode, FLAT } from '@retrap/x86-assembler/guest-code'

/**
 * A bench for processor tests that run on any PC: a firmware image of 64 KiB that goes to flat 32-bit protected mode,
 * tries one thing after another, prints through the debug console at port 0xE9 what each led to, and ends by
 * isa-debug-exit at port 0x501. See `run-guest.ts` for how to run one on QEMU.
 */

/** Where the bench keeps its data; all below 640 KiB, so that the image can be ROM. */
export const AT = {
  stack: 0x7000,
  /** Stack of level 0 for entries from outer levels. */
  stack0: 0x6000,
  gdt: 0x8000,
  idt: 0x9000,
  tss: 0xa000,
  tss2: 0xb000,
  mark: 0xc000,
  resume: 0xc004,
  resumeStack: 0xc008,
  /** For tests. */
  data: 0x1_0000,
  code: 0x2_0000,
  pages: 0x3_0000,
} as const

/** Selectors of the bench's GDT. */
export const SELECTOR = {
  code: 0x08,
  data: 0x10,
  userCode: 0x18 | 3,
  userData: 0x20 | 3,
  tss: 0x28,
  tss2: 0x30,
  code16: 0x38,
  data16: 0x40,
  /** For tests: 0x48 to 0xf8. */
  free: 0x48,
} as const

const BASE = 0xf_0000
const GDT_ENTRIES = 32
/** What a fault prints of EFLAGS: TF, IF, DF, IOPL, NT and VM. The status flags are often undefined, RF is not everywhere right. */
const SHOWN_FLAGS = 0x2_7700

/** What a test writes its code with. */
export class Bench {
  readonly asm: x86.Assembler
  readonly #text: x86.Label
  readonly #hex: x86.Label
  readonly #strings: { readonly label: x86.Label; readonly text: string }[] = []

  constructor(asm: x86.Assembler, text: x86.Label, hex: x86.Label) {
    this.asm = asm
    this.#text = text
    this.#hex = hex
  }

  /** Prints a text; changes nothing but flags. */
  say(text: string): this {
    const label = this.asm.label()
    this.#strings.push({ label, text })
    this.asm.push(label).call(this.#text)
    return this
  }

  /** Prints EAX. */
  hex(): this {
    this.asm.call(this.#hex)
    return this
  }

  /**
   * Tries something: prints its name, then `= EAX`, or the fault that it ended in: vector, error code, distance of the
   * pushed EIP from the start of the try, CS and some of EFLAGS. Registers but ESP are lost.
   */
  attempt(name: string, build: (asm: x86.Assembler, bench: this) => void): this {
    const { asm } = this
    const start = asm.label()
    const end = asm.label()
    this.say(`${name}: `)
    asm
      .xor(x86.eax, x86.eax)
      .mov(x86.dword(AT.mark), start)
      .mov(x86.dword(AT.resume), end)
      .mov(x86.dword(AT.resumeStack), x86.esp)
    asm.bind(start)
    build(asm, this)
    this.say('= ').hex()
    asm.bind(end)
    this.say('\n')
    return this
  }

  /** Puts a descriptor into the GDT, in level 0. */
  describe(selector: number, value: bigint): this {
    this.asm.mov(x86.dword(AT.gdt + (selector & ~7)), Number(value & 0xffff_ffffn) | 0)
    this.asm.mov(x86.dword(AT.gdt + (selector & ~7) + 4), Number(value >> 32n) | 0)
    return this
  }

  /** Puts a gate into the IDT. */
  gate(vector: number, selector: number, target: x86.Label | number, access: number): this {
    const { asm } = this
    asm.mov(x86.eax, target).mov(x86.word(AT.idt + 8 * vector), x86.ax)
    asm.mov(x86.word(AT.idt + 8 * vector + 2), selector).mov(x86.word(AT.idt + 8 * vector + 4), access << 8)
    asm.shr(x86.eax, 16).mov(x86.word(AT.idt + 8 * vector + 6), x86.ax)
    return this
  }

  /** Goes to level 3 at `target` with a stack of its own. */
  toUser(target: x86.Label, flags = 0x2): this {
    this.asm
      .push(SELECTOR.userData)
      .push(AT.stack - 0x800)
      .push(flags)
      .push(SELECTOR.userCode)
      .push(target)
      .iretd()
    return this
  }

  /** @internal */
  emitStrings(): void {
    for (const { label, text } of this.#strings) this.asm.bind(label).asciz(text)
  }
}

export function guest(build: (bench: Bench) => void): Uint8Array {
  const asm = new x86.Assembler({ bits: 16, address: BASE })
  const text = asm.label('text')
  const hex = asm.label('hex')
  const stubs = asm.label('stubs')
  const bench = new Bench(asm, text, hex)
  const start = prepare(asm, stubs)
  build(bench)
  // isa-debug-exit: the process ends with 1.
  asm.mov(x86.edx, 0x501).xor(x86.eax, x86.eax).out(x86.dx, x86.al).hlt()
  printing(asm, text, hex)
  faults(asm, stubs, text, hex)
  bench.emitStrings()
  asm
    .bits(16)
    .org(BASE + 0xfff0)
    .jmpf(x86.far16(0xf000, start.plus(-BASE)))
  asm.org(BASE + 0xffff).db(0)
  return asm.assemble().bytes
}

/** From real mode to flat 32-bit code, with GDT, IDT and TSS in RAM. */
function prepare(asm: x86.Assembler, stubs: x86.Label): x86.Label {
  const start = asm.label('start')
  const table = asm.label('gdt')
  const romGdtr = asm.label('romGdtr')
  const gdtr = asm.label('gdtr')
  const idtr = asm.label('idtr')
  const descriptors = new Array<bigint>(GDT_ENTRIES).fill(0n)
  const put = (selector: number, value: bigint): void => void (descriptors[selector >> 3] = value)
  put(SELECTOR.code, FLAT.code)
  put(SELECTOR.data, FLAT.data)
  put(SELECTOR.userCode, descriptor(0, 0xf_ffff, 0xfb, 0xc))
  put(SELECTOR.userData, descriptor(0, 0xf_ffff, 0xf3, 0xc))
  put(SELECTOR.tss, descriptor(AT.tss, 0x67, 0x89, 0))
  put(SELECTOR.tss2, descriptor(AT.tss2, 0x67, 0x89, 0))
  put(SELECTOR.code16, descriptor(0, 0xffff, 0x9b, 0))
  put(SELECTOR.data16, descriptor(0, 0xffff, 0x93, 0))
  asm.bind(start).cli().cld().mov(x86.ax, 0xf000).mov(x86.ds, x86.ax)
  enterProtectedMode(asm, {
    gdtr: x86.fword(romGdtr.plus(-BASE)),
    code: SELECTOR.code,
    data: SELECTOR.data,
    stack: AT.stack,
    between() {
      asm.align(16)
      asm.bind(table).dq(...descriptors)
      asm
        .bind(romGdtr)
        .dw(8 * GDT_ENTRIES - 1)
        .dd(table)
      asm
        .bind(gdtr)
        .dw(8 * GDT_ENTRIES - 1)
        .dd(AT.gdt)
      asm.bind(idtr).dw(0x7ff).dd(AT.idt)
    },
  })
  asm
    .mov(x86.esi, table)
    .mov(x86.edi, AT.gdt)
    .mov(x86.ecx, 2 * GDT_ENTRIES)
    .rep()
    .movsd()
    .lgdt(x86.fword(gdtr))
  asm.mov(x86.edi, AT.tss).xor(x86.eax, x86.eax).mov(x86.ecx, 0x800).rep().stosd()
  asm
    .mov(x86.dword(AT.tss + 4), AT.stack0)
    .mov(x86.dword(AT.tss + 8), SELECTOR.data)
    .mov(x86.word(AT.tss + 102), 104)
  // Interrupt gates, which user code may call from 0x30 on.
  asm.mov(x86.eax, stubs).mov(x86.edi, AT.idt).mov(x86.ecx, 256)
  const loop = asm.here()
  asm
    .mov(x86.word(x86.edi), x86.ax)
    .mov(x86.word(x86.edi, { disp: 2 }), SELECTOR.code)
    .mov(x86.word(x86.edi, { disp: 4 }), 0x8e00)
  asm
    .mov(x86.edx, x86.eax)
    .shr(x86.edx, 16)
    .mov(x86.word(x86.edi, { disp: 6 }), x86.dx)
  const low = asm.label()
  asm
    .cmp(x86.ecx, 256 - 0x30)
    .ja(low)
    .mov(x86.byte(x86.edi, { disp: 5 }), 0xee)
    .bind(low)
  asm.add(x86.eax, STUB_BYTES).add(x86.edi, 8).dec(x86.ecx).jnz(loop)
  asm.lidt(x86.fword(idtr)).mov(x86.ax, SELECTOR.tss).ltr(x86.ax)
  return start
}

function printing(asm: x86.Assembler, text: x86.Label, hex: x86.Label): void {
  const next = asm.label()
  const done = asm.label()
  asm
    .bind(text)
    .pushad()
    .mov(x86.esi, x86.dword(x86.esp, { disp: 36 }))
  asm.bind(next).lodsb().test(x86.al, x86.al).jz(done).out(0xe9, x86.al).jmp(next)
  asm.bind(done).popad().ret(4)

  const digits = asm.label()
  const digit = asm.label()
  asm.bind(hex).pushad().mov(x86.ebx, x86.eax).mov(x86.ecx, 8)
  asm
    .bind(digit)
    .rol(x86.ebx, 4)
    .mov(x86.edx, x86.ebx)
    .and(x86.edx, 15)
    .mov(x86.al, x86.byte(x86.edx, { disp: digits }))
    .out(0xe9, x86.al)
  asm.dec(x86.ecx).jnz(digit).popad().ret()
  asm.bind(digits).ascii('0123456789abcdef')
}

const STUB_BYTES = 16

function faults(asm: x86.Assembler, stubs: x86.Label, text: x86.Label, hex: x86.Label): void {
  const common = asm.label('common')
  asm.align(16).bind(stubs)
  for (let vector = 0; vector < 256; vector++) {
    if (!WITH_ERROR_CODE.has(vector)) asm.push(0)
    asm.push(vector).jmp(common)
    asm.alignCode(STUB_BYTES)
  }
  const field = (name: string, disp: number): void => {
    const label = asm.label()
    fields.push({ label, name })
    asm.push(label).call(text).mov(x86.eax, x86.dword(x86.ebp, { disp }))
  }
  const fields: { label: x86.Label; name: string }[] = []
  asm
    .bind(common)
    .mov(x86.ebp, x86.esp)
    .mov(x86.ax, SELECTOR.data)
    .mov(x86.ds, x86.ax)
    .mov(x86.es, x86.ax)
    .mov(x86.fs, x86.ax)
    .mov(x86.gs, x86.ax)
    .cld()
  field('#', 0)
  asm.call(hex)
  field(' error ', 4)
  asm.call(hex)
  field(' at +', 8)
  asm.sub(x86.eax, x86.dword(AT.mark)).call(hex)
  field(' cs ', 12)
  asm.call(hex)
  field(' flags ', 16)
  asm.and(x86.eax, SHOWN_FLAGS).call(hex)
  asm.push(2).popfd().mov(x86.esp, x86.dword(AT.resumeStack)).jmp(x86.dword(AT.resume))
  for (const { label, name } of fields) asm.bind(label).asciz(name)
}

const WITH_ERROR_CODE: ReadonlySet<number> = new Set([8, 10, 11, 12, 13, 14, 17])
