/**
 * A 32-bit kernel of our own that is laid out as those that a TPR patcher is for: paging, kernel at 0x80000000, the local
 * APIC's page at 0xFFFE0000, a processor control region in FS. It starts every processor and has each run its part.
 */
import * as x86 from '@retrap/x86-assembler'
import { descriptor, enterProtectedMode, FLAT } from '@retrap/x86-assembler/guest-code'
import { elfImage, join, multibootHeader } from '@retrap/tooling/images'

/** Linear address of guest-physical 0. */
export const KERNEL = 0x8000_0000
/** Linear address of the local APIC's page, and of its task priority register. */
export const APIC = 0xfffe_0000
export const TPR: number = APIC + 0x80
/** The code that an interrupt, or the end, leaves to the harness by these ports. */
export const EXIT_PORT = 0x501
export const STORM_PORT = 0x2000
/** What a processor that takes an exception ends the machine with. */
export const EXIT_EXCEPTION = 0x7f

/** Guest-physical addresses. */
export const AT = {
  trampoline: 0x8000,
  image: 0x10_0000,
  stubs: 0x11_8000,
  tables: 0x11_a000,
  directory: 0x20_0000,
  kernelTables: 0x20_1000,
  apicTable: 0x20_3000,
  aliasTable: 0x20_4000,
  kpcr: 0x22_0000,
  variables: 0x2e_0000,
  /** A page that is followed by another frame than the next, for code that crosses. */
  window: 0x30_0000,
  stacks: 0x31_0000,
  logs: 0x40_0000,
} as const
export const RAM_BYTES = 0x80_0000
/** Linear address at which the first processor runs everything once more, with paging on and the variables zero. */
export const RESTART: number = KERNEL + AT.image + 20
const STACK_BYTES = 0x1000
const PT_LOAD = 1
/** Where the trampoline has the kernel's entry. */
const ENTRY = 0x80
/** Offsets in the KPCR: those that a patcher knows, and ours. */
const KPCR_SELF = 0x1c
const KPCR_NUMBER = 0x51
export const KPCR_LOG = 0x100
export const KPCR_BUDGET = 0x104
const GDT = AT.tables + 0x800
const SELECTOR = { code: 8, data: 16, firstKpcr: 24 }
/** A data segment that is no KPCR. */
export const NO_KPCR_SELECTOR = 16
/** Also mapped here, as the HAL of some systems is; and the register page with a top byte that is an opcode. */
export const ALIAS = 0xe000_0000
export const ODD_TPR = 0xa300_0080

export const linear = (physical: number): number => KERNEL + physical

/** What a kernel's parts are written with. */
export interface Kernel {
  readonly asm: x86.Assembler
  /** Appends EAX to the processor's log; changes nothing. */
  readonly log: () => void
  /** Ends the machine. */
  readonly exit: (code: number) => void
}

export interface KernelOptions {
  readonly cpus: number
  /** Bytes of each processor's log; default 64 KiB. */
  readonly logBytes?: number
  /** Moves the local APIC's page away from 0xFEE00000: another one answers there. */
  readonly moveApic?: boolean
  /** What the first processor does before it starts the others. */
  setup?(kernel: Kernel): void
  /** What every processor executes, with interrupts off and its APIC on; it returns. Once, with a number for a label of its own. */
  main(kernel: Kernel, cpu: number): void
  /** Interrupts, vector on the stack above the saved registers (PUSHAD); ends by itself. Default: an end of interrupt. */
  interrupt?(kernel: Kernel, done: x86.Label): void
  /** Further code and data. */
  extra?(kernel: Kernel): void
}

/** Where a processor's log is. */
export const logOf = (cpu: number, logBytes = 0x1_0000): number => AT.logs + cpu * logBytes

/** The kernel as a multiboot ELF image. */
export function buildKernel(options: KernelOptions): Uint8Array {
  const header = multibootHeader(3)
  const start = AT.image + header.length
  const asm = new x86.Assembler({ bits: 32, address: linear(start) })
  emitKernel(asm, options)
  const bytes = join(header, asm.assemble().bytes)
  // One part: loaders may clear what lies between two, and there the option ROMs are.
  return elfImage(32, start, [{ type: PT_LOAD, virtualAddress: AT.image, physicalAddress: AT.image, bytes }])
}

/** Turns paging on, in flat 32-bit protected mode without it; changes EAX. */
function emitPaging(asm: x86.Assembler): void {
  asm.mov(x86.eax, AT.directory).mov(x86.cr3, x86.eax)
  asm.mov(x86.eax, x86.cr4).or(x86.eax, 0x10).mov(x86.cr4, x86.eax)
  asm.mov(x86.eax, x86.cr0).or(x86.eax, 0x8001_0001).mov(x86.cr0, x86.eax)
}

/** From real mode to the kernel, whose entry is at its end: where start-up IPIs lead. */
function buildTrampoline(): Uint8Array {
  const asm = new x86.Assembler({ bits: 16, address: AT.trampoline })
  const pointer = asm.label()
  asm.cli().xor(x86.ax, x86.ax).mov(x86.ds, x86.ax)
  enterProtectedMode(asm, {
    gdtr: x86.fword(pointer),
    code: SELECTOR.code,
    data: SELECTOR.data,
    between: () => void asm.align(4).bind(pointer).dw(0x3ff).dd(GDT),
  })
  emitPaging(asm)
  asm
    .mov(x86.eax, x86.dword(AT.trampoline + ENTRY))
    .jmp(x86.eax)
    .org(AT.trampoline + ENTRY)
  return asm.assemble().bytes
}

function emitKernel(asm: x86.Assembler, options: KernelOptions): void {
  const { cpus, logBytes = 0x1_0000 } = options
  const kernel: Kernel = {
    asm,
    log: () => {
      // Not between the two: an interrupt's entries would be lost.
      asm.pushfd().cli().push(x86.ebx)
      asm.mov(x86.ebx, x86.dword(KPCR_LOG, { segment: x86.fs })).mov(x86.dword(x86.ebx), x86.eax)
      asm.lea(x86.ebx, x86.dword(x86.ebx, { disp: 4 })).mov(x86.dword(KPCR_LOG, { segment: x86.fs }), x86.ebx)
      asm.pop(x86.ebx).popfd()
    },
    exit: (code) => {
      asm.mov(x86.dx, EXIT_PORT).mov(x86.al, code).out(x86.dx, x86.al).cli().hlt()
    },
  }
  const high = asm.label()
  const apEntry = asm.label()
  const trampoline = asm.label()
  const run = asm.label()
  const wait = asm.label()
  const arrived = x86.dword(linear(AT.variables))
  const ended = x86.dword(linear(AT.variables + 4))

  const boot = asm.label()
  asm.jmp(boot).org(RESTART).jmp(high).bind(boot)
  // Physical addresses: paging is off. No interrupts of the i8259 pair, which firmware has left on.
  asm.cli().cld().mov(x86.esp, 0x7000).mov(x86.al, 0xff).out(0x21, x86.al).out(0xa1, x86.al)
  emitTables(asm)
  emitPaging(asm)
  asm.mov(x86.eax, high).jmp(x86.eax)
  asm.bind(high)
  asm.lgdt(x86.fword(linear(AT.tables + 0x7f8)))
  asm.push(SELECTOR.code).push(run).retf()
  asm.bind(apEntry).bind(run)
  asm.mov(x86.eax, SELECTOR.data).mov(x86.ds, x86.ax).mov(x86.es, x86.ax).mov(x86.ss, x86.ax).mov(x86.gs, x86.ax)
  asm.lidt(x86.fword(linear(AT.tables + 0x7f0)))
  if (options.moveApic === true) asm.mov(x86.ecx, 0x1b).mov(x86.eax, 0xfef0_0900).xor(x86.edx, x86.edx).wrmsr()
  // EBX: the processor's number, which is its APIC ID.
  asm.mov(x86.ebx, x86.dword(APIC + 0x20)).shr(x86.ebx, 24)
  asm.imul(x86.esp, x86.ebx, STACK_BYTES).add(x86.esp, linear(AT.stacks) + STACK_BYTES - 16)
  asm.lea(x86.eax, x86.dword(SELECTOR.firstKpcr, { index: x86.ebx, scale: 8 })).mov(x86.fs, x86.ax)
  asm
    .imul(x86.eax, x86.ebx, 0x1000)
    .add(x86.eax, linear(AT.kpcr))
    .mov(x86.dword(KPCR_SELF, { segment: x86.fs }), x86.eax)
  asm.mov(x86.byte(KPCR_NUMBER, { segment: x86.fs }), 0).add(x86.dword(KPCR_NUMBER, { segment: x86.fs }), x86.ebx)
  asm
    .imul(x86.eax, x86.ebx, logBytes)
    .add(x86.eax, linear(AT.logs))
    .mov(x86.dword(KPCR_LOG, { segment: x86.fs }), x86.eax)
  asm.mov(x86.dword(APIC + 0xf0), 0x1ff)
  asm.lock().inc(arrived)
  const others = asm.label()
  asm.test(x86.ebx, x86.ebx).jnz(others)
  options.setup?.(kernel)
  if (cpus > 1) {
    asm.mov(x86.esi, trampoline).mov(x86.edi, linear(AT.trampoline)).mov(x86.ecx, ENTRY).rep().movsb()
    asm.mov(x86.dword(linear(AT.trampoline + ENTRY)), apEntry)
    // INIT and start-up to all others.
    asm.mov(x86.dword(APIC + 0x300), 0xc_4500).mov(x86.dword(APIC + 0x300), 0xc_4600 | (AT.trampoline >>> 12))
    const waiting = asm.here()
    asm.pause().cmp(arrived, cpus).jne(waiting)
  }
  asm.bind(others)
  for (let cpu = 0; cpu < cpus; cpu++) {
    const next = asm.label()
    asm.cmp(x86.byte(KPCR_NUMBER, { segment: x86.fs }), cpu).jne(next)
    options.main(kernel, cpu)
    asm.cli().jmp(wait)
    asm.bind(next)
  }
  asm.bind(wait).lock().inc(ended)
  const waiting = asm.here()
  asm.pause().cmp(ended, cpus).jne(waiting)
  asm.cmp(x86.byte(KPCR_NUMBER, { segment: x86.fs }), 0)
  const halted = asm.label()
  asm.jne(halted)
  kernel.exit(0)
  asm.bind(halted).hlt().jmp(halted)

  const common = asm.label()
  asm.bind(common).pushad()
  const done = asm.label()
  options.interrupt?.(kernel, done)
  asm.bind(done).mov(x86.dword(APIC + 0xb0), 0)
  asm.popad().add(x86.esp, 4).iretd()
  const failed = asm.label()
  asm.bind(failed)
  kernel.exit(EXIT_EXCEPTION)
  options.extra?.(kernel)
  asm
    .align(16)
    .bind(trampoline)
    .db(...buildTrampoline())

  // A stub for each vector, 16 bytes apart, and the tables that lead there.
  for (let vector = 0; vector < 256; vector++) {
    asm.org(linear(AT.stubs) + 16 * vector)
    if (vector < 32) asm.jmp(failed)
    else asm.push(vector).jmp(common)
  }
  asm.org(linear(AT.tables))
  for (let vector = 0; vector < 256; vector++) {
    const target = linear(AT.stubs) + 16 * vector
    if (vector < 0xfe) asm.dw(target & 0xffff, SELECTOR.code, 0x8e00, target >>> 16)
  }
  asm
    .org(linear(AT.tables + 0x7f0))
    .dw(0x7ef)
    .dd(linear(AT.tables))
    .dw(0)
  asm.dw(0x3ff).dd(GDT).dw(0)
  asm.dq(0n, FLAT.code, FLAT.data)
  for (let cpu = 0; cpu < cpus; cpu++) asm.dq(descriptor(linear(AT.kpcr + cpu * 0x1000), 0xf_ffff, 0x93, 0xc))
}

/** The first 8 MiB at 0, at KERNEL and (4 MiB) at ALIAS; two pages of the kernel's window changed places. */
function emitTables(asm: x86.Assembler): void {
  const set = (at: number, value: number): void => void asm.mov(x86.dword(at), value)
  const entry = (address: number): number => AT.directory + (address >>> 22) * 4
  set(entry(0), 0x83)
  set(entry(0x40_0000), 0x40_0083)
  set(entry(KERNEL), AT.kernelTables | 3)
  set(entry(KERNEL + 0x40_0000), (AT.kernelTables + 0x1000) | 3)
  set(entry(ALIAS), 0x83)
  set(entry(APIC), AT.apicTable | 3)
  set(entry(ODD_TPR), AT.aliasTable | 3)
  asm.mov(x86.eax, 3).mov(x86.ecx, 0)
  const fill = asm.here()
  asm
    .mov(x86.dword(AT.kernelTables, { index: x86.ecx, scale: 4 }), x86.eax)
    .add(x86.eax, 0x1000)
    .inc(x86.ecx)
    .cmp(x86.ecx, 2048)
    .jne(fill)
  const first = AT.kernelTables + (AT.window >>> 12) * 4
  set(first, (AT.window + 0x1000) | 3)
  set(first + 4, AT.window | 3)
  set(AT.apicTable + ((APIC >>> 12) & 0x3ff) * 4, 0xfee0_0013)
  set(AT.aliasTable + ((ODD_TPR >>> 12) & 0x3ff) * 4, 0xfee0_0013)
}
