// Boots a kernel once. Each test begins at the same instant: what one changes, no other sees.
import { BootedMachine } from '@retrap/test'
import { al, Assembler, bl, dx, imm16 } from '@retrap/x86-assembler'

// A multiboot kernel of 32-bit code: it says behind each character that is typed how many there were.
const base = 0x10_0000
const asm = new Assembler({ bits: 32, address: base })
const entry = asm.label('entry')
asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), base, base, 0, 0, entry).bind(entry)
asm.mov(dx, imm16(0x3fb)).mov(al, 3).out(dx, al) // 8 data bits
asm.mov(dx, imm16(0x3f8)).mov(al, '>'.charCodeAt(0)).out(dx, al).mov(bl, '0'.charCodeAt(0))
const wait = asm.here()
asm.pause().mov(dx, imm16(0x3fd)).in(al, dx).test(al, 1).jz(wait)
asm.mov(dx, imm16(0x3f8)).in(al, dx).out(dx, al).inc(bl).mov(al, bl).out(dx, al).jmp(wait)

const booted = await BootedMachine.pc({ pc: { memoryBytes: 4 << 20, kernel: asm.assemble().bytes }, ready: '>' })
for (const typed of ['abc', 'xy'])
  await booted.run(async (machine) => {
    machine.type(typed)
    console.log(await machine.until(String(typed.length)))
  })
booted.close()

// Output:
// a1b2c3
// x1y2
