import * as x86 from '@retrap/x86-assembler'
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
function hypercall(asm: x86.Assembler, number: number, command: number, second: number, third = 0): void {
  asm
    .mov(x86.ebx, x86.imm32(command))
    .mov(x86.ecx, x86.imm32(second))
    .mov(x86.edx, x86.imm32(third))
    .mov(x86.eax, x86.imm32(number))
    .vmcall()
}

/** Writes the words of a call's argument. */
function words(asm: x86.Assembler, at: number, ...values: readonly number[]): void {
  for (const [i, value] of values.entries()) asm.mov(x86.dword(at + 4 * i), x86.imm32(value))
}

/**
 * A guest of Xen that uses all there is: a page of Xen's and `vcpu_info` in its RAM, a timer whose events come by the callback vector,
 * a grant of its own, mapped for writing, frames that go and come, the store with transactions and messages in parts, and the
 * console. It notes when each event came, and ends after 150.
 */
export const xenKernel: Uint8Array = multibootKernel((asm) => {
  const stream = messages()
  asm.mov(x86.eax, x86.imm32(CODE_AT)).jmp(x86.eax)
  asm.org(CODE_AT)
  // Its own descriptors, of the loader's selectors.
  asm
    .lgdt(x86.fword(TABLES))
    .lidt(x86.fword(TABLES + 8))
    .mov(x86.esp, x86.imm32(STACK))
  asm.mov(x86.dword(IDT + 8 * VECTOR), x86.imm32((HANDLER & 0xffff) | (8 << 16)))
  asm.mov(x86.dword(IDT + 8 * VECTOR + 4), x86.imm32(((HANDLER & 0xffff_0000) | 0x8e00) >>> 0))
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
  asm.mov(x86.byte(VCPU_INFO + 1), 0).sti()

  const loop = asm.here()
  asm.mov(x86.dx, ROUND_PORT).out(x86.dx, x86.al)
  // A part of a message to the store.
  asm.mov(x86.esi, x86.dword(STATE + 4)).mov(x86.ecx, x86.imm32(PART))
  const [push, pushed, answers, answered] = [asm.label(), asm.label(), asm.label(), asm.label()]
  asm
    .bind(push)
    .cmp(x86.esi, x86.imm32(stream.length))
    .jae(pushed)
    .mov(x86.al, x86.byte(x86.esi, { disp: MESSAGES }))
    .mov(x86.edi, x86.dword(STORE_RING + 2052))
    .mov(x86.ebp, x86.edi)
    .and(x86.edi, x86.imm32(1023))
    .mov(x86.byte(x86.edi, { disp: STORE_RING | 0 }), x86.al)
    .inc(x86.ebp)
    .mov(x86.dword(STORE_RING + 2052), x86.ebp)
    .inc(x86.esi)
    .dec(x86.ecx)
    .jne(push)
    .bind(pushed)
    .mov(x86.dword(STATE + 4), x86.esi)
  words(asm, ARGUMENTS, STORE_PORT)
  hypercall(asm, EVENT_CHANNEL_OP, 4, ARGUMENTS)
  // Its answers are mixed into a number.
  asm
    .bind(answers)
    .mov(x86.edi, x86.dword(STORE_RING + 2056))
    .cmp(x86.edi, x86.dword(STORE_RING + 2060))
    .je(answered)
    .mov(x86.ebp, x86.edi)
    .and(x86.edi, x86.imm32(1023))
    .movzx(x86.eax, x86.byte(x86.edi, { disp: (STORE_RING + 1024) | 0 }))
    .inc(x86.ebp)
    .mov(x86.dword(STORE_RING + 2056), x86.ebp)
    .mov(x86.edx, x86.dword(STATE + 8))
    .rol(x86.edx, 5)
    .xor(x86.edx, x86.eax)
    .mov(x86.dword(STATE + 8), x86.edx)
    .jmp(answers)
    .bind(answered)
  // A letter of that number is printed.
  asm
    .mov(x86.edx, x86.dword(STATE + 8))
    .and(x86.edx, 15)
    .add(x86.edx, 'a'.charCodeAt(0))
  asm
    .mov(x86.edi, x86.dword(CONSOLE_RING + 3084))
    .mov(x86.ebp, x86.edi)
    .and(x86.edi, x86.imm32(2047))
  asm.mov(x86.byte(x86.edi, { disp: (CONSOLE_RING + 1024) | 0 }), x86.dl)
  asm.inc(x86.ebp).mov(x86.dword(CONSOLE_RING + 3084), x86.ebp)
  words(asm, ARGUMENTS, CONSOLE_PORT)
  hypercall(asm, EVENT_CHANNEL_OP, 4, ARGUMENTS)
  asm.mov(x86.ecx, x86.imm32(4000))
  const spin = asm.here()
  asm.dec(x86.ecx).jne(spin)
  asm
    .hlt()
    .cmp(x86.dword(STATE), x86.imm32(LOG + 16 * TICKS))
    .jb(loop)
  asm.cli().mov(x86.dx, EXIT_PORT).mov(x86.al, 0).out(x86.dx, x86.al).hlt()

  asm.org(HANDLER)
  asm.push(x86.eax).push(x86.edx).push(x86.edi)
  asm
    .mov(x86.byte(VCPU_INFO), 0)
    .xor(x86.eax, x86.eax)
    .xchg(x86.dword(VCPU_INFO + 4), x86.eax)
  asm.mov(x86.edi, x86.dword(STATE)).mov(x86.dword(x86.edi), x86.eax)
  asm
    .xor(x86.eax, x86.eax)
    .xchg(x86.dword(SHARED_INFO + 2048), x86.eax)
    .mov(x86.dword(x86.edi, { disp: 4 }), x86.eax)
  asm.rdtsc().mov(x86.dword(x86.edi, { disp: 8 }), x86.eax)
  // Both ends of the grant, and the frame that has come.
  asm
    .inc(x86.dword(GRANTED))
    .mov(x86.eax, x86.dword(MAPPED))
    .mov(x86.dword(x86.edi, { disp: 12 }), x86.eax)
  asm
    .add(x86.dword(MAPPED + 4), x86.eax)
    .inc(x86.dword(POPULATED))
    .add(x86.edi, 16)
    .mov(x86.dword(STATE), x86.edi)
  asm.pop(x86.edi).pop(x86.edx).pop(x86.eax).iretd()

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
