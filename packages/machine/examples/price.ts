// A PC whose guest reads a device model that takes its time, and sends what it got through the serial port.
import { createPc } from '@retrap/machine'
import { defineDevice } from '@retrap/device'
import { al, Assembler, dword, dx, eax, imm16, imm32 } from '@retrap/x86-assembler'

const price = defineDevice({
  name: 'price',
  mmio: { base: 0xfed9_0000, size: 0x1000 },
  async read() {
    await new Promise((resolve) => setTimeout(resolve, 10)) // ask the stock exchange
    return 7
  },
})

// A multiboot kernel of 32-bit code, by its address fields: header and code at 1 MiB.
const base = 0x10_0000
const asm = new Assembler({ bits: 32, address: base })
const entry = asm.label('entry')
asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), base, base, 0, 0, entry).bind(entry)
asm.mov(dx, imm16(0x3fb)).mov(al, 3).out(dx, al) // 8 data bits
asm.mov(eax, dword(0xfed9_0000)).add(al, 0x30) // waits for the price
asm.mov(dx, imm16(0x3f8)).out(dx, al).mov(al, 10).out(dx, al)
asm.mov(dx, imm16(0x604)).mov(eax, imm32(0x2000)).out(dx, eax).hlt() // soft off

const pc = await createPc({ memoryBytes: 16 << 20, kernel: asm.assemble().bytes, devices: [price] })
let text = ''
pc.serial.pipeTo({ write: (bytes) => (text += String.fromCharCode(...bytes)) })
const exit = await pc.run()
console.log('price:', text.trim(), '–', exit.reason, 'after', pc.statistics().instructions, 'instructions')

// Output:
// price: 7 – power-off after 12 instructions
