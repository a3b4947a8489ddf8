import {
  al,
  type Assembler,
  byte,
  dl,
  dword,
  dx,
  eax,
  ebp,
  ebx,
  ecx,
  edi,
  edx,
  esi,
  esp,
  fword,
  imm32,
} from '@retrap/x86-assembler'
import { EXIT_PORT } from './clock-guest.ts'
import { BASE, multibootKernel } from './kernels.ts'

/* Public headers xen.h, memory.h, vcpu.h, event_channel.h, grant_table.h, hvm/params.h; io/xs_wire.h, io/console.h. */
const MEMORY_OP = 12
const GRANT_TABLE_OP = 20
const VCPU_OP = 24
const EVENT_CHANNEL_OP = 32
const HVM_OP = 34
const SELF = 0x7ff0
const VECTOR = 0x60
const STORE_RING = 0xfeff_c000
const STORE_PORT = 1
const CONSOLE_RING = 0xfeff_f000
const CONSOLE_PORT = 2

/** Where things are: RAM of 4 MiB, of which two frames go and come back elsewhere. */
const STATE = 0x20_0000
const ARGUMENTS = 0x20_1000
const VCPU_INFO = 0x20_2040
const GRANTED = 0x20_3000
const LOG = 0x21_0000
const SHARED_INFO = 0x30_0000
const GRANT_TABLE = 0x30_1000
const GIVEN_BACK = 0x31_0000
const MAPPED = 0x100_0000
/** RAM that comes by a hypercall. */
const POPULATED = 0x80_0000
const STACK = 0x3f_0000
const IDT = 0x20_8000
const CODE_AT = BASE + 0x800
const HANDLER = BASE + 0x2000
const TABLES = BASE + 0x2800
const MESSAGES = BASE + 0x3000

/** Written in each round of its loop. */
export const ROUND_PORT = 0x590
/** Interrupts that it takes. */
const TICKS = 150
const ROUNDS = 20
/** Bytes of a message that go into the ring at a time: most messages come in parts. */
const PART = 13

/** A guest of Xen's messages to the store, in rounds: a watch, transactions, answers. */
function messages(): Uint8Array {
  const all: number[] = []
  const add = (type: number, transaction: number, payload: string): void => {
    const words = Uint32Array.of(type, all.length, transaction, payload.length)
    all.push(...new Uint8Array(words.buffer), ...new TextEncoder().encode(payload))
  }
  const [READ, WATCH, BEGIN, END, WRITE] = [2, 4, 6, 7, 11]
  add(WATCH, 0, 'data\0token\0')
  for (let round = 1; round <= ROUNDS; round++) {
    add(BEGIN, 0, '\0')
    add(WRITE, round, `data/a\0${round}`)
    add(READ, 0, 'data/a\0')
    add(READ, round, 'data/a\0')
    add(WRITE, 0, `data/b\0${round}`)
    add(END, round, 'T\0')
  }
  return Uint8Array.from(all)
}

/** A hypercall of 32-bit code. */
function hypercall(asm: Assembler, number: number, command: number, second: number, third = 0): void {
  asm.mov(ebx, imm32(command)).mov(ecx, imm32(second)).mov(edx, imm32(third)).mov(eax, imm32(number)).vmcall()
}

/** Writes the words of a call's argument. */
function words(asm: Assembler, at: number, ...values: readonly number[]): void {
  for (const [i, value] of values.entries()) asm.mov(dword(at + 4 * i), imm32(value))
}

/**
 * A guest of Xen that uses all there is: a page of Xen's and `vcpu_info` in its RAM, a timer whose events come by the callback vector,
 * a grant of its own, mapped for writing, frames that go and come, the store with transactions and messages in parts, and the
 * console. It notes when each event came, and ends after 150.
 */
export const xenKernel: Uint8Array = multibootKernel((asm) => {
  const stream = messages()
  asm.mov(eax, imm32(CODE_AT)).jmp(eax)
  asm.org(CODE_AT)
  // Its own descriptors, of the loader's selectors.
  asm
    .lgdt(fword(TABLES))
    .lidt(fword(TABLES + 8))
    .mov(esp, imm32(STACK))
  asm.mov(dword(IDT + 8 * VECTOR), imm32((HANDLER & 0xffff) | (8 << 16)))
  asm.mov(dword(IDT + 8 * VECTOR + 4), imm32(((HANDLER & 0xffff_0000) | 0x8e00) >>> 0))
  words(asm, STATE, LOG, 0, 0, 0)
  // RAM goes, and a page of Xen's comes there; vcpu_info is the guest's.
  words(asm, ARGUMENTS, SELF, 0, 0, SHARED_INFO / 0x1000)
  hypercall(asm, MEMORY_OP, 7, ARGUMENTS)
  words(asm, ARGUMENTS, VCPU_INFO >>> 12, 0, VCPU_INFO & 0xfff, 0)
  hypercall(asm, VCPU_OP, 10, 0, ARGUMENTS)
  words(asm, ARGUMENTS, SELF, 0, VECTOR, 2 << 24)
  hypercall(asm, HVM_OP, 0, ARGUMENTS)
  words(asm, ARGUMENTS, 0, 0, 0)
  hypercall(asm, EVENT_CHANNEL_OP, 1, ARGUMENTS)
  words(asm, ARGUMENTS, 1_000_003, 0)
  hypercall(asm, VCPU_OP, 6, 0, ARGUMENTS)
  // A frame is granted, and mapped.
  words(asm, ARGUMENTS, SELF, 1, 0, GRANT_TABLE / 0x1000)
  hypercall(asm, MEMORY_OP, 7, ARGUMENTS)
  words(asm, GRANT_TABLE + 80, 1 | (1 << 16), GRANTED / 0x1000)
  words(asm, ARGUMENTS, MAPPED, 0, 2, 10, 1, 0, 0, 0)
  hypercall(asm, GRANT_TABLE_OP, 0, ARGUMENTS, 1)
  // Two frames go, and one comes.
  words(asm, ARGUMENTS + 64, GIVEN_BACK / 0x1000, GIVEN_BACK / 0x1000 + 1, POPULATED / 0x1000)
  words(asm, ARGUMENTS, ARGUMENTS + 64, 2, 0, 0, SELF)
  hypercall(asm, MEMORY_OP, 1, ARGUMENTS)
  words(asm, ARGUMENTS, ARGUMENTS + 72, 1, 0, 0, SELF)
  hypercall(asm, MEMORY_OP, 6, ARGUMENTS)
  asm.mov(byte(VCPU_INFO + 1), 0).sti()

  const loop = asm.here()
  asm.mov(dx, ROUND_PORT).out(dx, al)
  // A part of a message to the store.
  asm.mov(esi, dword(STATE + 4)).mov(ecx, imm32(PART))
  const [push, pushed, answers, answered] = [asm.label(), asm.label(), asm.label(), asm.label()]
  asm
    .bind(push)
    .cmp(esi, imm32(stream.length))
    .jae(pushed)
    .mov(al, byte(esi, { disp: MESSAGES }))
    .mov(edi, dword(STORE_RING + 2052))
    .mov(ebp, edi)
    .and(edi, imm32(1023))
    .mov(byte(edi, { disp: STORE_RING | 0 }), al)
    .inc(ebp)
    .mov(dword(STORE_RING + 2052), ebp)
    .inc(esi)
    .dec(ecx)
    .jne(push)
    .bind(pushed)
    .mov(dword(STATE + 4), esi)
  words(asm, ARGUMENTS, STORE_PORT)
  hypercall(asm, EVENT_CHANNEL_OP, 4, ARGUMENTS)
  // Its answers are mixed into a number.
  asm
    .bind(answers)
    .mov(edi, dword(STORE_RING + 2056))
    .cmp(edi, dword(STORE_RING + 2060))
    .je(answered)
    .mov(ebp, edi)
    .and(edi, imm32(1023))
    .movzx(eax, byte(edi, { disp: (STORE_RING + 1024) | 0 }))
    .inc(ebp)
    .mov(dword(STORE_RING + 2056), ebp)
    .mov(edx, dword(STATE + 8))
    .rol(edx, 5)
    .xor(edx, eax)
    .mov(dword(STATE + 8), edx)
    .jmp(answers)
    .bind(answered)
  // A letter of that number is printed.
  asm
    .mov(edx, dword(STATE + 8))
    .and(edx, 15)
    .add(edx, 'a'.charCodeAt(0))
  asm
    .mov(edi, dword(CONSOLE_RING + 3084))
    .mov(ebp, edi)
    .and(edi, imm32(2047))
  asm.mov(byte(edi, { disp: (CONSOLE_RING + 1024) | 0 }), dl)
  asm.inc(ebp).mov(dword(CONSOLE_RING + 3084), ebp)
  words(asm, ARGUMENTS, CONSOLE_PORT)
  hypercall(asm, EVENT_CHANNEL_OP, 4, ARGUMENTS)
  asm.mov(ecx, imm32(4000))
  const spin = asm.here()
  asm.dec(ecx).jne(spin)
  asm
    .hlt()
    .cmp(dword(STATE), imm32(LOG + 16 * TICKS))
    .jb(loop)
  asm.cli().mov(dx, EXIT_PORT).mov(al, 0).out(dx, al).hlt()

  asm.org(HANDLER)
  asm.push(eax).push(edx).push(edi)
  asm
    .mov(byte(VCPU_INFO), 0)
    .xor(eax, eax)
    .xchg(dword(VCPU_INFO + 4), eax)
  asm.mov(edi, dword(STATE)).mov(dword(edi), eax)
  asm
    .xor(eax, eax)
    .xchg(dword(SHARED_INFO + 2048), eax)
    .mov(dword(edi, { disp: 4 }), eax)
  asm.rdtsc().mov(dword(edi, { disp: 8 }), eax)
  // Both ends of the grant, and the frame that has come.
  asm
    .inc(dword(GRANTED))
    .mov(eax, dword(MAPPED))
    .mov(dword(edi, { disp: 12 }), eax)
  asm
    .add(dword(MAPPED + 4), eax)
    .inc(dword(POPULATED))
    .add(edi, 16)
    .mov(dword(STATE), edi)
  asm.pop(edi).pop(edx).pop(eax).iretd()

  asm
    .org(TABLES)
    .dw(0x17)
    .dd(TABLES + 0x20)
    .dw(0)
  asm.dw(8 * (VECTOR + 1) - 1).dd(IDT)
  asm.org(TABLES + 0x20)
  for (const kind of [0, 0x9b, 0x93]) asm.dq(kind === 0 ? 0n : 0xcf_0000_0000_ffffn | (BigInt(kind) << 40n))
  asm.org(MESSAGES).db(stream)
})
