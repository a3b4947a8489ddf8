import { endFirmware, enterFlat, FIRMWARE_BASE, FLAT_CODE } from '@retrap/x86-assembler/guest-code'
import { al, Assembler, byte, cl, dword, dx, eax, edx, fword, imm16, imm32 } from '@retrap/x86-assembler'

/** Drivers of the example `dma-copy`: a sound one, and two with races. */
export type CopyDriver = 'sound' | 'reads no status' | 'waits for a while'

const APIC = 0xfee0_0000
const IDT = FIRMWARE_BASE + 0x8000
const HANDLER = FIRMWARE_BASE + 0x4000
const VECTOR = 0x40
/** Where BAR 0 is put, and its registers. */
const BAR = 0xe000_0000
const [SOURCE, DESTINATION, LENGTH, BEGIN, STATUS] = [BAR, BAR + 8, BAR + 16, BAR + 20, BAR + 24]
const BUSY = 1
/** The driver's flag: a copy is done. */
const DONE = 0x1_0000
const [FROM, TO, BYTES] = [0x2_0000, 0x3_0000, 256]
const ROUNDS = 4
const SLOT = 16
/** Where MSI is in configuration space. */
const MSI = 0x40
/** A driver that waits for a while gives up after so many turns. */
const TURNS = 20_000

/** Firmware that has the device copy memory some times, and prints `ok`, or `bad` where a copy is not what it was to be. */
export function copyFirmware(driver: CopyDriver): Uint8Array {
  const asm = new Assembler({ bits: 16, address: FIRMWARE_BASE })
  enterFlat(asm, 0x7000)
  const config = (register: number, value: number): void => {
    asm
      .mov(dx, imm16(0xcf8))
      .mov(eax, imm32(0x8000_0000 | (SLOT << 11) | register | 0))
      .out(dx, eax)
    asm
      .mov(dx, imm16(0xcfc))
      .mov(eax, imm32(value | 0))
      .out(dx, eax)
  }
  const print = (text: string): void => {
    for (const byteOf of Buffer.from(text)) asm.mov(dx, imm16(0x3f8)).mov(al, byteOf).out(dx, al)
  }
  asm.mov(dx, imm16(0x3fb)).mov(al, 3).out(dx, al)
  asm.lidt(fword(IDT + 0x800)).mov(dword(APIC + 0xf0), imm32(0x1ff))
  config(0x10, BAR)
  config(0x04, 6)
  config(MSI + 4, APIC)
  config(MSI + 12, VECTOR)
  config(MSI, 1 << 16)
  asm.mov(dword(SOURCE), imm32(FROM)).mov(dword(DESTINATION), imm32(TO)).mov(dword(LENGTH), imm32(BYTES))
  asm.mov(cl, ROUNDS)
  const [bad, end] = [asm.label(), asm.label()]
  const round = asm.here()
  // Each copy is of another number.
  asm
    .movzx(eax, cl)
    .mov(dword(FROM), eax)
    .mov(dword(FROM + BYTES - 4), eax)
  asm.mov(byte(DONE), 0).mov(dword(BEGIN), imm32(1))
  const isDone = asm.label()
  if (driver === 'waits for a while') asm.mov(edx, imm32(TURNS)).sti()
  const wait = asm.here()
  if (driver === 'waits for a while') asm.cmp(byte(DONE), 0).jnz(isDone).dec(edx).jnz(wait)
  else asm.cli().cmp(byte(DONE), 0).jnz(isDone).sti().hlt().jmp(wait)
  asm.bind(isDone)
  asm
    .movzx(eax, cl)
    .cmp(dword(TO), eax)
    .jnz(bad)
    .cmp(dword(TO + BYTES - 4), eax)
    .jnz(bad)
  asm.dec(cl).jnz(round)
  print('ok\n')
  asm.jmp(end).bind(bad)
  print('bad\n')
  asm.bind(end).cli().hlt()
  asm.org(HANDLER)
  const notYet = asm.label()
  asm.push(eax)
  if (driver !== 'reads no status') asm.mov(eax, dword(STATUS)).test(al, BUSY).jnz(notYet)
  asm.mov(dword(STATUS), imm32(0)).mov(byte(DONE), 1)
  asm
    .bind(notYet)
    .mov(dword(APIC + 0xb0), imm32(0))
    .pop(eax)
    .iretd()
  asm.org(IDT)
  for (let vector = 0; vector <= VECTOR; vector++) {
    const address = vector === VECTOR ? BigInt(HANDLER) : 0n
    asm.dq((address & 0xffffn) | (BigInt(FLAT_CODE) << 16n) | (0x8e00n << 32n) | ((address >> 16n) << 48n))
  }
  asm
    .org(IDT + 0x800)
    .dw(0x7ff)
    .dd(IDT)
  endFirmware(asm)
  return asm.assemble().bytes
}
