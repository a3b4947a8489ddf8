import {
  al,
  cl,
  dl,
  ebx,
  ecx,
  edi,
  edx,
  esi,
  ptr,
  r10,
  r12,
  r13,
  rax,
  rbx,
  rcx,
  rdi,
  rdx,
  rip,
  rsi,
} from '@retrap/x86-assembler'
import { at, code, type Guest } from './guest.ts'

/** Longest number: 20 decimal digits, and its end. */
const DIGITS_BYTES = 24

/** Numbers as text. */
export function emitFormat(guest: Guest): void {
  const { asm } = guest
  const digits = guest.variable('format.digits', DIGITS_BYTES)

  // RDI: value; ESI: minimum width; DL: padding character.
  guest.define('putPadded', [rbx, r12, r13], (done) => {
    const last = DIGITS_BYTES - 1
    const divide = asm.label()
    const pad = asm.label()
    const print = asm.label()
    asm
      .lea(rbx, ptr(rip(digits.plus(last))))
      .mov(at(rbx), 0)
      .mov(r10, rbx)
    asm.mov(r12, rsi).mov(r13, rdx).mov(rax, rdi).mov(ecx, 10)
    asm.bind(divide).xor(edx, edx).div(rcx).add(dl, code('0'))
    asm.dec(rbx).mov(at(rbx), dl).test(rax, rax).jnz(divide)
    asm.bind(pad).mov(rax, r10).sub(rax, rbx).cmp(rax, r12).jae(print)
    asm.dec(rbx).mov(rax, r13).mov(at(rbx), al).jmp(pad)
    asm.bind(print).mov(rdi, rbx)
    guest.call('putText')
    asm.jmp(done)
  })

  // RDI: value.
  guest.define('putDecimal', [], () => {
    asm.xor(esi, esi).mov(edx, code(' '))
    guest.call('putPadded')
  })

  // RDI: value; ESI: how many hexadecimal digits.
  guest.define('putHex', [rbx, r12], () => {
    const letter = asm.label()
    const next = asm.label()
    // Shift the wanted digits to the top, from where they are taken one by one.
    asm.mov(r12, rsi).mov(ecx, 16).sub(ecx, esi).shl(ecx, 2).mov(rbx, rdi).shl(rbx, cl)
    asm.bind(next).rol(rbx, 4).mov(edi, ebx).and(edi, 15).add(edi, code('0'))
    asm
      .cmp(edi, code('9'))
      .jbe(letter)
      .add(edi, code('a') - code('9') - 1)
      .bind(letter)
    guest.call('putByte')
    asm.dec(r12).jnz(next)
  })

  // RDI: hertz. Prints megahertz with three decimals.
  guest.define('putMegahertz', [rbx], () => {
    asm.mov(rax, rdi).add(rax, 500).xor(edx, edx).mov(ecx, 1000).div(rcx)
    asm.xor(edx, edx).div(rcx).mov(rbx, rdx).mov(rdi, rax)
    guest.call('putDecimal')
    asm.mov(edi, code('.'))
    guest.call('putByte')
    asm.mov(rdi, rbx).mov(esi, 3).mov(edx, code('0'))
    guest.call('putPadded')
    guest.say(' MHz')
  })

  // RDI: bytes. Prints them in the largest unit that divides them, KiB or MiB.
  guest.define('putSize', [rbx], (done) => {
    const mebibytes = asm.label()
    asm
      .mov(rbx, rdi)
      .test(ebx, (1 << 20) - 1)
      .jz(mebibytes)
    asm.shr(rbx, 10).mov(rdi, rbx).mov(esi, 7).mov(edx, code(' '))
    guest.call('putPadded')
    guest.say(' KiB')
    asm.jmp(done)
    asm.bind(mebibytes).shr(rbx, 20).mov(rdi, rbx).mov(esi, 7).mov(edx, code(' '))
    guest.call('putPadded')
    guest.say(' MiB')
  })
}
