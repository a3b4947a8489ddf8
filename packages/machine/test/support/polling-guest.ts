import { ah, al, type Assembler, ax, byte, dword, dx, eax, ebx, ecx, edi, imm16, imm32 } from '@retrap/x86-assembler'
import type { Pc } from '../../src/index.ts'
import { multibootKernel } from './kernels.ts'

/** A write of 0 ends the guest: `DebugExit` belongs there. */
export const EXIT_PORT = 0x501
/** What ends the guest when it comes by the serial port. */
export const LAST = 'q'
const STATE = 0x20_0000
/** Where the guest counts what it has taken. */
export const COUNT_ADDRESS = STATE + 4
const TRAMPOLINE = 0x8000
const COUNTER = 0x9000
const APIC = 0xfee0_0000
/** Sectors that are read, again and again. */
const SECTORS = 64

/** Real-mode code that counts for ever: xor ax,ax; mov ds,ax; inc dword [9000h]; jmp. */
const COUNTING = [0x31, 0xc0, 0x8e, 0xd8, 0x66, 0xff, 0x06, 0x00, 0x90, 0xeb, 0xf9]

/** Adds EAX, the time-stamp counter and how far the other processor is to the hash in EBX. */
function mix(asm: Assembler): void {
  asm.rol(ebx, 5).xor(ebx, eax)
  asm.rdtsc().rol(ebx, 5).xor(ebx, eax)
  asm.mov(eax, dword(COUNTER)).rol(ebx, 5).xor(ebx, eax).mov(dword(STATE), ebx)
  asm.inc(dword(STATE + 4))
}

/**
 * A kernel that polls the serial port, the keyboard and an IDE disk. With each byte and each sector it notes the time, and
 * how far a second processor has counted: a run in which any of them comes an instruction later has another hash.
 *
 * @param cpus - with 2, the second one counts
 */
export function pollingKernel(cpus: 1 | 2): Uint8Array {
  return multibootKernel((asm) => {
    const [noSerial, noKey, noDisk] = [asm.label(), asm.label(), asm.label()]
    asm
      .cld()
      .mov(ebx, imm32(1))
      .mov(dword(COUNTER), 0)
      .mov(dword(STATE + 4), 0)
    for (const [i, value] of COUNTING.entries()) asm.mov(byte(TRAMPOLINE + i), value)
    if (cpus === 2) {
      asm.mov(dword(APIC + 0xf0), imm32(0x1ff)).mov(dword(APIC + 0x310), imm32(0x0100_0000))
      asm.mov(dword(APIC + 0x300), imm32(0xc4500)).mov(dword(APIC + 0x300), imm32(0xc4600 | (TRAMPOLINE >> 12)))
    }
    // The keyboard reports keys.
    asm.mov(al, 0xae).out(0x64, al).mov(al, 0xf4).out(0x60, al)
    const read = (): void => {
      const port = (number: number): Assembler => asm.mov(dx, imm16(number))
      port(0x1f6).mov(al, 0xe0).out(dx, al)
      port(0x1f2).mov(al, 1).out(dx, al)
      asm.mov(eax, dword(STATE + 4)).and(eax, SECTORS - 1)
      port(0x1f3).out(dx, al)
      asm.mov(al, 0)
      port(0x1f4).out(dx, al)
      port(0x1f5).out(dx, al)
      port(0x1f7).mov(al, 0x20).out(dx, al)
    }
    read()
    const poll = asm.here()
    asm.mov(dx, imm16(0x3fd)).in(al, dx).test(al, 1).jz(noSerial)
    asm.mov(dx, imm16(0x3f8)).in(al, dx).movzx(eax, al).mov(edi, eax)
    mix(asm)
    const goesOn = asm.label()
    asm.cmp(edi, LAST.charCodeAt(0)).jnz(goesOn)
    asm.mov(dx, imm16(EXIT_PORT)).mov(al, 0).out(dx, al).hlt()
    asm.bind(goesOn)
    asm.bind(noSerial).in(al, 0x64).test(al, 1).jz(noKey)
    asm.in(al, 0x60).movzx(eax, al)
    mix(asm)
    asm.bind(noKey).mov(dx, imm16(0x1f7)).in(al, dx).mov(ah, al).and(ax, 0x0880).cmp(ax, imm16(0x0800)).jnz(noDisk)
    asm.mov(ecx, 256).mov(dx, imm16(0x1f0))
    const word = asm.here()
    asm.in(ax, dx).rol(ebx, 1).xor(ebx, eax).loop(word)
    mix(asm)
    read()
    asm.bind(noDisk).jmp(poll)
  })
}

/** What the guest has come to: its hash, and how many bytes and sectors have come. */
export function pollingResult(pc: Pc): { readonly hash: number; readonly count: number } {
  const bytes = new Uint8Array(8)
  pc.domain.guestMemory.read(STATE, bytes)
  const view = new DataView(bytes.buffer)
  return { hash: view.getUint32(0, true), count: view.getUint32(4, true) }
}
