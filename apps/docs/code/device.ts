import { defineDevice } from '@retrap/device'
import { createPc } from '@retrap/machine'
import { al, ah, Assembler, ax, dword, dx, eax, imm16, imm32 } from '@retrap/x86-assembler'

// The device: two numbers are written to it, and it takes its time to add them.
const BASE = 0xfed9_0000
const numbers = [0, 0]
const adder = defineDevice({
  name: 'adder',
  mmio: { base: BASE, size: 0x1000, minimumAccess: 4 },
  write(offset, _size, value) {
    if (offset <= 4) numbers[offset / 4] = value
  },
  async read(offset) {
    if (offset !== 8) return 0
    await new Promise((resolve) => setTimeout(resolve, 20))
    return numbers[0]! + numbers[1]!
  },
})

// The guest: a multiboot kernel that uses the device, and prints two digits through the serial port.
const start = 0x10_0000
const asm = new Assembler({ bits: 32, address: start })
const entry = asm.label('entry')
asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), start, start, 0, 0, entry).bind(entry)
asm.mov(dx, imm16(0x3fb)).mov(al, 3).out(dx, al).mov(dx, imm16(0x3f8)) // 8 data bits, then the data port
asm.mov(dword(BASE), imm32(19)).mov(dword(BASE + 4), imm32(23))
asm.mov(eax, dword(BASE + 8)) // this instruction waits
asm.aam(10).add(ax, imm16(0x3030)) // AH: tens, AL: ones, as characters
asm.xchg(ah, al).out(dx, al).xchg(ah, al).out(dx, al)
asm.mov(dx, imm16(0x604)).mov(eax, imm32(0x2000)).out(dx, eax).hlt() // power off

const pc = await createPc({ memoryBytes: 16 << 20, kernel: asm.assemble().bytes, devices: [adder] })
let printed = ''
pc.serial.pipeTo({ write: (bytes) => (printed += String.fromCharCode(...bytes)) })
const { reason } = await pc.run()
console.log(`19 + 23 = ${printed}; the machine ended with ${reason}`)

// Output:
// 19 + 23 = 42; the machine ended with power-off
