// A kernel is booted once. Each test begins at the same instant, by going back to a snapshot.
import { createPc, type Pc, type PcSnapshot } from '@retrap/machine'
import { al, Assembler, dx, imm16 } from '@retrap/x86-assembler'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

/** The kernel that is tested: it sends each byte of the serial port back, with small letters as capitals. */
function shout(): Uint8Array {
  const start = 0x10_0000
  const asm = new Assembler({ bits: 32, address: start })
  const [entry, send] = [asm.label('entry'), asm.label('send')]
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), start, start, 0, 0, entry).bind(entry)
  asm.mov(dx, imm16(0x3fb)).mov(al, 3).out(dx, al) // 8 data bits
  const wait = asm.here()
  asm.pause().mov(dx, imm16(0x3fd)).in(al, dx).test(al, 1).jz(wait) // until a byte is there
  asm.mov(dx, imm16(0x3f8)).in(al, dx)
  asm.cmp(al, 'a'.charCodeAt(0)).jb(send).cmp(al, 'z'.charCodeAt(0)).ja(send).sub(al, 0x20)
  asm.bind(send).out(dx, al).jmp(wait)
  return asm.assemble().bytes
}

let pc: Pc
let booted: PcSnapshot
let printed = ''
let heard = (): void => {}

beforeAll(async () => {
  pc = await createPc({ memoryBytes: 16 << 20, kernel: shout(), clock: 'deterministic' })
  pc.serial.pipeTo({
    write(bytes) {
      printed += String.fromCharCode(...bytes)
      heard()
    },
  })
  await pc.run({ timeoutMs: 50 })
  booted = await pc.save({ forRestore: true })
})
beforeEach(async () => {
  printed = ''
  await pc.restore(booted)
})
afterAll(() => pc.close())

/** Types a text, and lets the machine run until as many bytes have come back. */
async function say(text: string): Promise<string> {
  const control = new AbortController()
  heard = () => printed.length >= text.length && control.abort()
  pc.serial.receive(new TextEncoder().encode(text))
  await pc.run({ signal: control.signal })
  return printed
}

test.each([
  ['hello', 'HELLO'],
  ['Xen 4.17', 'XEN 4.17'],
  ['{`az}', '{`AZ}'],
])('%s comes back as %s', async (typed, expected) => {
  expect(await say(typed)).toBe(expected)
})
