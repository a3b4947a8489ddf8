/** A guest to be debugged: from reset to long mode, where it calls a function that it has copied to RAM. */
import { activateLongMode, endFirmware, enterFlat, FIRMWARE_BASE } from '@retrap/x86-assembler/guest-code'
import * as x86 from '@retrap/x86-assembler'

const TABLES = 0x1_0000
const STACK = 0x1_8000
const FUNCTION = 0x2_0000
const DATA = 0x3_0000
const READ = DATA + 0x40
const CROSSED = DATA + 0x1000
const IDT = 0x4_0000
const IDTR = 0x4_1000
const CODE_64 = 0x08
const DATA_64 = 0x10
export const ROUNDS = 100

/** A guest's image, and where its labels are. */
export interface DebuggedGuest {
  readonly bytes: Uint8Array
  readonly at: (label: string) => number
}

/** Builds the image: 64 KiB that end at 1 MiB. @param isEndless - it loops at its end; else it resets the machine */
export function debuggedGuest(isEndless = true): DebuggedGuest {
  const asm = new x86.Assembler({ bits: 16, address: FIRMWARE_BASE })
  const [gdt, gdtr, long, source, sourceEnd] = [asm.label(), asm.label(), asm.label(), asm.label(), asm.label()]
  const handler = asm.label('handler')
  asm.nop().bind(asm.label('real'))
  enterFlat(asm, STACK)
  // The first 4 MiB are mapped to themselves.
  asm.mov(x86.dword(TABLES), TABLES + 0x1003).mov(x86.dword(TABLES + 0x1000), TABLES + 0x2003)
  asm.mov(x86.dword(TABLES + 0x2000), 0x83).mov(x86.dword(TABLES + 0x2008), x86.imm32(0x20_0083))
  activateLongMode(asm, { tables: TABLES, cr4: 0x620 })
  asm.lgdt(x86.fword(gdtr)).jmpf(x86.far32(CODE_64, long))
  asm.align(8).bind(gdt).dq(0n, 0x00af_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn)
  asm.bind(gdtr).dw(23).dd(gdt)

  asm.bits(64).bind(long)
  asm.mov(x86.ax, DATA_64).mov(x86.ds, x86.ax).mov(x86.es, x86.ax).mov(x86.ss, x86.ax).mov(x86.rsp, STACK)
  // The gate of #UD, whose handler is in the first MiB.
  asm
    .mov(x86.eax, handler)
    .mov(x86.ecx, x86.eax)
    .and(x86.eax, 0xffff)
    .or(x86.eax, CODE_64 << 16)
  asm
    .mov(x86.dword(IDT + 16 * 6), x86.eax)
    .mov(x86.eax, x86.ecx)
    .and(x86.eax, x86.imm32(0xffff_0000 | 0))
    .or(x86.eax, 0x8e00)
  asm.mov(x86.dword(IDT + 16 * 6 + 4), x86.eax)
  asm
    .mov(x86.dword(IDTR), x86.imm32((IDT << 16) | 0xfff))
    .mov(x86.dword(IDTR + 4), IDT >> 16)
    .mov(x86.dword(IDTR + 8), 0)
  asm.lidt(x86.tbyte(IDTR))
  asm.mov(x86.esi, source).mov(x86.edi, FUNCTION).mov(x86.ecx, sourceEnd.minus(source)).rep().movsb()
  asm.fninit().fld1().fldpi()
  asm
    .mov(x86.rax, 0x1122_3344_5566_7788n)
    .mov(x86.qword(DATA + 0x20), x86.rax)
    .mov(x86.qword(DATA + 0x28), x86.rax)
  asm
    .movups(x86.xmm0, x86.xmmword(DATA + 0x20))
    .mov(x86.eax, 3)
    .cvtsi2sd(x86.xmm1, x86.eax)
  asm
    .mov(x86.rdx, 0xfedc_ba98_7654_3210n)
    .mov(x86.rsi, 4)
    .mov(x86.rdi, 5)
    .mov(x86.rbp, 6)
    .mov(x86.r8, -1)
    .mov(x86.r15, 15)
    .mov(x86.rbx, 0)
  asm.mov(x86.rcx, ROUNDS)
  const again = asm.here()
  asm.mov(x86.eax, FUNCTION).call(x86.rax).dec(x86.rcx).jnz(again)
  asm.bind(asm.label('undefined')).ud2().mov(x86.eax, DATA_64)
  asm.bind(asm.label('shadow')).mov(x86.ss, x86.ax).inc(x86.rbx).bind(asm.label('afterShadow')).nop()
  asm.bind(asm.label('end'))
  // Without an IDT any exception is a triple fault.
  if (!isEndless) asm.mov(x86.dword(IDTR), 0).lidt(x86.tbyte(IDTR)).ud2()
  const end = asm.here()
  asm.nop().jmp(end)

  asm.bind(handler).add(x86.qword(x86.rsp), 2).iretq()
  asm.bind(source)
  asm.mov(x86.qword(DATA), x86.rcx).mov(x86.eax, x86.dword(READ)).inc(x86.rbx)
  asm.mov(x86.qword(CROSSED - 4), x86.rcx).ret()
  asm.bind(sourceEnd)
  endFirmware(asm)
  const { bytes, symbols } = asm.assemble()
  const places: Record<string, number> = { function: FUNCTION, data: DATA, read: READ, crossed: CROSSED }
  return { bytes, at: (label) => places[label] ?? Number(symbols.get(label)) }
}
