// A kernel is booted once. Each test begins at the same instant: what one changes, no other sees.
import { machineTest } from '@retrap/test/vitest'
import { al, Assembler, dx, imm16 } from '@retrap/x86-assembler'
import { expect } from 'vitest'

/** The kernel that is tested: it sends each byte of the serial port back, with small letters as capitals. */
function shout(): Uint8Array {
  const start = 0x10_0000
  const asm = new Assembler({ bits: 32, address: start })
  const [entry, send] = [asm.label('entry'), asm.label('send')]
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), start, start, 0, 0, entry).bind(entry)
  asm.mov(dx, imm16(0x3fb)).mov(al, 3).out(dx, al) // 8 data bits
  asm.mov(dx, imm16(0x3f8)).mov(al, '>'.charCodeAt(0)).out(dx, al) // "I have booted"
  const wait = asm.here()
  asm.pause().mov(dx, imm16(0x3fd)).in(al, dx).test(al, 1).jz(wait) // until a byte is there
  asm.mov(dx, imm16(0x3f8)).in(al, dx)
  asm.cmp(al, 'a'.charCodeAt(0)).jb(send).cmp(al, 'z'.charCodeAt(0)).ja(send).sub(al, 0x20)
  asm.bind(send).out(dx, al).jmp(wait)
  return asm.assemble().bytes
}

const test = machineTest({ pc: { memoryBytes: 4 << 20, kernel: shout() }, ready: '>' })

test('letters come back as capitals', async ({ machine }) => {
  machine.type('Xen 4.17!')
  expect(await machine.until('!')).toBe('XEN 4.17!')
})

test('what is no small letter comes back as it is', async ({ machine }) => {
  machine.type('{`az}')
  expect(await machine.until('}')).toBe('{`AZ}')
})
