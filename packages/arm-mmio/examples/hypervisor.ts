import { ArmEmulator, type ArmWorld, createArmVcpu, DeviceOrder, Region, STATUS_RETRY } from '@retrap/arm-mmio'

// A guest with 64 KiB of RAM and a UART at 0x0900_0000 that takes its time. Stage 1 is off.
const ram = new DataView(new ArrayBuffer(0x1_0000))
const world: ArmWorld = {
  region: (lo, hi) => (hi !== 0 ? Region.NONE : lo < 0x1_0000 ? Region.RAM : Region.DEVICE),
  readRam(lo, _hi, size, into, offset) {
    into.set(new Uint8Array(ram.buffer, lo, size), offset)
  },
  writeRam(lo, _hi, size, from, offset) {
    new Uint8Array(ram.buffer, lo, size).set(from.subarray(offset, offset + size))
  },
  tables: {
    read32: () => false,
    read64: () => false,
    compareExchange32: () => true,
    compareExchange64: () => true,
  },
  device: () => STATUS_RETRY,
}
const vcpu = createArmVcpu()
const emulator = new ArmEmulator(vcpu, world, new DeviceOrder(1))

// The guest executes `ldr w0, [x1], #4`, which no syndrome describes: the processor traps.
ram.setUint32(0x1000, 0xb840_4420, true)
vcpu.pc[0] = 0x1000
vcpu.x[2] = 0x0900_0000
let outcome = emulator.handle({
  esr: 0x9200_0007,
  hsr: false,
  farLo: 0x0900_0000,
  farHi: 0,
  hpfarLo: 0x9_0000,
  hpfarHi: 0,
})
while (outcome === STATUS_RETRY) {
  const { log } = emulator
  console.log(`the UART is asked for ${log.size(log.pending)} bytes at 0x${log.addressLo(log.pending).toString(16)}`)
  await new Promise((resolve) => setTimeout(resolve, 5))
  log.setData(log.pending, 0x41, 0)
  emulator.answer()
  outcome = emulator.resume()
}
console.log(`w0 = 0x${vcpu.x[0]?.toString(16)}, x1 = 0x${vcpu.x[2]?.toString(16)}, pc = 0x${vcpu.pc[0]?.toString(16)}`)

// Output:
// the UART is asked for 4 bytes at 0x9000000
// w0 = 0x41, x1 = 0x9000004, pc = 0x1004
