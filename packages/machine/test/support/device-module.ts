import { defineDevice } from '@retrap/device'

/** What another thread or process runs in placement.test.ts. */
export const device = defineDevice({
  name: 'd',
  stateless: true,
  mmio: { base: 0xfed9_0000, size: 16 },
  read: async (offset) => 0x40 + offset,
})
