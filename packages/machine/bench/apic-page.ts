import { defineDevice, type DeviceModel } from '@retrap/device'

// The APIC of vapic.bench.ts that lives in another thread: a register page, as far as its guest uses it.
const registers = new Uint32Array(0x400)

export const apicPage: DeviceModel = defineDevice({
  name: 'apic-page',
  mmio: { base: 0xfee0_0000, size: 0x1000, minimumAccess: 4 },
  read: (offset) => registers[offset >> 2] ?? 0,
  write: (offset, _size, value) => {
    registers[offset >> 2] = value
  },
})
