import { createPc } from '@retrap/machine'
import { type VirtioDevice, VirtioMmio } from '@retrap/virtio'
import { al, Assembler, cl, dword, dx, eax, esi, imm16, imm32, word } from '@retrap/x86-assembler'

// The device: an entropy source whose bytes come from far away. Each request is one call of `handle`.
const device: VirtioDevice = {
  name: 'far-entropy',
  type: 4, // an entropy source (VIRTIO 1.2, §5.4)
  queues: [
    {
      size: 8,
      async handle({ writable }) {
        await new Promise((resolve) => setTimeout(resolve, 20)) // the guest runs on meanwhile
        const bytes = new TextEncoder().encode('not random')
        return () => (writable.write(0, bytes) ? bytes.length : 0)
      },
    },
  ],
}

// Its driver: a queue of 8 in RAM, a descriptor for a buffer of 16 bytes, and the registers of virtio over MMIO.
const BASE = 0xfed9_0000
const [TABLE, AVAILABLE, USED, BUFFER] = [0x20_0000, 0x20_1000, 0x20_2000, 0x20_3000]
const start = 0x10_0000
const asm = new Assembler({ bits: 32, address: start })
const entry = asm.label('entry')
asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), start, start, 0, 0, entry).bind(entry)
/** Stores of the driver, one after the other: each an address and a value. */
const set = (...stores: [address: number, value: number][]): void => {
  for (const [address, value] of stores) asm.mov(dword(address), imm32(value))
}
set([BASE + 0x70, 0], [BASE + 0x70, 1], [BASE + 0x70, 3]) // reset, ACKNOWLEDGE, DRIVER
set([BASE + 0x24, 1], [BASE + 0x20, 1]) // the driver accepts VIRTIO_F_VERSION_1, bit 32
set([BASE + 0x70, 11]) // FEATURES_OK
set([BASE + 0x30, 0], [BASE + 0x38, 8]) // queue 0 has 8 entries
set([BASE + 0x80, TABLE], [BASE + 0x90, AVAILABLE], [BASE + 0xa0, USED], [BASE + 0x44, 1])
set([BASE + 0x70, 15]) // DRIVER_OK
set([TABLE, BUFFER], [TABLE + 8, 16], [TABLE + 12, 2]) // a buffer that the device writes
set([AVAILABLE, 0x1_0000]) // the first request: entry 0 has descriptor 0, the index is 1
set([BASE + 0x50, 0]) // notify queue 0
const wait = asm.here()
asm
  .pause()
  .cmp(word(USED + 2), 1)
  .jnz(wait) // until the device has used it
asm.mov(dx, imm16(0x3fb)).mov(al, 3).out(dx, al).mov(dx, imm16(0x3f8))
asm
  .mov(esi, imm32(BUFFER))
  .mov(eax, dword(USED + 8))
  .mov(cl, al)
const next = asm.here()
asm.lodsb().out(dx, al).dec(cl).jnz(next)
asm.mov(dx, imm16(0x604)).mov(eax, imm32(0x2000)).out(dx, eax).hlt()

const kernel = asm.assemble().bytes
const pc = await createPc({ memoryBytes: 16 << 20, kernel, devices: [new VirtioMmio(device, { base: BASE, irq: 10 })] })
let printed = ''
pc.serial.pipeTo({ write: (bytes) => (printed += String.fromCharCode(...bytes)) })
await pc.run()
console.log('the driver got:', printed)

// Output:
// the driver got: not random
