// A device of yours, attached to the running machine at guest-physical address fed90000.
// In the embedded guest:  memory fed90000
// In Linux:               devmem 0xfed90000
import { defineDevice } from '@retrap/device'

const text: string = 'Hello from TypeScript! '
let reads = 0

export const greeter = defineDevice({
  name: 'greeter',
  stateless: true,
  mmio: { base: 0xfed9_0000, size: 0x1000 },

  async read(offset: number, size: number): Promise<number> {
    // The device takes its time: the guest's instruction waits for the answer, and nothing else does.
    await new Promise((resolve) => setTimeout(resolve, 20))
    console.log(`read ${++reads}: ${size} bytes at ${offset}`)
    let value = 0
    for (let i = size - 1; i >= 0; i--) value = value * 256 + text.charCodeAt((offset + i) % text.length)
    return value
  },

  write(offset: number, size: number, value: number): void {
    console.log(`write: ${value} to ${offset}, ${size} bytes`)
  },
})
