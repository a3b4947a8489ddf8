// Both kinds of tables once more, in machine memory whose free frames lie above 2 GiB: an address there has its highest bit set.
import { MachineMemory } from '@retrap/memory'
import { vi } from 'vitest'

const HALF = 2 ** 31
const MOST = 2 ** 32
const create = MachineMemory.create.bind(MachineMemory)
vi.spyOn(MachineMemory, 'create').mockImplementation((options) => {
  const bytes = options.bytes + HALF
  // A test of large guests has them below too.
  if (bytes > MOST) return create(options)
  const memory = create({ ...options, bytes })
  memory.allocate(HALF, 4096, 'what lies below')
  return memory
})

await import('./stage2.test.ts')
await import('./foreign.test.ts')
