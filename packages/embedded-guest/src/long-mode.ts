import { al, cr0, cr3, cr4, dword, dx, eax, ebx, ecx, edi, edx, esi, far32, rsp } from '@retrap/x86-assembler'
import type { Label } from '@retrap/x86-assembler'
import { CR0_EM, CR0_MP, CR0_NE, CR0_PG, CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_PAE, EFER_LME } from '@retrap/x86-cpu'
import type { Guest } from './guest.ts'
import { PAGE_TABLES, PORT, SELECTOR, STACK_TOP, UNCACHED_FROM_GIBIBYTE } from './memory-map.ts'

const CPUID_EXTENDED = 0x8000_0000
const CPUID_LM = 1 << 29
const MSR_EFER = 0xc000_0080

// Paging-structure entries: SDM vol. 3A, "4-Level Paging".
const PRESENT_WRITABLE = 0b11
const CACHE_DISABLE = 1 << 4
const PAGE_SIZE = 1 << 7
const PAGE_BYTES = 0x20_0000
const ENTRIES = 512

/**
 * Emits the code from 32-bit protected mode to 64-bit mode, with 4 GiB mapped one to one.
 *
 * @param entry - end of the preceding 32-bit code
 * @param next - following 64-bit code
 */
export function emitLongMode(guest: Guest, entry: Label, next: Label): void {
  const { asm } = guest
  asm.bits(32).bind(entry)

  const unsupported = asm.label('unsupported')
  asm
    .mov(eax, CPUID_EXTENDED)
    .cpuid()
    .cmp(eax, CPUID_EXTENDED + 1)
    .jb(unsupported)
  asm
    .mov(eax, CPUID_EXTENDED + 1)
    .cpuid()
    .test(edx, CPUID_LM)
    .jz(unsupported)

  emitPageTables(guest)
  asm
    .mov(eax, cr4)
    .or(eax, CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT)
    .mov(cr4, eax)
  asm.mov(eax, PAGE_TABLES.pml4).mov(cr3, eax)
  asm.mov(ecx, MSR_EFER).rdmsr().or(eax, EFER_LME).wrmsr()
  // Setting CR0.PG with EFER.LME set activates long mode; until the far jump it is compatibility mode.
  asm
    .mov(eax, cr0)
    .and(eax, ~CR0_EM)
    .or(eax, CR0_PG | CR0_MP | CR0_NE)
    .mov(cr0, eax)

  const long = asm.label('long')
  asm.jmp(far32(SELECTOR.code64, long))
  emitUnsupported(guest, unsupported)

  asm.bits(64).bind(long).mov(rsp, STACK_TOP).jmp(next)
}

function emitPageTables(guest: Guest): void {
  const { asm } = guest
  const { pml4, pdpt, directories, gibibytes, end } = PAGE_TABLES
  asm
    .xor(eax, eax)
    .mov(edi, pml4)
    .mov(ecx, (end - pml4) / 4)
    .rep()
    .stosd()
  asm.mov(dword(pml4), pdpt | PRESENT_WRITABLE)
  for (let index = 0; index < gibibytes; index++) {
    asm.mov(dword(pdpt + 8 * index), (directories + 0x1000 * index) | PRESENT_WRITABLE)
  }
  // The directories are contiguous, so one loop fills them all; the upper halves of entries stay 0.
  const uncached = asm.label()
  asm.mov(eax, PRESENT_WRITABLE | PAGE_SIZE).xor(ecx, ecx)
  const fill = asm.here()
  asm
    .mov(ebx, eax)
    .cmp(ecx, UNCACHED_FROM_GIBIBYTE * ENTRIES)
    .jb(uncached)
    .or(ebx, CACHE_DISABLE)
  asm.bind(uncached).mov(dword(directories, { index: ecx, scale: 8 }), ebx)
  asm
    .add(eax, PAGE_BYTES)
    .inc(ecx)
    .cmp(ecx, gibibytes * ENTRIES)
    .jb(fill)
}

/** Prints an error on a serial port that is not set up yet, and stops. */
function emitUnsupported(guest: Guest, label: Label): void {
  const { asm } = guest
  const stop = asm.label()
  asm.bind(label).mov(esi, guest.text('This guest needs a 64-bit processor.\r\n')).mov(dx, PORT.com1)
  const next = asm.here()
  asm.lodsb().test(al, al).jz(stop).out(dx, al).jmp(next)
  asm.bind(stop).cli().hlt().jmp(stop)
}
