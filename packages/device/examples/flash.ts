// A flash chip of 64 KiB below 4 GiB: the guest reads and executes it as memory, until it writes a command.
import { defineDevice, type DeviceContext, type OwnedMemory } from '@retrap/device'

const READ_ARRAY = 0xff
const READ_IDENTIFIER = 0x90

let memory: OwnedMemory

export const flash = defineDevice({
  name: 'flash',
  synchronous: true,
  attach(context: DeviceContext) {
    memory = context.ownMemory({
      name: 'array',
      bytes: 0x1_0000,
      kind: 'rom',
      executable: true,
      handler: {
        // Only while the mode is trapped: manufacturer and device.
        read: (offset) => (offset === 0 ? 0x89 : 0x18),
        // Every write, as the guest cannot write ROM.
        write(_offset, _size, command) {
          if (command === READ_IDENTIFIER) memory.setMode('trapped')
          if (command === READ_ARRAY) memory.setMode('memory')
        },
      },
    })
    context.mapMemory(0xffff_0000, memory)
  },
  reset: () => memory.setMode('memory'),
  save: () => ({ version: 1, mode: memory.mode }),
  restore: (state) => memory.setMode((state as { mode: 'memory' | 'trapped' }).mode),
})
// Output:
