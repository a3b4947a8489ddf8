/** A guest to be debugged: from reset to long mode, where it calls a function that it has copied to RAM. */
import { activateLongMode, endFirmware, enterFlat, FIRMWARE_BASE } from '@retrap/x86-assembler/guest-code'
import {
  Assembler,
  ax,
  ds,
  dword,
  eax,
  ecx,
  edi,
  es,
  esi,
  far32,
  fword,
  imm32,
  qword,
  r15,
  r8,
  rax,
  rbp,
  rbx,
  rcx,
  rdi,
  rdx,
  rsi,
  rsp,
  ss,
  tbyte,
  xmm0,
  xmm1,
  xmmword,
} from '@retrap/x86-assembler'

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
  const asm = new Assembler({ bits: 16, address: FIRMWARE_BASE })
  const [gdt, gdtr, long, source, sourceEnd] = [asm.label(), asm.label(), asm.label(), asm.label(), asm.label()]
  const handler = asm.label('handler')
  asm.nop().bind(asm.label('real'))
  enterFlat(asm, STACK)
  // The first 4 MiB are mapped to themselves.
  asm.mov(dword(TABLES), TABLES + 0x1003).mov(dword(TABLES + 0x1000), TABLES + 0x2003)
  asm.mov(dword(TABLES + 0x2000), 0x83).mov(dword(TABLES + 0x2008), imm32(0x20_0083))
  activateLongMode(asm, { tables: TABLES, cr4: 0x620 })
  asm.lgdt(fword(gdtr)).jmpf(far32(CODE_64, long))
  asm.align(8).bind(gdt).dq(0n, 0x00af_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn)
  asm.bind(gdtr).dw(23).dd(gdt)

  asm.bits(64).bind(long)
  asm.mov(ax, DATA_64).mov(ds, ax).mov(es, ax).mov(ss, ax).mov(rsp, STACK)
  // The gate of #UD, whose handler is in the first MiB.
  asm
    .mov(eax, handler)
    .mov(ecx, eax)
    .and(eax, 0xffff)
    .or(eax, CODE_64 << 16)
  asm
    .mov(dword(IDT + 16 * 6), eax)
    .mov(eax, ecx)
    .and(eax, imm32(0xffff_0000 | 0))
    .or(eax, 0x8e00)
  asm.mov(dword(IDT + 16 * 6 + 4), eax)
  asm
    .mov(dword(IDTR), imm32((IDT << 16) | 0xfff))
    .mov(dword(IDTR + 4), IDT >> 16)
    .mov(dword(IDTR + 8), 0)
  asm.lidt(tbyte(IDTR))
  asm.mov(esi, source).mov(edi, FUNCTION).mov(ecx, sourceEnd.minus(source)).rep().movsb()
  asm.fninit().fld1().fldpi()
  asm
    .mov(rax, 0x1122_3344_5566_7788n)
    .mov(qword(DATA + 0x20), rax)
    .mov(qword(DATA + 0x28), rax)
  asm
    .movups(xmm0, xmmword(DATA + 0x20))
    .mov(eax, 3)
    .cvtsi2sd(xmm1, eax)
  asm.mov(rdx, 0xfedc_ba98_7654_3210n).mov(rsi, 4).mov(rdi, 5).mov(rbp, 6).mov(r8, -1).mov(r15, 15).mov(rbx, 0)
  asm.mov(rcx, ROUNDS)
  const again = asm.here()
  asm.mov(eax, FUNCTION).call(rax).dec(rcx).jnz(again)
  asm.bind(asm.label('undefined')).ud2().mov(eax, DATA_64)
  asm.bind(asm.label('shadow')).mov(ss, ax).inc(rbx).bind(asm.label('afterShadow')).nop()
  asm.bind(asm.label('end'))
  // Without an IDT any exception is a triple fault.
  if (!isEndless) asm.mov(dword(IDTR), 0).lidt(tbyte(IDTR)).ud2()
  const end = asm.here()
  asm.nop().jmp(end)

  asm.bind(handler).add(qword(rsp), 2).iretq()
  asm.bind(source)
  asm.mov(qword(DATA), rcx).mov(eax, dword(READ)).inc(rbx)
  asm.mov(qword(CROSSED - 4), rcx).ret()
  asm.bind(sourceEnd)
  endFirmware(asm)
  const { bytes, symbols } = asm.assemble()
  const places: Record<string, number> = { function: FUNCTION, data: DATA, read: READ, crossed: CROSSED }
  return { bytes, at: (label) => places[label] ?? Number(symbols.get(label)) }
}
