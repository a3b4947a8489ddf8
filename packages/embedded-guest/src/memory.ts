import { dword, eax, edi, esi, ptr, r12, r13, rax, rbx, rdi, rdx, rip, rsi } from '@retrap/x86-assembler'
import { CMOS } from './clocks.ts'
import type { Guest } from './guest.ts'
import { MMIO, ROM } from './memory-map.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB_4 = 0x1_0000_0000
const CONVENTIONAL_BYTES = 640 * KIB

/** Emits code that prints the amount of RAM, and the memory map below 4 GiB. */
export function emitMemory(guest: Guest): void {
  const { asm } = guest

  // RAX: bytes of RAM from 0 up to the hole below 4 GiB.
  guest.define('lowRam', [], (done) => {
    const small = asm.label()
    asm.mov(edi, CMOS.above16MibLow)
    guest.call('cmosWord')
    asm
      .test(eax, eax)
      .jz(small)
      .shl(rax, 16)
      .add(rax, 16 * MIB)
      .jmp(done)
    // Less than 16 MiB: only this field has it.
    asm.bind(small).mov(edi, CMOS.extendedLow)
    guest.call('cmosWord')
    asm.shl(rax, 10).add(rax, MIB)
  })

  // RAX: bytes of RAM from 4 GiB up.
  guest.define('highRam', [rbx], () => {
    asm.mov(edi, CMOS.above4GibLow)
    guest.call('cmosWord')
    asm.mov(rbx, rax).mov(edi, CMOS.above4GibLow + 2)
    guest.call('cmosByte')
    asm.shl(eax, 16).or(rax, rbx).shl(rax, 16)
  })

  // RDI: first GPA; RSI: bytes; RDX: description. Prints a line of the map.
  guest.define('putRange', [rbx, r12, r13], () => {
    asm.mov(rbx, rdi).mov(r12, rsi).mov(r13, rdx)
    guest.say('  ')
    asm.mov(rdi, rbx).mov(esi, 10)
    guest.call('putHex')
    guest.say('-')
    asm.lea(rdi, ptr(rbx, { index: r12, disp: -1 })).mov(esi, 10)
    guest.call('putHex')
    guest.say('  ')
    asm.mov(rdi, r12)
    guest.call('putSize')
    guest.say('  ')
    asm.mov(rdi, r13)
    guest.call('putText')
    guest.say('\n')
  })

  const range = (first: number, bytes: number, kind: string): void => {
    asm
      .mov(rdi, first)
      .mov(rsi, bytes)
      .lea(rdx, ptr(rip(guest.text(kind))))
    guest.call('putRange')
  }

  guest.define('reportMemory', [rbx, r12], () => {
    guest.call('lowRam')
    asm.mov(rbx, rax)
    guest.call('highRam')
    asm.mov(r12, rax)
    guest.say('Memory     ')
    asm.lea(rdi, ptr(rbx, { index: r12 }))
    guest.call('putSize')
    guest.say(' of RAM\n')
    range(0, CONVENTIONAL_BYTES, 'RAM')
    range(ROM.base, ROM.bytes, 'firmware')
    asm
      .mov(edi, MIB)
      .mov(rsi, rbx)
      .sub(rsi, MIB)
      .lea(rdx, ptr(rip(guest.text('RAM'))))
    guest.call('putRange')
    range(MMIO.ioApic, 0x1000, 'I/O APIC')
    // The first dword contains the vendor; all ones without an HPET.
    const noHpet = asm.label()
    guest.call('hpetPresent')
    asm.test(eax, eax).jz(noHpet)
    range(MMIO.hpet, 0x400, 'HPET')
    asm.bind(noHpet)
    range(MMIO.localApic, 0x1000, 'local APIC')
    range(GIB_4 - ROM.bytes, ROM.bytes, 'firmware')
    const noHigh = asm.label()
    asm
      .test(r12, r12)
      .jz(noHigh)
      .mov(rdi, GIB_4)
      .mov(rsi, r12)
      .lea(rdx, ptr(rip(guest.text('RAM'))))
    guest.call('putRange')
    asm.bind(noHigh)
  })

  emitDump(guest)
}

const DUMP_LINES = 4
const DUMP_LINE_BYTES = 16

/** RDI: GPA below 4 GiB. Prints some memory in hexadecimal. */
function emitDump(guest: Guest): void {
  const { asm } = guest
  guest.define('dumpMemory', [rbx, r12, r13], () => {
    const line = asm.label()
    const item = asm.label()
    asm.mov(rbx, rdi).mov(r12, DUMP_LINES)
    asm.bind(line)
    guest.say('  ')
    asm.mov(rdi, rbx).mov(esi, 8)
    guest.call('putHex')
    guest.say(' ')
    asm.mov(r13, DUMP_LINE_BYTES / 4).bind(item)
    guest.say(' ')
    asm.mov(edi, dword(rbx)).mov(esi, 8)
    guest.call('putHex')
    asm.add(rbx, 4).dec(r13).jnz(item)
    guest.say('\n')
    asm.dec(r12).jnz(line)
  })
}
